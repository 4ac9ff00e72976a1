"""The audit trail: who did what to which case and when; append-only, each event chained to the one before.

Details hold identifiers, hashes and reasons, never a patient's name or number.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import IdentityRefusal
from bridge.workflow.schema import AuditRow

__all__ = ["SYSTEM", "Event", "append", "newest", "newest_sha256", "verify"]

SYSTEM = "bridge"
"""Actor of what happens without a person."""

_START = "0" * 64


@dataclass(frozen=True)
class Event:
    """One event, as it is shown; ``number`` counts from 1, and ``case_id`` is None where it is about no case."""

    number: int
    utc: datetime
    actor: str
    action: str
    case_id: str | None
    detail: Mapping[str, Any]


def append(session: Session, actor: str, action: str, case_id: str | None = None, **detail: Any) -> None:
    """Add an event within the caller's transaction, so that it stands or falls with the change it records."""
    last = session.scalars(select(AuditRow).order_by(AuditRow.id.desc()).limit(1)).first()
    row = AuditRow(
        id=last.id + 1 if last else 1,
        utc=datetime.now(UTC),
        actor=actor,
        action=action,
        case_id=case_id,
        detail=detail,
        previous_sha256=last.sha256 if last else _START,
    )
    row.sha256 = _hash(row)
    session.add(row)
    session.flush()


def verify(session: Session) -> int:
    """Check the whole chain and give the number of events.

    Raises
    ------
    IdentityRefusal
        An event was changed, removed or inserted (``audit-broken``).
    """
    previous, count = _START, 0
    for row in session.scalars(select(AuditRow).order_by(AuditRow.id)):
        count += 1
        if row.id != count or row.previous_sha256 != previous or row.sha256 != _hash(row):
            raise IdentityRefusal("audit-broken", f"The audit trail was altered at event {count}.", event=count)
        previous = row.sha256
    return count


def newest(session: Session, most: int, case_id: str | None = None) -> Sequence[Event]:
    """Give the newest events, of one case or of all, in the order in which they happened."""
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(most)
    if case_id is not None:
        query = query.where(AuditRow.case_id == case_id)
    rows = reversed(session.scalars(query).all())
    return [Event(row.id, row.utc, row.actor, row.action, row.case_id, row.detail) for row in rows]


def newest_sha256(session: Session) -> str:
    """Give the hash of the newest event: kept elsewhere, it shows also whether events were cut off at the end."""
    last = session.scalars(select(AuditRow).order_by(AuditRow.id.desc()).limit(1)).first()
    return last.sha256 if last else _START


def _hash(row: AuditRow) -> str:
    content = [row.id, row.utc.isoformat(), row.actor, row.action, row.case_id, row.detail, row.previous_sha256]
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
