"""The ledger of hand-overs to Eclipse: which objectives are owed to its plug-in, and what it answered to each.

::

    pending ──> delivered        the folder is written; every answer that is taken in is a row of its own
       └─> failed <──┘           refused, given up, or removed before a receipt said that a plan got them

    any of these ──> withdrawing ──> withdrawn     its approval is void, and no plan got it
                          └─> delivered            a plan got it after all, or it is not what was written

Nothing here touches the folder that the plug-in sees: :mod:`bridge.workflow.eclipse_courier` writes to it,
:mod:`bridge.workflow.eclipse_answers` reads from it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from bridge.rt.errors import BridgeError
from bridge.workflow import audit, jobs
from bridge.workflow.approved import unchanged_objectives
from bridge.workflow.cases import case_id_of
from bridge.workflow.schema import AnswerRow, ArtifactRow, CaseRow, HandOverRow, JobRow
from objective_extraction.approval import Approval
from objective_extraction.objective_set import ObjectiveSet

__all__ = [
    "ECLIPSE",
    "NOT_WITHDRAWN",
    "HandOver",
    "answerable",
    "answers_of",
    "applied",
    "audited_case_id",
    "due",
    "give_back",
    "hand_overs_of",
    "is_owed",
    "is_superseded",
    "known_objectives",
    "newest_hand_over",
    "predictions_in",
    "queue",
    "to_withdraw",
    "try_again",
    "with_objectives",
    "withdraw",
    "write_again",
]

ECLIPSE = "the folder for Eclipse"
"""How the worklist calls the place that a hand-over goes to."""

NOT_WITHDRAWN = "not withdrawn: "
"""How the ledger begins to say why something lies in Eclipse's folder although its approval is void."""


@dataclass(frozen=True)
class HandOver:
    """A hand-over as those see it who write it or read its answers.

    Attributes
    ----------
    id
        Row number.
    case_id
        Its case; None where a file was handed over.
    path, sha256
        The file that was released, and its hash.
    objectives_sha256
        Hash of the objective set in it.
    approval
        Who approved it; None where the site releases without.
    state
        As in the ledger.
    attempts
        Times of the attempts so far, oldest first.
    is_superseded
        Whether its case has newer objectives; looked up for what is due only.
    """

    id: int
    case_id: str | None
    path: Path
    sha256: str
    objectives_sha256: str
    approval: Approval | None
    state: str
    attempts: tuple[datetime, ...]
    is_superseded: bool = False

    def objectives(self) -> ObjectiveSet:
        """Read what was released; see :func:`bridge.workflow.approved.unchanged_objectives`."""
        approver = None if self.approval is None else self.approval.approved_by
        return unchanged_objectives(self.path, self.sha256, approver)

    @property
    def audited_case_id(self) -> str | None:
        """What the audit trail calls its case: where a file was handed over, the id that the file's case has here."""
        if self.case_id is not None:
            return self.case_id
        try:
            return audited_case_id(self.objectives())
        except BridgeError:  # the file is gone or was changed; what is recorded says so
            return None


def audited_case_id(objectives: ObjectiveSet) -> str:
    """Give the id that the case of an objective set has in this bridge, whether or not it ever came here."""
    return case_id_of(objectives.case.study_instance_uid, objectives.case.structure_set_uid)


