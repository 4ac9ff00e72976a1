"""The ledger of one case, for people: what went where, when, how often it was tried, and what was said to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.workflow import jobs
from bridge.workflow.deliveries import deliveries_of
from bridge.workflow.hand_overs import ECLIPSE, answers_of, hand_overs_of
from bridge.workflow.schema import ArtifactRow, AuditRow, DeliveryRow, HandOverRow

__all__ = ["Attempt", "LedgerLine", "ledger_of", "out_of_date"]

_NAMES: Mapping[str, str] = {"predicted_dose": "RTDOSE", "predicted_plan": "RTPLAN"}


@dataclass(frozen=True)
class Attempt:
    """One try, or one answer, and what came of it."""

    utc: datetime
    outcome: str
    message: str


@dataclass(frozen=True)
class LedgerLine:
    """One object, or one set of objectives, on its way to one place.

    Attributes
    ----------
    destination, what, identifier
        Where to; what it is; its SOP Instance UID, or the hash of the objectives.
    state, message
        As it stands now.
    is_current
        Whether it is of the newest results.
    released_utc, next_utc
        When it was released; when it is tried again, None where it is not.
    attempts
        All of them, oldest first, also those before it was sent again.
    """

    destination: str
    what: str
    identifier: str
    state: str
    message: str
    is_current: bool
    released_utc: datetime
    next_utc: datetime | None
    attempts: tuple[Attempt, ...]


def ledger_of(session: Session, case_id: str) -> Sequence[LedgerLine]:
    """Give everything that was ever released of a case, by destination, newest first."""
    done = jobs.last_done(session, case_id)
    artifacts = () if done is None else done[1]
    uids = {artifact.sop_instance_uid for artifact in artifacts}
    hashes = {artifact.sha256 for artifact in artifacts}
    events = list(session.scalars(select(AuditRow).where(AuditRow.case_id == case_id).order_by(AuditRow.id)))
    lines = [_delivery(session, row, row.sop_instance_uid in uids, events) for row in deliveries_of(session, case_id)]
    lines += [_hand_over(session, row, row.sha256 in hashes, events) for row in hand_overs_of(session, case_id)]
    return sorted(lines, key=lambda line: (line.destination, -line.released_utc.timestamp()))


def out_of_date(ledger: Sequence[LedgerLine], is_edited: bool) -> list[LedgerLine]:
    """Give what lies elsewhere, or is on its way there, and is not what the case is now.

    Parameters
    ----------
    is_edited
        Whether there are edits that no file has yet: then nothing that left is what the case is now.
    """
    return [line for line in ledger if _is_out(line) and (is_edited or not line.is_current)]


def _is_out(line: LedgerLine) -> bool:
    """Tell if it lies elsewhere, is on its way there, or was used before it was withdrawn."""
    was_used = any(one.outcome == "answered: applied" for one in line.attempts)
    return line.state in ("delivered", "pending", "withdrawing") or was_used


def _delivery(session: Session, row: DeliveryRow, is_current: bool, events: Sequence[AuditRow]) -> LedgerLine:
    kind = session.scalars(select(ArtifactRow.kind).where(ArtifactRow.sop_instance_uid == row.sop_instance_uid)).first()
    tries = (
        Attempt(event.utc, event.action.removeprefix("delivery-"), event.detail.get("reason", ""))
        for event in events
        if event.action.startswith("delivery-")
        and event.detail.get("destination") == row.destination
        and event.detail.get("sop_instance_uid") == row.sop_instance_uid
    )
    return LedgerLine(
        destination=row.destination,
        what=_NAMES.get(kind or "", "object"),
        identifier=row.sop_instance_uid,
        state=row.state,
        message=row.message,
        is_current=is_current,
        released_utc=row.created_utc,
        next_utc=row.next_attempt_utc if row.state == "pending" else None,
        attempts=tuple(tries),
    )


def _hand_over(session: Session, row: HandOverRow, is_current: bool, events: Sequence[AuditRow]) -> LedgerLine:
    return LedgerLine(
        destination=ECLIPSE,
        what="objectives",
        identifier=row.objectives_sha256,
        state=row.state,
        message=row.message,
        is_current=is_current,
        released_utc=row.created_utc,
        next_utc=row.next_attempt_utc if row.state == "pending" else None,
        attempts=tuple(sorted(_said(session, row, events), key=lambda attempt: attempt.utc)),
    )


def _said(session: Session, row: HandOverRow, events: Sequence[AuditRow]) -> Iterator[Attempt]:
    for event in events:
        if event.action.startswith("hand-over-") and event.detail.get("objectives_sha256") == row.objectives_sha256:
            yield Attempt(event.utc, event.action.removeprefix("hand-over-"), event.detail.get("reason", ""))
    for answer in answers_of(session, row.id):
        yield Attempt(answer.taken_utc, f"answered: {answer.state}", answer.message)
