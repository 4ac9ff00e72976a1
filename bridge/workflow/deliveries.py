"""The delivery ledger: for every object and destination, what was tried, when, and what the peer said."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.node.ledger import Delivery
from bridge.node.scu import InstanceResult
from bridge.node.settings import Destination
from bridge.workflow import audit
from bridge.workflow.schema import CaseRow, DeliveryRow
from bridge.workflow.settle import settle_case
from bridge.workflow.store import Store

__all__ = ["SqlDeliveryLedger", "deliveries_of", "withdraw_deliveries"]


logger = logging.getLogger(__name__)


class SqlDeliveryLedger:
    """Deliveries in the database; implements :class:`bridge.node.ledger.DeliveryLedger`.

    Parameters
    ----------
    store
        The database.
    destinations
        Destinations by name; a delivery to one that the settings no longer have waits until it is there again.
    """

    def __init__(self, store: Store, destinations: Mapping[str, Destination]) -> None:
        self._store = store
        self._destinations = destinations

    def due(self, now: datetime) -> Sequence[Delivery]:
        """Give what is owed and may be tried now, in the order in which it was released."""
        query = (
            select(DeliveryRow)
            .join(CaseRow, CaseRow.id == DeliveryRow.case_id)
            .where(
                CaseRow.stop.is_(None),
                DeliveryRow.state == "pending",
                DeliveryRow.next_attempt_utc <= now,
                DeliveryRow.destination.in_(list(self._destinations)),
            )
            .order_by(DeliveryRow.id)
        )
        with self._store.transaction() as session:
            rows = [row for row in session.scalars(query) if _is_unchanged(session, row, now)]
            return [
                Delivery(
                    delivery_id=str(row.id),
                    destination=self._destinations[row.destination],
                    path=Path(row.path),
                    sop_instance_uid=row.sop_instance_uid,
                    attempts=tuple(datetime.fromisoformat(at) for at in row.attempts_utc),
                )
                for row in rows
            ]

    def mark(self, delivery: Delivery, result: InstanceResult, at: datetime, next_attempt: datetime | None) -> None:
        """Record one attempt, and bring the case on when nothing more is owed."""
        with self._store.transaction() as session:
            row = session.get_one(DeliveryRow, int(delivery.delivery_id))
            row.attempts_utc = [*row.attempts_utc, at.astimezone(UTC).isoformat()]
            if row.state == "pending" or result.outcome.delivered:  # else it was withdrawn on the way
                row.status, row.message, row.next_attempt_utc = result.status, result.reason, next_attempt
            if result.outcome.delivered:
                row.state, row.finished_utc = "delivered", at
            elif next_attempt is None and row.state == "pending":
                row.state, row.finished_utc = "failed", at
            session.flush()
            if not result.outcome.delivered:
                logger.warning("case %s not delivered to %s: %s", row.case_id, row.destination, result.reason)
            audit.append(
                session,
                audit.SYSTEM,
                f"delivery-{result.outcome.name.lower()}",
                row.case_id,
                destination=row.destination,
                sop_instance_uid=row.sop_instance_uid,
                status=None if result.status is None else f"0x{result.status:04X}",
                reason=result.reason,
            )
            settle_case(session, row.case_id)


def _is_unchanged(session: Session, row: DeliveryRow, now: datetime) -> bool:
    """Tell if the file still is what was released; one that is not is never sent, and its case says so."""
    path = Path(row.path)
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256:
        return True
    row.state, row.finished_utc, row.next_attempt_utc = "failed", now, None
    row.message = f"{path.name} is not the file that was released: it was changed or removed; nothing was sent"
    session.flush()
    audit.append(
        session, audit.SYSTEM, "delivery-file-changed", row.case_id, destination=row.destination, file=path.name
    )
    settle_case(session, row.case_id)
    return False


def deliveries_of(session: Session, case_id: str) -> Sequence[DeliveryRow]:
    """Give the ledger's rows of one case."""
    return list(session.scalars(select(DeliveryRow).where(DeliveryRow.case_id == case_id).order_by(DeliveryRow.id)))


def withdraw_deliveries(session: Session, case_id: str) -> None:
    """Send nothing more of a case whose approval is void; what is there already cannot be called back."""
    for row in deliveries_of(session, case_id):
        if row.state == "pending":
            row.state, row.finished_utc, row.next_attempt_utc = "withdrawn", datetime.now(UTC), None
            row.message = "not sent: its approval is void"
            audit.append(
                session,
                audit.SYSTEM,
                "delivery-withdrawn",
                case_id,
                destination=row.destination,
                sop_instance_uid=row.sop_instance_uid,
                reason=row.message,
            )