def queue(
    session: Session,
    path: Path,
    sha256: str,
    objectives_sha256: str,
    approval: Approval | None,
    case_id: str | None = None,
) -> None:
    """Owe objectives to Eclipse, once: those that are known are tried again at once where they are not yet there.

    So are those that are there without an approval and have one now. The first approval stays.

    Parameters
    ----------
    path, sha256
        The file that holds them, and its hash.
    objectives_sha256
        Hash of the objective set in it.
    approval
        Who approved them, or None where nobody had to.
    case_id
        Their case; None where somebody hands over a file.
    """
    known = with_objectives(session, objectives_sha256)
    if known is not None:
        if known.case_id is None:  # that of a case stays bound to the case's own file
            known.case_id, known.path, known.sha256 = case_id, str(path), sha256
        if known.approved_by is None and approval is not None:
            known.approved_by, known.approved_utc = approval.approved_by, approval.approved_utc
            try_again(known)
        elif known.state != "delivered":
            try_again(known)
        return
    now = datetime.now(UTC)
    session.add(
        HandOverRow(
            case_id=case_id,
            path=str(path),
            sha256=sha256,
            objectives_sha256=objectives_sha256,
            approved_by=None if approval is None else approval.approved_by,
            approved_utc=None if approval is None else approval.approved_utc,
            state="pending",
            attempts_utc=[],
            message="",
            created_utc=now,
            next_attempt_utc=now,
        )
    )
    session.flush()


def try_again(row: HandOverRow) -> None:
    """Owe again, from now on, what was given up or put off."""
    row.state, row.attempts_utc, row.next_attempt_utc, row.finished_utc = "pending", [], datetime.now(UTC), None


def write_again(session: Session, row: HandOverRow, actor: str) -> None:
    """Owe once more what a plan got and was removed from the drop folder since, because somebody asks for it."""
    reason = "its folder was removed after a plan got the objectives"
    audit.append(
        session,
        actor,
        "sent-again",
        _view(row).audited_case_id,
        destination=ECLIPSE,
        reason=reason,
        objectives_sha256=row.objectives_sha256,
    )
    try_again(row)


def due(session: Session, now: datetime) -> Sequence[HandOver]:
    """Give what is owed and may be tried now, in the order in which it was released."""
    query = (
        select(HandOverRow)
        .outerjoin(CaseRow, CaseRow.id == HandOverRow.case_id)
        .where(HandOverRow.state == "pending", HandOverRow.next_attempt_utc <= now, CaseRow.stop.is_(None))
    )
    rows = session.scalars(query.order_by(HandOverRow.id)).all()
    return [replace(_view(row), is_superseded=is_superseded(session, row)) for row in rows]


def withdraw(session: Session, case_id: str) -> None:
    """Owe the withdrawal of everything of a case that lies in Eclipse's folder, or may be on its way there.

    Also of what was given up: it may lie there although something went wrong after it was written. What a plan got
    already stays, and the ledger says so; where it waits to be written once more, it waits no longer.
    """
    used = applied(session)
    for row in hand_overs_of(session, case_id):
        if row.state not in ("pending", "delivered", "failed"):
            continue
        if row.id not in used or row.state == "pending":
            row.state, row.attempts_utc, row.next_attempt_utc = "withdrawing", [], datetime.now(UTC)
            row.finished_utc = None
            continue
        row.message = f"{NOT_WITHDRAWN}a plan in Eclipse got them"
        audit.append(
            session,
            audit.SYSTEM,
            "hand-over-kept",
            case_id,
            objectives_sha256=row.objectives_sha256,
            state=row.state,
            reason=row.message,
        )


def give_back(session: Session, case_id: str) -> None:
    """Owe again what was withdrawn of the newest objectives of a case, whose approval holds."""
    done = jobs.last_done(session, case_id)
    row = None if done is None else newest_hand_over(session, case_id, [artifact.sha256 for artifact in done[1]])
    if row is not None and row.state in ("withdrawing", "withdrawn"):
        try_again(row)


def to_withdraw(session: Session, now: datetime) -> Sequence[HandOver]:
    """Give whose withdrawal may be tried now, also of cases that are on hold."""
    query = select(HandOverRow).where(HandOverRow.state == "withdrawing", HandOverRow.next_attempt_utc <= now)
    return [_view(row) for row in session.scalars(query.order_by(HandOverRow.id))]


def answerable(session: Session) -> Sequence[HandOver]:
    """Give what Eclipse can answer, the newest first; it may have read what was withdrawn then."""
    states = ("delivered", "withdrawing", "withdrawn")
    query = select(HandOverRow).where(HandOverRow.state.in_(states)).order_by(HandOverRow.id.desc())
    return [_view(row) for row in session.scalars(query)]


