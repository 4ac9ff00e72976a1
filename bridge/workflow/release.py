"""Release: results leave the bridge when a person approved exactly these files, or the site said that nobody need."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal, StorageFailure
from bridge.rt.whole_file import write_whole
from bridge.workflow import audit, hand_overs, jobs
from bridge.workflow.approved import approved_objectives
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.jobs import Artifact, result_folder
from bridge.workflow.results import CaseResults
from bridge.workflow.revisions import require_unedited
from bridge.workflow.schema import DeliveryRow
from bridge.workflow.settle import settle_case
from bridge.workflow.stops import require_going
from objective_extraction.approval import Approval
from objective_extraction.objective_json import objective_set_from_json

__all__ = ["Recipient", "approve", "approve_file", "enqueue", "require_unchanged"]


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
    to_eclipse: bool = False,
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
    to_eclipse
        Whether the objectives are handed over to the plug-in for Eclipse.

    Raises
    ------
    ApprovalRefusal
        Nobody is named, the case is stopped or not in review, its objectives were edited or its files changed since
        they were made, or the approver saw other objectives.
    Refusal
        The objectives are to be handed over and are none.
    """
    _require_approver(actor)
    require_going(session, case_id)
    case = get_case(session, case_id)
    done = jobs.last_done(session, case_id)
    if case.state is not CaseState.REVIEW or done is None:
        raise ApprovalRefusal(
            "not-in-review", f"Case {case_id} is {case.state.value}, not in review; there is nothing to approve."
        )
    job, artifacts = done
    folder = result_folder(cases_folder, job)
    require_unedited(session, CaseResults(job, artifacts, folder))
    require_unchanged(folder, artifacts, case_id)
    hashes = {artifact.kind: artifact.sha256 for artifact in artifacts}
    if hashes["objectives"] != objectives_sha256:
        raise ApprovalRefusal(
            "other-objectives",
            f"The approval names objectives {objectives_sha256[:12]}, but case {case_id} now has "
            f"{hashes['objectives'][:12]}. Look at them again.",
        )
    audit.append(session, actor, "case-approved", case_id, artifacts=hashes)
    if to_eclipse:
        objectives, approval = approved_objectives(session, case_id, cases_folder)
        file = jobs.artifact_of(artifacts, "objectives")
        hand_overs.queue(session, folder / file.path, file.sha256, objectives.sha256, approval, case_id)
    enqueue(session, case_id, folder, artifacts, recipients)


def approve_file(session: Session, path: Path, copies: Path, actor: str) -> str:
    """Approve objectives that belong to no case of this bridge, and owe them to Eclipse; approve them once.

    The first approval stays. That somebody else gave his too is recorded (``approval-not-added``) and no more.

    Parameters
    ----------
    path
        ``objectives.json``.
    copies
        Folder that keeps what was approved, whatever becomes of ``path``.
    actor
        As of :func:`approve`.

    Returns
    -------
    str
        Hash of the objective set.

    Raises
    ------
    ApprovalRefusal
        Nobody is named, the file was changed since it was written, or it is that of a case (``objectives-of-case``).
    Refusal
        The file holds no objectives.
    StorageFailure
        It cannot be read or kept.
    """
    _require_approver(actor)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageFailure("objectives-read", f"The objectives cannot be read: {error.strerror}.") from error
    objectives, sha256 = objective_set_from_json(data), hashlib.sha256(data).hexdigest()
    known = hand_overs.with_objectives(session, objectives.sha256)
    # the file that lies in the drop folder has other bytes, because it holds the approval
    case_id = jobs.case_with(session, sha256) or (known.case_id if known else None)
    if case_id is not None:
        raise ApprovalRefusal(
            "objectives-of-case", f"These are the objectives of case {case_id}: approve the case to hand them over."
        )
    kept = copies / f"{sha256}.json"  # another form of the same objectives must not take the place of one that is owed
    try:
        copies.mkdir(exist_ok=True)
        write_whole(kept, data)
    except OSError as error:
        raise StorageFailure("objectives-keep", f"The objectives cannot be kept: {error.strerror}.") from error
    seen = {"objectives_sha256": objectives.sha256, "file_sha256": sha256}
    if known is None or known.approved_by is None:
        audit.append(session, actor, "objectives-approved", hand_overs.audited_case_id(objectives), **seen)
    elif known.approved_by != actor:
        seen |= {"approved_by": known.approved_by}
        audit.append(session, actor, "approval-not-added", hand_overs.audited_case_id(objectives), **seen)
    approval = Approval(actor, datetime.now(UTC), objectives.sha256)
    hand_overs.queue(session, kept, sha256, objectives.sha256, approval)
    return objectives.sha256


