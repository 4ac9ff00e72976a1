"""The service: doors, intake, worker and couriers, running together until stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from threading import Event, Thread

from bridge.node.events import NodeEvent
from bridge.node.spool import Spool
from bridge.rt.errors import DeliveryFailure, StorageFailure
from bridge.workflow import audit
from bridge.workflow.intake import Intake
from bridge.workflow.lock import data_folder_lock
from bridge.workflow.store import Store
from bridge.workflow.worker import Worker

__all__ = ["Service", "audited"]

logger = logging.getLogger(__name__)

_TICK_S = 0.2
_LONGEST_END_S = 10.0
"""How long the couriers may take to end what they are doing."""


class Service:
    """Everything that ``serve`` runs.

    Parameters
    ----------
    data_folder
        Held for as long as the service runs.
    store, spool
        Database and files.
    intake, worker
        What happens to what arrives; each is ticked, so that a crash between two ticks loses nothing.
    couriers
        What speaks to the world outside, again and again, each in a thread of its own: a slow destination or share must
        hold up neither a prediction nor another courier.
    doors
        Network, watched folder and review room, each open while its context is.
    """

    def __init__(
        self,
        data_folder: Path,
        store: Store,
        spool: Spool,
        intake: Intake,
        worker: Worker,
        couriers: Sequence[Callable[[], object]],
        doors: Sequence[AbstractContextManager[object]],
    ) -> None:
        self._data_folder = data_folder
        self._store = store
        self._spool = spool
        self._intake = intake
        self._worker = worker
        self._couriers = couriers
        self._doors = doors
        self._stop_asked = False
        self._stopping = Event()

    def run(self) -> None:
        """Recover what a crash left, open the doors, and work until :meth:`stop`."""
        with data_folder_lock(self._data_folder):
            self._run()

    def _run(self) -> None:
        recovery = self._spool.recover()
        for path in recovery.unreadable:
            logger.error("an object in the spool does not match its hash and is left alone: %s", path.name)
        self._worker.start()
        self._intake.start()
        with ExitStack() as stack:
            stack.callback(self._worker.stop)
            threads = [Thread(target=self._deliver, args=[courier], daemon=True) for courier in self._couriers]
            for thread in threads:
                thread.start()
            for door in self._doors:
                self._open(stack, door)
            logger.info("ready")
            while not self._stop_asked:
                self._tick()
                time.sleep(_TICK_S)
            self._stopping.set()
            deadline = time.monotonic() + _LONGEST_END_S
            for thread in threads:
                thread.join(timeout=max(0.0, deadline - time.monotonic()))
        self._store.close()

    @staticmethod
    def _open(stack: ExitStack, door: AbstractContextManager[object]) -> None:
        try:
            stack.enter_context(door)
        except OSError as error:
            raise DeliveryFailure(
                "door", f"{door} cannot be opened ({error.strerror or error}); is another bridge running there?"
            ) from error
        logger.info("open: %s", door)

    def stop(self) -> None:
        """Ask :meth:`run` to end after the current tick. Safe in a signal handler: it takes no lock."""
        self._stop_asked = True

    def _tick(self) -> None:
        for step in (self._intake.tick, self._worker.tick):
            try:
                step()
            except StorageFailure:
                logger.exception("the database did not accept a change; trying again")

    def _deliver(self, courier: Callable[[], object]) -> None:
        """Let one courier do what is due, until the service ends."""
        while not self._stopping.wait(_TICK_S):
            try:
                courier()
            except StorageFailure:
                logger.exception("the database did not accept a change; trying again")
            except Exception:
                # a thread that ends unseen would deliver nothing ever again
                logger.exception("a delivery met a bug; trying again")


def audited(store: Store, event: NodeEvent) -> None:
    """Keep what the doors refused in the audit trail."""
    if event.severity == "warning":
        with store.transaction() as session:
            audit.append(session, audit.SYSTEM, event.code, None, message=event.message, where=dict(event.where))
