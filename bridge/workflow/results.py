"""The results of a case: the files of its newest prediction, read only as long as they are what the bridge wrote."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal, StorageFailure
from bridge.rt.findings import Finding
from bridge.workflow import jobs
from bridge.workflow.cases import get_case
from bridge.workflow.jobs import Artifact, Job, artifact_of, result_folder

__all__ = ["CaseResults", "findings_in", "results_of"]


@dataclass(frozen=True)
class CaseResults:
    """What a finished prediction left.

    Attributes
    ----------
    job, artifacts
        The prediction and its files.
    folder
        Where they lie.
    """

    job: Job
    artifacts: tuple[Artifact, ...]
    folder: Path

    def path(self, kind: str) -> Path:
        """Give where the file of a kind lies."""
        return self.folder / artifact_of(self.artifacts, kind).path

    def read(self, kind: str) -> bytes:
        """Read the file of a kind.

        Raises
        ------
        ApprovalRefusal
            It is not the file that the bridge wrote (``artifact-changed``).
        StorageFailure
            It cannot be read.
        """
        artifact = artifact_of(self.artifacts, kind)
        path = self.folder / artifact.path
        try:
            data = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            raise StorageFailure("file-unreadable", f"{artifact.path} cannot be read: {error.strerror}.") from error
        if hashlib.sha256(data).hexdigest() != artifact.sha256:
            raise ApprovalRefusal(
                "artifact-changed",
                f"{artifact.path} of case {self.job.case_id} is not the file that the bridge wrote: it was changed or "
                "removed. Have the case predicted again.",
            )
        return data

    def read_json(self, kind: str) -> dict[str, Any]:
        """Read a JSON file; raises as :meth:`read`."""
        content: dict[str, Any] = json.loads(self.read(kind))
        return content

    def findings(self) -> tuple[Finding, ...]:
        """Give what the prediction found; raises as :meth:`read`."""
        return findings_in(self.read("result"))


def findings_in(result: bytes) -> tuple[Finding, ...]:
    """Give what the prediction found, of the content of its ``result.json``."""
    return tuple(Finding(**item) for item in json.loads(result)["findings"])


def results_of(session: Session, cases_folder: Path, case_id: str) -> CaseResults:
    """Give the newest results of a case.

    Raises
    ------
    ApprovalRefusal
        There is no such case (``case-unknown``), or nothing was predicted for it yet (``no-results``).
    """
    case = get_case(session, case_id)
    done = jobs.last_done(session, case_id)
    if done is None:
        raise ApprovalRefusal("no-results", f"Case {case_id} is {case.state.value}: nothing was predicted for it yet.")
    return CaseResults(*done, result_folder(cases_folder, done[0]))
