"""The way to Eclipse: objectives that are owed go into the folder of its plug-in, each once, tried again until they do.

A process that is killed between the folder and the ledger hands over again, and finds what it wrote before.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from bridge.node.ledger import next_attempt
from bridge.node.settings import RetryPolicy
from bridge.rt.errors import ApprovalRefusal, Failure, Refusal, StorageFailure
from bridge.tps.eclipse import EclipseFolder
from bridge.workflow import audit, hand_overs
from bridge.workflow.hand_overs import HandOver
from bridge.workflow.schema import HandOverRow
from bridge.workflow.settle import settle_case
from bridge.workflow.store import Store

__all__ = ["EclipseCourier"]

logger = logging.getLogger(__name__)


class EclipseCourier:
    """Hands over what is owed. Keeps nothing itself: after a crash the ledger still says what is owed.

    Parameters
    ----------
    store
        With the ledger.
    folder
        That the plug-in reads.
    policy
        How often a folder that cannot be written is tried again.
    clock
        Gives the time, aware, in UTC.
    """

    def __init__(self, store: Store, folder: EclipseFolder, policy: RetryPolicy, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._folder = folder
        self._policy = policy
        self._clock = clock

    def run_once(self) -> None:
        """Hand over everything that is due, and mark each at once."""
        with self._store.transaction() as session:
            due = hand_overs.due(session, self._clock())
        for hand_over in due:
            # no transaction is open while a share is written to: it may take its time
            try:
                notes = self._write(hand_over)
            except Refusal as refusal:
                self._mark(hand_over, "refused", str(refusal))
            except Failure as failure:
                self._mark(hand_over, "temporary", str(failure))
            except Exception as error:
                # a bug with one hand-over must not hold up the others
                logger.exception("the hand-over of the objectives %s met a bug", hand_over.objectives_sha256[:16])
                self._mark(hand_over, "temporary", f"internal error ({type(error).__name__}), see the log")
            else:
                self._mark(hand_over, "written", " ".join(notes))

    def _write(self, hand_over: HandOver) -> Sequence[str]:
        if hand_over.is_superseded:
            raise ApprovalRefusal(
                "superseded", "The case has newer objectives than these; nothing was handed over. Approve those."
            )
        objectives = hand_over.objectives()
        if not os.path.isdir(self._folder.root):  # also where the share is there and cannot be looked into
            raise StorageFailure("drop-folder-missing", "The drop folder for Eclipse is not there.")
        return self._folder.put(objectives, hand_over.approval)

    def _mark(self, hand_over: HandOver, outcome: str, message: str) -> None:
        """Record one attempt, unless another process has recorded the end meanwhile."""
        now = self._clock()
        with self._store.transaction() as session:
            row = session.get_one(HandOverRow, hand_over.id)
            if row.state != "pending":
                return
            row.attempts_utc = [*row.attempts_utc, now.astimezone(UTC).isoformat()]
            row.message, row.next_attempt_utc = message, None
            if outcome == "written":
                row.state = "delivered"
            elif outcome == "temporary":
                row.next_attempt_utc = next_attempt((*hand_over.attempts, now), now, self._policy)
            if outcome != "written" and row.next_attempt_utc is None:
                row.state = "failed"
            row.finished_utc = None if row.state == "pending" else now
            session.flush()
            level = logging.INFO if outcome == "written" else logging.WARNING
            logger.log(level, "case %s: hand-over to Eclipse %s %s", row.case_id or "-", outcome, message)
            audit.append(
                session,
                audit.SYSTEM,
                f"hand-over-{outcome}",
                row.case_id,
                objectives_sha256=row.objectives_sha256,
                folder=self._folder.folder_named(row.objectives_sha256).name,
                approved_by=row.approved_by,
                state=row.state,
                reason=message,
            )
            if row.case_id is not None:
                settle_case(session, row.case_id)
