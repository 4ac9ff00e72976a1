"""The worklist: every case with its state, what it waits for, what was delivered where, and what Eclipse answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from bridge.workflow import jobs
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
    taken_utc: datetime


@dataclass(frozen=True)
class HandOverLine:
    """Objectives on their way to Eclipse, and every answer in the order in which it was taken in."""

    objectives_sha256: str
    state: str
    attempts: int
    message: str
    answers: tuple[AnswerLine, ...]
    approved_by: str | None
    approved_utc: datetime | None


@dataclass(frozen=True)
class WorklistRow:
    """One case; ``results`` is the folder of its newest results, below that of all cases."""

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
    stop: str | None = None
    stop_by: str | None = None
    stop_reason: str | None = None
    results: Path | None = None

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return {key: _json(value) for key, value in asdict(self).items()}


def _json(value: Any) -> Any:
    """Give times and paths as text, however deep they lie."""
    match value:
        case datetime():
            return value.isoformat()
        case Path():
            return value.as_posix()
        case dict():
            return {key: _json(one) for key, one in value.items()}
        case list() | tuple():
            return [_json(one) for one in value]
    return value


def worklist(store: Store) -> Sequence[WorklistRow]:
    """Give all cases, newest first."""
    with store.transaction() as session:
        return [worklist_row(session, case) for case in list_cases(session)]


def worklist_row(session: Session, case: CaseView) -> WorklistRow:
    """Give one case with what was delivered, handed over and came back."""
    done = jobs.last_done(session, case.id)
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
        stop=case.stop,
        stop_by=case.stop_by,
        stop_reason=case.stop_reason,
        results=None if done is None else jobs.result_folder(Path(), done[0]),
    )


def hand_over_line(session: Session, row: HandOverRow) -> HandOverLine:
    """Give one hand-over with its answers."""
    return HandOverLine(
        objectives_sha256=row.objectives_sha256,
        state=row.state,
        attempts=len(row.attempts_utc),
        message=row.message,
        answers=tuple(
            AnswerLine(one.file, one.state, one.message, one.taken_utc) for one in answers_of(session, row.id)
        ),
        approved_by=row.approved_by,
        approved_utc=row.approved_utc,
    )
