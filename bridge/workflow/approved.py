"""What was approved, as a planning system takes it: the objectives of a case with the record of who approved them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal, StorageFailure
from bridge.workflow import jobs
from bridge.workflow.schema import AuditRow
from objective_extraction.approval import Approval
from objective_extraction.objective_json import objective_set_from_json
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["approved_objectives", "unchanged_objectives"]


def approved_objectives(session: Session, case_id: str, cases_folder: Path) -> tuple[ObjectiveSet, Approval]:
    """Give the objectives of a case and their newest approval, for :meth:`bridge.tps.eclipse.EclipseFolder.hand_over`.

    Parameters
    ----------
    cases_folder
        Where the results of all cases lie.

    Raises
    ------
    ApprovalRefusal
        Nobody approved the case (``not-approved``), or its newest objectives are not those that were approved
        (``artifact-changed``).
    Refusal
        The file is not an objective set.
    """
    query = select(AuditRow).where(AuditRow.case_id == case_id, AuditRow.action == "case-approved")
    event = session.scalars(query.order_by(AuditRow.id.desc()).limit(1)).first()
    done = jobs.last_done(session, case_id)
    if event is None or done is None:
        raise ApprovalRefusal("not-approved", f"Nobody approved the objectives of case {case_id}.")
    job, artifacts = done
    path = jobs.result_folder(cases_folder, job) / jobs.artifact_of(artifacts, "objectives").path
    objectives = unchanged_objectives(path, event.detail["artifacts"]["objectives"], event.actor)
    return objectives, Approval(event.actor, event.utc, objectives.sha256)


def unchanged_objectives(path: Path, sha256: str, approver: str | None) -> ObjectiveSet:
    """Read objectives from a file that still is what was released.

    Parameters
    ----------
    sha256
        Of the file at its release.
    approver
        Who approved it, or None where nobody had to.

    Raises
    ------
    ApprovalRefusal
        The file was changed or removed (``artifact-changed``).
    Refusal
        It is not an objective set.
    StorageFailure
        It cannot be read.
    """
    try:
        data = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        raise StorageFailure("objectives-read", f"{path.name} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        released = f"that {approver} approved" if approver else "that was released"
        raise ApprovalRefusal(
            "artifact-changed", f"{path.name} is not the file {released}. Look at it again.", folder=path.parent.name
        )
    return objective_set_from_json(data)
