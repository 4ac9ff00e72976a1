"""The worklist: every case with its state, what it waits for, what was delivered where, and what Eclipse answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from bridge.workflow.cases import CaseView, list_cases
from bridge.workflow.deliveries import deliveries_of
from bridge.workflow.hand_overs import answers_of, hand_overs_of
from bridge.workflow.reimport import reimports_of
from bridge.workflow.schema import HandOverRow
from bridge.workflow.store import Store

__all__ = [
    "AnswerLine",
    "DeliveryLine",
    "HandOverLine",
    "ReimportLine",
    "WorklistRow",
    "hand_over_line",
    "worklist",
    "worklist_row",
]


@dataclass(frozen=True)
class DeliveryLine:
    """One object on its way to one destination."""

    destination: str
    sop_instance_uid: str
    state: str
    attempts: int
    message: str


@dataclass(frozen=True)
class ReimportLine:
    """One dose that came back, and its comparison with the prediction: a folder once it is done, or a reason."""

    dose_uid: str
    state: str
    message: str


@dataclass(frozen=True)
class AnswerLine:
    """One receipt of Eclipse: applied, refused, or rejected by the bridge because it cannot be trusted."""

    file: str
    state: str
    message: str


@dataclass(frozen=True)
class HandOverLine:
    """Objectives on their way to Eclipse, and every answer in the order in which it was taken in."""

    objectives_sha256: str
    state: str
    attempts: int
    message: str
    answers: tuple[AnswerLine, ...]


@dataclass(frozen=True)
class WorklistRow:
    """One case."""

    case_id: str
    study_instance_uid: str
    structure_set_uid: str | None
    state: str
    reason: str
    created_utc: datetime
    updated_utc: datetime
    deliveries: tuple[DeliveryLine, ...]
    reimports: tuple[ReimportLine, ...] = ()
    hand_overs: tuple[HandOverLine, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        times = {"created_utc": self.created_utc.isoformat(), "updated_utc": self.updated_utc.isoformat()}
        return {**asdict(self), **times}


def worklist(store: Store) -> Sequence[WorklistRow]:
    """Give all cases, newest first."""
    with store.transaction() as session:
        return [worklist_row(session, case) for case in list_cases(session)]


def worklist_row(session: Session, case: CaseView) -> WorklistRow:
    """Give one case with what was delivered, handed over and came back."""
    return WorklistRow(
        case_id=case.id,
        study_instance_uid=case.study_instance_uid,
        structure_set_uid=case.structure_set_uid,
        state=case.state.value,
        reason=case.reason,
        created_utc=case.created_utc,
        updated_utc=case.updated_utc,
        deliveries=tuple(
            DeliveryLine(row.destination, row.sop_instance_uid, row.state, len(row.attempts_utc), row.message)
            for row in deliveries_of(session, case.id)
        ),
        reimports=tuple(ReimportLine(row.dose_uid, row.state, row.message) for row in reimports_of(session, case.id)),
        hand_overs=tuple(hand_over_line(session, row) for row in hand_overs_of(session, case.id)),
    )


def hand_over_line(session: Session, row: HandOverRow) -> HandOverLine:
    """Give one hand-over with its answers."""
    answers = tuple(AnswerLine(one.file, one.state, one.message) for one in answers_of(session, row.id))
    return HandOverLine(row.objectives_sha256, row.state, len(row.attempts_utc), row.message, answers)
