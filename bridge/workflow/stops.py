"""Stops: a person holds a case, or discards it. Where it stands does not change, but nothing goes on with it.

A stopped case is not predicted, edited, approved or sent until somebody lets it go on. A discarded one is stopped as
well, and lists leave it out; its objectives leave Eclipse's folder unless a plan got them. Nothing of it is deleted, so
that a mistake can be mended: let go on, it hands them over again.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal
from bridge.workflow import audit, hand_overs, jobs
from bridge.workflow.cases import RELEASED, get_case
from bridge.workflow.reasons import require_reason
from bridge.workflow.schema import CaseRow

__all__ = ["StopKind", "require_going", "resume", "stop"]


class StopKind(StrEnum):
    """Why nothing goes on."""

    HELD = "held"
    DISCARDED = "discarded"


def stop(session: Session, case_id: str, kind: StopKind, actor: str, reason: str) -> None:
    """Hold or discard a case; one that is held can be discarded.

    Raises
    ------
    ApprovalRefusal
        There is no such case, it is so already (``stopped-already``), or no reason is given (``reason``).
    """
    case = get_case(session, case_id)
    if case.stop in (kind, StopKind.DISCARDED):
        raise ApprovalRefusal("stopped-already", f"Case {case_id} is {case.stop} already, by {case.stop_by}.")
    reason = require_reason(reason)
    row = session.get_one(CaseRow, case_id)
    row.stop, row.stop_by, row.stop_reason, row.stop_utc = kind.value, actor, reason, datetime.now(UTC)
    session.flush()
    audit.append(session, actor, f"case-{kind}", case_id, reason=reason, state=case.state.value)
    if kind is StopKind.DISCARDED:
        hand_overs.withdraw(session, case_id)


def resume(session: Session, case_id: str, actor: str, reason: str) -> None:
    """Let a stopped case go on where it stood.

    Raises
    ------
    ApprovalRefusal
        There is no such case, it is not stopped (``not-stopped``), or no reason is given (``reason``).
    """
    case = get_case(session, case_id)
    if case.stop is None:
        raise ApprovalRefusal("not-stopped", f"Case {case_id} is neither held nor discarded.")
    reason = require_reason(reason)
    row = session.get_one(CaseRow, case_id)
    row.stop = row.stop_by = row.stop_reason = row.stop_utc = None
    session.flush()
    audit.append(session, actor, "case-resumed", case_id, reason=reason, was=case.stop, state=case.state.value)
    was_released = case.state in RELEASED and jobs.is_settled(session, case_id)
    if case.stop == StopKind.DISCARDED and was_released:
        hand_overs.give_back(session, case_id)


def require_going(session: Session, case_id: str) -> None:
    """Refuse what a stop forbids (``case-stopped``)."""
    case = get_case(session, case_id)
    if case.stop is not None:
        raise ApprovalRefusal(
            "case-stopped",
            f"Case {case_id} was {case.stop} by {case.stop_by}: {case.stop_reason}. Nothing goes on with it until "
            "somebody lets it.",
        )
