"""Delivery: what is still owed to which destination, and when it is tried again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from bridge.node.scu import DeliveryOutcome, InstanceResult
from bridge.node.settings import Destination, RetryPolicy

__all__ = ["Courier", "CourierSender", "Delivery", "DeliveryLedger", "next_attempt"]


@dataclass(frozen=True)
class Delivery:
    """One instance that one destination has not acknowledged yet.

    Attributes
    ----------
    delivery_id
        The ledger's own key.
    attempts
        Times of the attempts so far, aware, in UTC, oldest first.
    """

    delivery_id: str
    destination: Destination
    path: Path
    sop_instance_uid: str
    attempts: tuple[datetime, ...] = ()


class DeliveryLedger(Protocol):
    """The durable list of deliveries; the workflow implements it with its database."""

    def due(self, now: datetime) -> Sequence[Delivery]:
        """Give the deliveries that are neither acknowledged nor given up, and whose next attempt is not after `now`."""
        ...

    def mark(self, delivery: Delivery, result: InstanceResult, at: datetime, next_attempt: datetime | None) -> None:
        """Record one attempt durably.

        Parameters
        ----------
        next_attempt
            When to try again; None if it is delivered, or will not be tried again by itself.
        """
        ...


class CourierSender(Protocol):
    """What the courier needs of :class:`bridge.node.scu.Sender`."""

    def send(self, destination: Destination, files: Sequence[Path]) -> list[InstanceResult]:
        """Send files, with one result for each."""
        ...


def next_attempt(attempts: Sequence[datetime], now: datetime, policy: RetryPolicy) -> datetime | None:
    """Say when a delivery that failed for a passing reason is tried again.

    Parameters
    ----------
    attempts
        Times of all attempts so far, oldest first.
    now
        From which the delay counts.

    Returns
    -------
    datetime or None
        None once the next attempt would come later than ``give_up_after_s`` after the first one.
    """
    if not attempts:
        return now
    # Beyond this exponent the cap holds anyway, and a larger one would overflow after some days.
    exponent = min(len(attempts) - 1, 64)
    delay_s = min(policy.first_delay_s * policy.factor**exponent, policy.longest_delay_s)
    at = now + timedelta(seconds=delay_s)
    return at if at <= attempts[0] + timedelta(seconds=policy.give_up_after_s) else None


class Courier:
    """Sends what is due. Keeps nothing itself: after a crash the ledger still says what is owed.

    Parameters
    ----------
    clock
        Gives the time, aware, in UTC.
    """

    def __init__(
        self, ledger: DeliveryLedger, sender: CourierSender, clock: Callable[[], datetime], policy: RetryPolicy
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._clock = clock
        self._policy = policy

    def run_once(self) -> list[InstanceResult]:
        """Send everything that is due, one association per destination, and mark each result at once."""
        by_destination: dict[Destination, list[Delivery]] = defaultdict(list)
        for delivery in self._ledger.due(self._clock()):
            by_destination[delivery.destination].append(delivery)
        results: list[InstanceResult] = []
        for destination, deliveries in by_destination.items():
            by_path = {delivery.path: delivery for delivery in deliveries}
            for result in self._sender.send(destination, list(by_path)):
                self._mark(by_path[result.path], result)
                results.append(result)
        return results

    def _mark(self, delivery: Delivery, result: InstanceResult) -> None:
        now = self._clock()
        again = None
        if result.outcome is DeliveryOutcome.TEMPORARY:
            again = next_attempt((*delivery.attempts, now), now, self._policy)
        self._ledger.mark(delivery, result, now, again)