def applied(session: Session) -> frozenset[int]:
    """Give the numbers of the hand-overs whose objectives a plan got."""
    return frozenset(session.scalars(select(AnswerRow.hand_over_id).where(AnswerRow.state == "applied")))


def known_objectives(session: Session) -> frozenset[str]:
    """Give the hashes of all objective sets that were ever released for Eclipse."""
    return frozenset(session.scalars(select(HandOverRow.objectives_sha256)))


def is_owed(session: Session, case_id: str, sha256: str) -> bool:
    """Tell if these objectives of a case wait to be handed over."""
    row = newest_hand_over(session, case_id, [sha256])
    return row is not None and row.state == "pending"


def newest_hand_over(session: Session, case_id: str, hashes: Collection[str]) -> HandOverRow | None:
    """Give the hand-over of one of these files of a case, or None."""
    query = select(HandOverRow).where(HandOverRow.case_id == case_id, HandOverRow.sha256.in_(list(hashes)))
    return session.scalars(query.order_by(HandOverRow.id.desc())).first()


def with_objectives(session: Session, objectives_sha256: str) -> HandOverRow | None:
    """Give the hand-over of an objective set, or None."""
    return session.scalars(select(HandOverRow).where(HandOverRow.objectives_sha256 == objectives_sha256)).first()


def hand_overs_of(session: Session, case_id: str) -> Sequence[HandOverRow]:
    """Give the hand-overs of a case, in the order in which they were released."""
    return list(session.scalars(select(HandOverRow).where(HandOverRow.case_id == case_id).order_by(HandOverRow.id)))


def answers_of(session: Session, hand_over_id: int) -> Sequence[AnswerRow]:
    """Give what was answered to a hand-over, in the order in which it was taken in."""
    query = select(AnswerRow).where(AnswerRow.hand_over_id == hand_over_id).order_by(AnswerRow.id)
    return list(session.scalars(query))


def predictions_in(session: Session, plan_uids: Collection[str]) -> Mapping[str, int]:
    """Give the prediction whose objectives a plan in Eclipse got last, as the receipts say that were taken in.

    Parameters
    ----------
    plan_uids
        Of plans; those that no receipt names are left out.

    Returns
    -------
    mapping of str to int
        Plan UID to the row number of the job.
    """
    named = AnswerRow.receipt["plan_uid"].as_string()
    query = (
        select(named, JobRow.id)
        .join(HandOverRow, HandOverRow.id == AnswerRow.hand_over_id)
        .join(JobRow, JobRow.case_id == HandOverRow.case_id)
        .join(ArtifactRow, and_(ArtifactRow.job_id == JobRow.id, ArtifactRow.sha256 == HandOverRow.sha256))
        .where(AnswerRow.state == "applied", named.in_(list(plan_uids)))
        .order_by(AnswerRow.created_utc, AnswerRow.id)
    )
    return dict(iter(session.execute(query)))  # of two for one plan the later one holds


def is_superseded(session: Session, row: HandOverRow) -> bool:
    """Tell if the case of a hand-over has newer objectives."""
    done = None if row.case_id is None else jobs.last_done(session, row.case_id)
    return done is not None and row.sha256 not in {artifact.sha256 for artifact in done[1]}


def _view(row: HandOverRow) -> HandOver:
    approval = None
    if row.approved_by is not None and row.approved_utc is not None:
        approval = Approval(row.approved_by, row.approved_utc, row.objectives_sha256)
    return HandOver(
        id=row.id,
        case_id=row.case_id,
        path=Path(row.path),
        sha256=row.sha256,
        objectives_sha256=row.objectives_sha256,
        approval=approval,
        state=row.state,
        attempts=tuple(datetime.fromisoformat(at) for at in row.attempts_utc),
    )
