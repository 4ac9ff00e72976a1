"""Jobs: predictions to make, each once for each state of a case's input, surviving a crash."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.workflow import audit
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.schema import ArtifactRow, CaseRow, JobRow

__all__ = [
    "Artifact",
    "Job",
    "artifact_of",
    "case_with",
    "claim_next",
    "done_by",
    "finish",
    "give_back",
    "inputs_beside",
    "is_known",
    "is_settled",
    "is_wanted",
    "last_done",
    "made_here",
    "maker_of",
    "newest_inputs",
    "queue",
    "queue_again",
    "recover",
    "result_folder",
]

_MOST_ATTEMPTS = 3
"""A job that took the process down three times is not started a fourth time."""


@dataclass(frozen=True)
class Job:
    """A prediction to make.

    Attributes
    ----------
    id
        Row number.
    case_id
        The case.
    input_sha256
        Hash over the hashes of all input objects.
    inputs
        SHA-256 of each input object, the keys of the spool.
    preference
        What somebody asked this prediction for, as :func:`models.preference.preference_of` takes it; None: what the
        settings say.
    """

    id: int
    case_id: str
    input_sha256: str
    inputs: tuple[str, ...]
    preference: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Artifact:
    """One file that a job made, under the case's output folder."""

    kind: str
    path: str
    sha256: str
    sop_instance_uid: str | None


def is_known(session: Session, case_id: str, inputs: Sequence[str]) -> bool:
    """Tell if a prediction of these inputs was ever queued, however it ended."""
    query = select(JobRow.id).where(JobRow.case_id == case_id, JobRow.input_sha256 == _input_sha256(inputs))
    return session.scalars(query).first() is not None


def queue(session: Session, case_id: str, inputs: Sequence[str]) -> bool:
    """Queue a prediction of these inputs unless there is one already; say whether it is new.

    One of earlier inputs that still waits is dropped: nobody needs its result.
    """
    if is_known(session, case_id, inputs):
        return False
    inputs, input_sha256 = sorted(inputs), _input_sha256(inputs)
    _drop_waiting(session, case_id)
    session.add(
        JobRow(
            case_id=case_id,
            input_sha256=input_sha256,
            inputs=inputs,
            state="queued",
            attempts=0,
            message="",
            created_utc=datetime.now(UTC),
        )
    )
    audit.append(session, audit.SYSTEM, "job-queued", case_id, input_sha256=input_sha256, objects=len(inputs))
    set_state(session, case_id, CaseState.QUEUED, f"{len(inputs)} objects complete")
    return True


def is_settled(session: Session, case_id: str) -> bool:
    """Tell if the newest results of a case are of what it was last to be predicted for: nothing waits, runs or failed.

    Otherwise what was signed or released of them is void.
    """
    wanted = [row for row in _rows_of(session, case_id) if row.state != "superseded"]
    return bool(wanted) and wanted[-1].state == "done"


def newest_inputs(session: Session, case_id: str) -> frozenset[str]:
    """Give the hashes of the objects that a case was last predicted from, or is to be; none before that."""
    wanted = [row for row in _rows_of(session, case_id) if row.state != "superseded"]
    return frozenset(wanted[-1].inputs) if wanted else frozenset()


def queue_again(session: Session, job: Job, preference: Mapping[str, Any] | None) -> None:
    """Queue another prediction of the inputs of a finished one, for a preference or for what the settings say now.

    It takes the place of one that still waits, as with :func:`queue`.
    """
    _drop_waiting(session, job.case_id)
    count = len(list(session.scalars(select(JobRow.id).where(JobRow.case_id == job.case_id))))
    session.add(
        JobRow(
            case_id=job.case_id,
            # a key of its own: it has results of its own beside the earlier ones
            input_sha256=hashlib.sha256(f"{job.input_sha256} again {count}".encode()).hexdigest(),
            inputs=list(job.inputs),
            preference=None if preference is None else dict(preference),
            state="queued",
            attempts=0,
            message="",
            created_utc=datetime.now(UTC),
        )
    )
    session.flush()


def queue_known(session: Session, case_id: str, inputs: Sequence[str]) -> None:
    """Queue inputs once more that were queued before (:func:`is_known`) and that their case came back to.

    They are predicted for what they were last to be predicted for.
    """
    known = [row for row in _rows_of(session, case_id) if row.inputs == sorted(inputs)]
    if not known:
        raise LookupError(f"no prediction of case {case_id} has these inputs")
    if known[-1].state != "queued":
        queue_again(session, _job(known[-1]), known[-1].preference)
    set_state(session, case_id, CaseState.QUEUED, f"{len(inputs)} objects complete again")


def _drop_waiting(session: Session, case_id: str) -> None:
    """Let go of what waits to be predicted: two that wait would be predicted one instead of the other."""
    for row in session.scalars(select(JobRow).where(JobRow.case_id == case_id, JobRow.state == "queued")):
        row.state = "superseded"


def _rows_of(session: Session, case_id: str) -> Sequence[JobRow]:
    """Give all jobs of a case, oldest first."""
    return session.scalars(select(JobRow).where(JobRow.case_id == case_id).order_by(JobRow.id)).all()


def claim_next(session: Session) -> Job | None:
    """Take the oldest queued job and mark it running, or give None.

    A job whose case was refused, stopped, or waits again, since it was queued stays where it is.
    """
    query = (
        select(JobRow)
        .join(CaseRow, CaseRow.id == JobRow.case_id)
        .where(JobRow.state == "queued", CaseRow.state == CaseState.QUEUED.value, CaseRow.stop.is_(None))
        .order_by(JobRow.id)
        .limit(1)
    )
    row = session.scalars(query).first()
    if row is None:
        return None
    row.state, row.attempts, row.started_utc = "running", row.attempts + 1, datetime.now(UTC)
    set_state(session, row.case_id, CaseState.RUNNING, f"attempt {row.attempts}")
    return _job(row)


