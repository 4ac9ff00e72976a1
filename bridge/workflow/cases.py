"""Case states: where each case is on its way, and why.

::

    waiting ──> queued ──> running ──> review ──> delivering ──> delivered
       │          ^           │  └──────────────────^   (release without approval, when the site says so)
       └─> refused┘           └─> refused | failed
                                       review <──> rejected

A refused or waiting case moves again by itself when what it lacked arrives. A rejected or delivered case comes back
to review when somebody edits its objectives. A person can have a predicted case predicted again, also where it failed
to be delivered, and stop any case where it stands: see :mod:`bridge.workflow.stops`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal
from bridge.workflow import audit
from bridge.workflow.schema import CaseRow

__all__ = [
    "RELEASED",
    "CaseState",
    "CaseView",
    "case_id_of",
    "ensure_case",
    "find_case",
    "get_case",
    "list_cases",
    "put_case",
    "set_state",
    "waiting_studies",
]


logger = logging.getLogger(__name__)


class CaseState(StrEnum):
    """Where a case is."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    REVIEW = "review"
    REJECTED = "rejected"
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    REFUSED = "refused"
    FAILED = "failed"


RELEASED = (CaseState.DELIVERING, CaseState.DELIVERED, CaseState.FAILED)
"""Where the newest results may have been released; a case whose newest prediction failed stands there too."""


@dataclass(frozen=True)
class CaseView:
    """A case as others see it; nothing in it names the patient."""

    id: str
    state: CaseState
    reason: str
    study_instance_uid: str
    structure_set_uid: str | None
    created_utc: datetime
    updated_utc: datetime
    stop: str | None = None
    stop_by: str | None = None
    stop_reason: str | None = None


def case_id_of(study_instance_uid: str, structure_set_uid: str | None) -> str:
    """Give the case's own id: 12 hexadecimal digits of a hash, safe in paths, the same after every restart."""
    return hashlib.sha256(f"{study_instance_uid}/{structure_set_uid or ''}".encode()).hexdigest()[:12]


def ensure_case(session: Session, study_instance_uid: str, structure_set_uid: str | None) -> str:
    """Create the case as waiting unless it is there already; give its id.

    A study that waited without RTSTRUCT ceases to be a case of its own once one has come.
    """
    case_id = case_id_of(study_instance_uid, structure_set_uid)
    if structure_set_uid is not None:
        session.execute(delete(CaseRow).where(CaseRow.id == case_id_of(study_instance_uid, None)))
    if session.get(CaseRow, case_id) is None:
        now = datetime.now(UTC)
        row = CaseRow(
            id=case_id,
            study_instance_uid=study_instance_uid,
            structure_set_uid=structure_set_uid,
            state=CaseState.WAITING.value,
            reason="",
            created_utc=now,
            updated_utc=now,
        )
        session.add(row)
    return case_id


def put_case(
    session: Session, study_instance_uid: str, structure_set_uid: str | None, state: CaseState, reason: str
) -> None:
    """Create a case if need be and bring it to a state."""
    set_state(session, ensure_case(session, study_instance_uid, structure_set_uid), state, reason)


def set_state(session: Session, case_id: str, state: CaseState, reason: str, actor: str = audit.SYSTEM) -> None:
    """Bring a case to a state; a change of state or reason is an event in the audit trail."""
    row = _row(session, case_id)
    if (row.state, row.reason) != (state.value, reason):
        row.state, row.reason, row.updated_utc = state.value, reason, datetime.now(UTC)
        session.flush()
        audit.append(session, actor, f"case-{state.value}", row.id, reason=reason)
        # what a person typed may hold a name, and the log goes further than the database
        logged = f"see the audit trail ({actor})" if state is CaseState.REJECTED else reason
        logger.info("case %s %s: %s", row.id, state.value, logged)


def get_case(session: Session, case_id: str) -> CaseView:
    """Give one case.

    Raises
    ------
    ApprovalRefusal
        No case has that id (``case-unknown``).
    """
    return _view(_row(session, case_id))


def find_case(session: Session, case_id: str) -> CaseView | None:
    """Give one case, or None where no case has that id."""
    row = session.get(CaseRow, case_id)
    return None if row is None else _view(row)


def list_cases(session: Session, study_instance_uid: str | None = None) -> Sequence[CaseView]:
    """Give all cases, or those of one study, newest first."""
    query = select(CaseRow).order_by(CaseRow.created_utc.desc(), CaseRow.id)
    if study_instance_uid is not None:
        query = query.where(CaseRow.study_instance_uid == study_instance_uid)
    return [_view(row) for row in session.scalars(query)]


def waiting_studies(session: Session) -> Sequence[str]:
    """Give the Study Instance UIDs of the cases that wait for something."""
    query = select(CaseRow.study_instance_uid).where(CaseRow.state == CaseState.WAITING.value).distinct()
    return list(session.scalars(query))


def _row(session: Session, case_id: str) -> CaseRow:
    row = session.get(CaseRow, case_id)
    if row is None:
        raise ApprovalRefusal("case-unknown", f"There is no case {case_id!r}.", case=case_id)
    return row


def _view(row: CaseRow) -> CaseView:
    return CaseView(
        id=row.id,
        state=CaseState(row.state),
        reason=row.reason,
        study_instance_uid=row.study_instance_uid,
        structure_set_uid=row.structure_set_uid,
        created_utc=row.created_utc,
        updated_utc=row.updated_utc,
        stop=row.stop,
        stop_by=row.stop_by,
        stop_reason=row.stop_reason,
    )
