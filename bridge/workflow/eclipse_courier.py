"""The way to Eclipse: objectives that are owed go into the folder of its plug-in, each once, tried again until they do.

A process that is killed between the folder and the ledger hands over again, and finds what it wrote before. Objectives
whose approval is void are taken out again in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.node.ledger import next_attempt
from bridge.node.settings import RetryPolicy
from bridge.rt.errors import ApprovalRefusal, Failure, Refusal
from bridge.tps.eclipse import EclipseFolder
from bridge.workflow import audit, hand_overs
from bridge.workflow.hand_overs import HandOver
from bridge.workflow.schema import HandOverRow
from bridge.workflow.settle import settle_case
from bridge.workflow.store import Store

__all__ = ["EclipseCourier"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Errand:
    """What is owed.

    Attributes
    ----------
    owed, done, given_up
        State in the ledger of what waits for it, where it was done, and where it never will be.
    events
        What the audit trail calls each outcome.
    trouble
        How the ledger begins to say why it was not done.
    """

    owed: str
    done: str
    given_up: str
    events: Mapping[str, str]
    trouble: str = ""


_HAND_OVER = _Errand(
    "pending",
    "delivered",
    "failed",
    {"done": "hand-over-written", "refused": "hand-over-refused", "temporary": "hand-over-temporary"},
)
_WITHDRAWAL = _Errand(
    "withdrawing",
    "withdrawn",
    "delivered",
    {"done": "hand-over-withdrawn", "refused": "hand-over-kept", "temporary": "hand-over-not-yet-withdrawn"},
    hand_overs.NOT_WITHDRAWN,
)


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
        """Withdraw and hand over everything that is due, and mark each at once."""
        with self._store.transaction() as session:
            void, due = hand_overs.to_withdraw(session, self._clock()), hand_overs.due(session, self._clock())
        for hand_over in void:
            self._run(hand_over, self._withdraw, _WITHDRAWAL)
        for hand_over in due:
            self._run(hand_over, self._write, _HAND_OVER)

    def _run(self, hand_over: HandOver, do: Callable[[HandOver], str], errand: _Errand) -> None:
        # no transaction is open while a share is written to: it may take its time
        try:
            said = do(hand_over)
        except Refusal as refusal:
            self._mark(hand_over, errand, "refused", f"{errand.trouble}{refusal}")
        except Failure as failure:
            self._mark(hand_over, errand, "temporary", f"{errand.trouble}{failure}")
        except Exception as error:
            # a bug with one hand-over must not hold up the others
            logger.exception("the hand-over of the objectives %s met a bug", hand_over.objectives_sha256[:16])
            told = f"{errand.trouble}internal error ({type(error).__name__}), see the log"
            self._mark(hand_over, errand, "temporary", told)
        else:
            self._mark(hand_over, errand, "done", said)

    def _write(self, hand_over: HandOver) -> str:
        if hand_over.is_superseded:
            raise ApprovalRefusal(
                "superseded", "The case has newer objectives than these; nothing was handed over. Approve those."
            )
        objectives = hand_over.objectives()
        self._folder.require_there()
        return " ".join(self._folder.put(objectives, hand_over.approval))

    def _withdraw(self, hand_over: HandOver) -> str:
        self._folder.require_there()
        was_there = self._folder.withdraw(hand_over.objectives_sha256, hand_over.approval)
        return "" if was_there else f"nothing of it lay in {self._folder.root}"

    def _mark(self, hand_over: HandOver, errand: _Errand, outcome: str, message: str) -> None:
        """Record one attempt, unless another process has recorded the end meanwhile."""
        now = self._clock()
        with self._store.transaction() as session:
            row = session.get_one(HandOverRow, hand_over.id)
            if row.state != errand.owed:
                return
            row.attempts_utc = [*row.attempts_utc, now.astimezone(UTC).isoformat()]
            row.message, row.next_attempt_utc = message, None
            if outcome == "done":
                row.state = errand.done
            elif outcome == "temporary":
                row.next_attempt_utc = next_attempt((*hand_over.attempts, now), now, self._policy)
            if outcome != "done" and row.next_attempt_utc is None:
                row.state = errand.given_up
            row.finished_utc = None if row.state == errand.owed else now
            session.flush()
            level = logging.INFO if outcome == "done" else logging.WARNING
            logger.log(level, "case %s: %s %s", row.case_id or "-", errand.events[outcome], message)
            audit.append(
                session,
                audit.SYSTEM,
                errand.events[outcome],
                hand_over.audited_case_id,
                objectives_sha256=row.objectives_sha256,
                folder=self._folder.folder_named(row.objectives_sha256).name,
                approved_by=row.approved_by,
                state=row.state,
                reason=message,
            )
            if row.case_id is not None:
                settle_case(session, row.case_id)
