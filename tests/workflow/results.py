"""Results of a case as the worker leaves them, with stand-ins for the files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge.workflow import jobs
from bridge.workflow.cases import CaseState, ensure_case, set_state
from bridge.workflow.jobs import Artifact, Job, result_folder
from bridge.workflow.store import Store
from tests.workflow.records import STRUCTURES, STUDY

FILES = {
    "predicted_dose": "rtdose.dcm",
    "predicted_plan": "rtplan.dcm",
    "objectives": "objectives.json",
    "report": "report.html",
    "result": "result.json",
}


def make_results(
    store: Store, cases: Path, inputs: Sequence[str] = ("aa", "bb"), contents: Mapping[str, bytes] | None = None
) -> tuple[Job, tuple[Artifact, ...]]:
    """Queue a job, run it, and leave its case in review; ``contents`` replaces the stand-ins by kind."""
    with store.transaction() as session:
        case_id = ensure_case(session, STUDY, STRUCTURES)
        assert jobs.queue(session, case_id, inputs)
        job = jobs.claim_next(session)
        assert job is not None
    folder = result_folder(cases, job)
    folder.mkdir(parents=True)
    artifacts = []
    for number, (kind, name) in enumerate(FILES.items()):
        content = (contents or {}).get(kind) or f"{kind} of {job.input_sha256}".encode()
        (folder / name).write_bytes(content)
        uid = f"1.2.{job.id}.{number}" if name.endswith(".dcm") else None
        artifacts.append(Artifact(kind, name, hashlib.sha256(content).hexdigest(), uid))
    with store.transaction() as session:
        jobs.finish(session, job, "done", "", artifacts)
        set_state(session, case_id, CaseState.REVIEW, "predicted; waits for approval")
    return job, tuple(artifacts)