def is_wanted(session: Session, job: Job) -> bool:
    """Tell if the case still waits for this running job: not refused meanwhile, and no newer input queued."""
    return get_case(session, job.case_id).state is CaseState.RUNNING


def finish(session: Session, job: Job, state: str, message: str, artifacts: Sequence[Artifact] = ()) -> None:
    """Record how a running job ended (``done``, ``refused``, ``failed``, ``superseded``) and what it made."""
    row = session.get_one(JobRow, job.id)
    row.state, row.message, row.finished_utc = state, message, datetime.now(UTC)
    session.add_all(
        ArtifactRow(job_id=job.id, kind=a.kind, path=a.path, sha256=a.sha256, sop_instance_uid=a.sop_instance_uid)
        for a in artifacts
    )
    hashes = {artifact.kind: artifact.sha256 for artifact in artifacts}
    audit.append(session, audit.SYSTEM, f"job-{state}", job.case_id, message=message, artifacts=hashes)


def give_back(session: Session, job: Job) -> None:
    """Queue a running job again because the bridge is stopped: that is no failed attempt."""
    row = session.get_one(JobRow, job.id)
    if row.state == "running" and get_case(session, job.case_id).state is CaseState.RUNNING:
        row.state, row.attempts = "queued", row.attempts - 1
        set_state(session, job.case_id, CaseState.QUEUED, "the bridge was stopped; it goes on at the next start")


def recover(session: Session) -> None:
    """Queue again what was running when the process died; give up what keeps killing it."""
    for row in session.scalars(select(JobRow).where(JobRow.state == "running")):
        if get_case(session, row.case_id).state is not CaseState.RUNNING:
            row.state, row.message = "superseded", "the process died, and the case had changed meanwhile"
        elif row.attempts >= _MOST_ATTEMPTS:
            row.state, row.message = "failed", f"the process died {row.attempts} times during this job"
            set_state(session, row.case_id, CaseState.FAILED, row.message)
        else:
            row.state = "queued"
            set_state(session, row.case_id, CaseState.QUEUED, "queued again after a crash")


def last_done(session: Session, case_id: str) -> tuple[Job, tuple[Artifact, ...]] | None:
    """Give the newest finished prediction of a case with its files, or None."""
    query = select(JobRow).where(JobRow.case_id == case_id, JobRow.state == "done").order_by(JobRow.id.desc()).limit(1)
    row = session.scalars(query).first()
    return None if row is None else done_by(session, row.id)


def done_by(session: Session, job_id: int) -> tuple[Job, tuple[Artifact, ...]]:
    """Give a finished prediction with its files."""
    row = session.get_one(JobRow, job_id)
    made = session.scalars(select(ArtifactRow).where(ArtifactRow.job_id == row.id).order_by(ArtifactRow.kind))
    artifacts = tuple(Artifact(a.kind, a.path, a.sha256, a.sop_instance_uid) for a in made)
    return _job(row), artifacts


def maker_of(
    session: Session, case_id: str, sop_instance_uids: Collection[str]
) -> tuple[Job, tuple[Artifact, ...]] | None:
    """Give the newest prediction of a case that made one of these objects, or None."""
    query = (
        select(JobRow.id)
        .join(ArtifactRow, ArtifactRow.job_id == JobRow.id)
        .where(JobRow.case_id == case_id, ArtifactRow.sop_instance_uid.in_(list(sop_instance_uids)))
        .order_by(JobRow.id.desc())
    )
    job_id = session.scalars(query).first()
    return None if job_id is None else done_by(session, job_id)


def inputs_beside(session: Session, job_id: int) -> frozenset[str]:
    """Give the hashes of all objects from which its case was ever to be predicted, by this job or another one."""
    case_id = session.get_one(JobRow, job_id).case_id
    inputs = session.scalars(select(JobRow.inputs).where(JobRow.case_id == case_id))
    return frozenset(sha256 for of_one in inputs for sha256 in of_one)


def made_here(session: Session, sop_instance_uids: Collection[str]) -> frozenset[str]:
    """Give those of these SOP Instance UIDs that a job of ours made."""
    query = select(ArtifactRow.sop_instance_uid).where(ArtifactRow.sop_instance_uid.in_(sop_instance_uids))
    return frozenset(uid for uid in session.scalars(query) if uid is not None)


def case_with(session: Session, sha256: str) -> str | None:
    """Give the case for which a file with this hash was made, or None."""
    query = select(JobRow.case_id).join(ArtifactRow, ArtifactRow.job_id == JobRow.id)
    return session.scalars(query.where(ArtifactRow.sha256 == sha256)).first()


def artifact_of(artifacts: Sequence[Artifact], kind: str) -> Artifact:
    """Give the file of one kind, which every prediction makes."""
    return next(artifact for artifact in artifacts if artifact.kind == kind)


def result_folder(cases_folder: Path, job: Job) -> Path:
    """Give where the results of a job lie: a folder of the case, one for each state of its input."""
    return cases_folder / job.case_id / job.input_sha256[:12]


def _job(row: JobRow) -> Job:
    return Job(row.id, row.case_id, row.input_sha256, tuple(row.inputs), row.preference)


def _input_sha256(inputs: Sequence[str]) -> str:
    return hashlib.sha256("".join(sorted(inputs)).encode()).hexdigest()