def _require_approver(name: str) -> None:
    """Refuse an approval in nobody's name (``approver``)."""
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ApprovalRefusal("approver", f"Say who approves, in 1 to {_LONGEST_NAME} characters on one line.")


def require_unchanged(folder: Path, artifacts: Sequence[Artifact], case_id: str) -> None:
    """Refuse files that are not those that the bridge wrote (``artifact-changed``), or cannot be read."""
    for artifact in artifacts:
        path = folder / artifact.path
        try:
            is_there = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == artifact.sha256
        except OSError as error:
            raise StorageFailure("file-unreadable", f"{artifact.path} cannot be read: {error.strerror}.") from error
        if not is_there:
            raise ApprovalRefusal(
                "artifact-changed", f"{artifact.path} of case {case_id} is not the file that the bridge wrote."
            )


def enqueue(
    session: Session, case_id: str, folder: Path, artifacts: Sequence[Artifact], recipients: Sequence[Recipient]
) -> None:
    """Put the released files into the delivery ledger.

    An object that is already there for a destination stays as it is, unless it was withdrawn, or other objects of the
    case went there after it: then it is sent again, or the destination would hold something else as the newest.
    """
    now = datetime.now(UTC)
    by_kind = {artifact.kind: artifact for artifact in artifacts}
    uids = {artifact.sop_instance_uid for artifact in artifacts}
    is_owed = False
    for recipient in recipients:
        for kind in recipient.kinds:
            artifact = by_kind[kind]
            query = select(DeliveryRow).where(
                DeliveryRow.destination == recipient.name, DeliveryRow.sop_instance_uid == artifact.sop_instance_uid
            )
            known = session.scalars(query).first()
            if known is not None and (known.state == "withdrawn" or _is_overtaken(session, known, uids)):
                known.state, known.attempts_utc, known.next_attempt_utc, known.finished_utc = "pending", [], now, None
                known.message = ""
            is_owed |= known is None or known.state == "pending"
            if known is None:
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
    session.flush()
    names = [recipient.name for recipient in recipients if recipient.kinds]
    if hand_overs.is_owed(session, case_id, by_kind["objectives"].sha256):
        is_owed = True
        names.append(hand_overs.ECLIPSE)
    if names:
        set_state(session, case_id, CaseState.DELIVERING, f"to {', '.join(names)}")
        if not is_owed:
            settle_case(session, case_id)  # all of it was sent before, under the same UIDs
    else:
        set_state(session, case_id, CaseState.DELIVERED, "no destination is configured; the results are in its folder")


def _is_overtaken(session: Session, known: DeliveryRow, uids: Collection[str | None]) -> bool:
    """Tell if the destination got something else of the case after this."""
    query = select(DeliveryRow).where(
        DeliveryRow.case_id == known.case_id,
        DeliveryRow.destination == known.destination,
        DeliveryRow.state == "delivered",
    )
    ends = [row.finished_utc for row in session.scalars(query) if row.sop_instance_uid not in uids]
    return known.finished_utc is not None and any(end is not None and end > known.finished_utc for end in ends)
