"""Release: results leave the bridge when a person approved exactly these files, or the site said that nobody need."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal
from bridge.workflow import audit, jobs
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.jobs import Artifact, Job
from bridge.workflow.schema import DeliveryRow

__all__ = ["Recipient", "approve", "enqueue", "require_unchanged", "result_folder"]


_LONGEST_NAME = 64


@dataclass(frozen=True)
class Recipient:
    """A destination by name, and the kinds of artifact that it gets, in the order of sending."""

    name: str
    kinds: tuple[str, ...]


def approve(
    session: Session,
    case_id: str,
    cases_folder: Path,
    recipients: Sequence[Recipient],
    actor: str,
    objectives_sha256: str,
) -> None:
    """Approve the newest results of a case and send them.

    Parameters
    ----------
    cases_folder
        Where the results of all cases lie.
    actor
        Who approves: a name of 1 to 64 printable characters.
    objectives_sha256
        Hash of the objectives file that the approver saw: approval binds exactly what is exported.

    Raises
    ------
    ApprovalRefusal
        Nobody is named, the case is not in review, its files changed since they were made, or the approver saw other
        objectives.
    """
    if not actor.strip() or len(actor) > _LONGEST_NAME or not actor.isprintable():
        raise ApprovalRefusal("approver", f"Say who approves, in 1 to {_LONGEST_NAME} characters on one line.")
    if not actor.strip():
        raise ApprovalRefusal("approver-missing", "An approval needs the name of the person who approves.")
    case = get_case(session, case_id)
    done = jobs.last_done(session, case_id)
    if case.state is not CaseState.REVIEW or done is None:
        raise ApprovalRefusal(
            "not-in-review", f"Case {case_id} is {case.state.value}, not in review; there is nothing to approve."
        )
    job, artifacts = done
    folder = result_folder(cases_folder, job)
    require_unchanged(folder, artifacts, case_id)
    hashes = {artifact.kind: artifact.sha256 for artifact in artifacts}
    if hashes["objectives"] != objectives_sha256:
        raise ApprovalRefusal(
            "other-objectives",
            f"The approval names objectives {objectives_sha256[:12]}, but case {case_id} now has "
            f"{hashes['objectives'][:12]}. Look at them again.",
        )
    audit.append(session, actor, "case-approved", case_id, artifacts=hashes)
    enqueue(session, case_id, folder, artifacts, recipients)


def require_unchanged(folder: Path, artifacts: Sequence[Artifact], case_id: str) -> None:
    """Refuse files that are not those that the bridge wrote (``artifact-changed``)."""
    for artifact in artifacts:
        path = folder / artifact.path
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != artifact.sha256:
            raise ApprovalRefusal(
                "artifact-changed", f"{artifact.path} of case {case_id} is not the file that the bridge wrote."
            )


def result_folder(cases_folder: Path, job: Job) -> Path:
    """Give where the results of a job lie: a folder of the case, one for each state of its input."""
    return cases_folder / job.case_id / job.input_sha256[:12]


def enqueue(
    session: Session, case_id: str, folder: Path, artifacts: Sequence[Artifact], recipients: Sequence[Recipient]
) -> None:
    """Put the released files into the delivery ledger; an object already there for a destination stays as it is."""
    now = datetime.now(UTC)
    by_kind = {artifact.kind: artifact for artifact in artifacts}
    for recipient in recipients:
        for kind in recipient.kinds:
            artifact = by_kind[kind]
            query = select(DeliveryRow.id).where(
                DeliveryRow.destination == recipient.name, DeliveryRow.sop_instance_uid == artifact.sop_instance_uid
            )
            if session.scalars(query).first() is None:
                session.add(
                    DeliveryRow(
                        case_id=case_id,
                        destination=recipient.name,
                        sop_instance_uid=artifact.sop_instance_uid,
                        path=str(folder / artifact.path),
                        sha256=artifact.sha256,
                        state="pending",
                        attempts_utc=[],
                        message="",
                        created_utc=now,
                        next_attempt_utc=now,
                    )
                )
    if any(recipient.kinds for recipient in recipients):
        names = ", ".join(recipient.name for recipient in recipients)
        set_state(session, case_id, CaseState.DELIVERING, f"to {names}")
    else:
        set_state(session, case_id, CaseState.DELIVERED, "no destination is configured; the results are in its folder")
