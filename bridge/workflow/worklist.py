"""The worklist: every case with its state, what it waits for, and what was delivered where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from bridge.workflow.cases import list_cases
from bridge.workflow.deliveries import deliveries_of
from bridge.workflow.reimport import reimports_of
from bridge.workflow.store import Store

__all__ = ["DeliveryLine", "ReimportLine", "WorklistRow", "worklist"]


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
class WorklistRow:
    """One case."""

    case_id: str
    study_instance_uid: str
    structure_set_uid: str | None
    state: str
    reason: str
    updated_utc: datetime
    deliveries: tuple[DeliveryLine, ...]
    reimports: tuple[ReimportLine, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return {**asdict(self), "updated_utc": self.updated_utc.isoformat()}


def worklist(store: Store) -> Sequence[WorklistRow]:
    """Give all cases, newest first."""
    with store.transaction() as session:
        return [
            WorklistRow(
                case_id=case.id,
                study_instance_uid=case.study_instance_uid,
                structure_set_uid=case.structure_set_uid,
                state=case.state.value,
                reason=case.reason,
                updated_utc=case.updated_utc,
                deliveries=tuple(
                    DeliveryLine(row.destination, row.sop_instance_uid, row.state, len(row.attempts_utc), row.message)
                    for row in deliveries_of(session, case.id)
                ),
                reimports=tuple(
                    ReimportLine(row.dose_uid, row.state, row.message) for row in reimports_of(session, case.id)
                ),
            )
            for case in list_cases(session)
        ]
