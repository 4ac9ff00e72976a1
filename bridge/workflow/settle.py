"""What became of a case's results: its state and reason from its deliveries, its hand-over and Eclipse's answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.workflow import jobs
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.hand_overs import ECLIPSE, answers_of, newest_hand_over
from bridge.workflow.schema import AnswerRow, DeliveryRow, HandOverRow

__all__ = ["settle_case"]


def settle_case(session: Session, case_id: str) -> None:
    """Bring a case on by what became of its newest results; one that is predicted anew is not touched."""
    done = jobs.last_done(session, case_id)
    if done is None or get_case(session, case_id).state not in (CaseState.DELIVERING, CaseState.DELIVERED):
        return
    released = {artifact.sop_instance_uid for artifact in done[1]}
    query = select(DeliveryRow).where(DeliveryRow.case_id == case_id).order_by(DeliveryRow.id)
    deliveries = [row for row in session.scalars(query) if row.sop_instance_uid in released]
    hand_over = newest_hand_over(session, case_id, [artifact.sha256 for artifact in done[1]])
    owed = [(row.destination, row.state, row.message) for row in deliveries]
    if hand_over is not None:
        owed.append((ECLIPSE, hand_over.state, hand_over.message))
    pending = [(name, message) for name, state, message in owed if state == "pending"]
    failed = [(name, message) for name, state, message in owed if state == "failed"]
    if pending:
        waiting = "; ".join(f"{name}: {message}" for name, message in pending if message)
        set_state(session, case_id, CaseState.DELIVERING, waiting or f"{len(pending)} of {len(owed)} objects to send")
    elif failed:
        reasons = "; ".join(f"{name}: {message}" for name, message in failed)
        set_state(session, case_id, CaseState.FAILED, f"not delivered to {reasons}")
    elif owed:
        set_state(session, case_id, CaseState.DELIVERED, "; ".join(_delivered(session, deliveries, hand_over)))


def _delivered(session: Session, deliveries: Sequence[DeliveryRow], hand_over: HandOverRow | None) -> Iterator[str]:
    if deliveries:
        names = ", ".join(sorted({row.destination for row in deliveries}))
        yield f"{len(deliveries)} objects to {names}"
    if hand_over is not None:
        is_out = hand_over.state in ("withdrawing", "withdrawn")
        said = hand_over.state if is_out else _said(answers_of(session, hand_over.id))
        yield f"objectives to {ECLIPSE}: {said}"


def _said(answers: Sequence[AnswerRow]) -> str:
    """Give what a plan holds, and the newest answer where that is another one."""
    if not answers:
        return "no answer yet"
    applied = [answer for answer in answers if answer.state == "applied"]
    return "; then ".join(dict.fromkeys(answer.message for answer in (*applied[-1:], answers[-1])))
