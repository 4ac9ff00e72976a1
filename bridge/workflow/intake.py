"""Intake: from received instances to cases, and to a job for each that is complete and quiet.

Everything is worked out from the index, so a restart loses nothing: all studies are simply looked at again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock

from sqlalchemy.orm import Session

from bridge.node.completeness import StructureSetState, Verdict, may_proceed, study_state
from bridge.node.instances import Receipt, StoredInstance
from bridge.node.quiet import QuietTimer
from bridge.node.settings import QuietPolicy
from bridge.workflow import jobs
from bridge.workflow.cases import (
    CaseState,
    case_id_of,
    ensure_case,
    get_case,
    put_case,
    waiting_studies,
)
from bridge.workflow.instances import instances_of, studies
from bridge.workflow.reimport import link_doses, plans_from_outside
from bridge.workflow.revisions import take_back
from bridge.workflow.store import Store

__all__ = ["Intake"]

_ROUND_S = 1.0
"""How often all waiting studies are looked at: a timer may have run out, or a person decided something."""


class Intake:
    """Watches studies until their cases are queued, waiting for something, or refused.

    Parameters
    ----------
    store
        Index, cases and jobs.
    policy
        How long a study must be quiet.
    stuck_after_s
        Seconds of quiet after which a case that still lacks objects is called stuck.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        store: Store,
        policy: QuietPolicy,
        stuck_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._policy = policy
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._timer = QuietTimer(clock)
        self._open: set[str] = set()
        self._next_round_s = clock()
        self._lock = Lock()

    def start(self) -> None:
        """Look at every study again."""
        with self._store.transaction() as session, self._lock:
            self._open.update(studies(session))

    def on_stored(self, receipt: Receipt) -> None:
        """Note that a study got an instance. Called on the doors' threads; does no work."""
        study = receipt.instance.header.study_instance_uid
        self._timer.touch(study)
        with self._lock:
            self._open.add(study)

    def tick(self) -> None:
        """Judge the studies that may have changed. Called again and again from one thread."""
        now = self._clock()
        if now >= self._next_round_s:
            self._next_round_s = now + _ROUND_S
            with self._store.transaction() as session, self._lock:
                self._open.update(waiting_studies(session))
        with self._lock:
            due = sorted(self._open)
        for study in due:
            quiet_s = self._timer.quiet_s(study)
            with self._store.transaction() as session:
                settled = self._judge(session, study, quiet_s)
            if settled:
                with self._lock:
                    # an instance that came meanwhile has touched the timer: then look again
                    if self._timer.quiet_s(study) >= quiet_s:
                        self._open.discard(study)

    def _judge(self, session: Session, study: str, quiet_s: float) -> bool:
        """Bring the cases of one study up to date; say whether only a new instance can change them."""
        instances = plans_from_outside(session, instances_of(session, study))
        state = study_state(instances)
        uids = sorted({i.header.sop_instance_uid for i in instances if i.header.modality == "RTSTRUCT"})
        if state.verdict is Verdict.REFUSED:
            named: list[str | None] = [*uids]
            for uid in named or [None]:
                take_back(session, case_id_of(study, uid))
                put_case(session, study, uid, CaseState.REFUSED, f"{state.reason} [{state.code}]")
            return True
        if not uids:
            return self._wait(session, study, None, state.reason, quiet_s)
        settled = [self._judge_case(session, study, case, instances, quiet_s) for case in state.structure_sets]
        link_doses(session, study)
        return all(settled)

    def _judge_case(
        self,
        session: Session,
        study: str,
        state: StructureSetState,
        instances: Sequence[StoredInstance],
        quiet_s: float,
    ) -> bool:
        case_id, inputs = case_id_of(study, state.sop_instance_uid), _inputs(state, instances)
        if jobs.is_known(session, case_id, inputs):
            # also when it seems undecided once more: after a restart, or when an object came twice
            if get_case(session, case_id).state is CaseState.WAITING:
                jobs.queue_known(session, case_id, inputs)  # what kept it from them is mended
            return True
        if may_proceed(state, quiet_s, self._policy):
            take_back(session, case_id)
            jobs.queue(session, ensure_case(session, study, state.sop_instance_uid), inputs)
            return True
        if state.verdict is Verdict.WAITING:
            return self._wait(session, study, state.sop_instance_uid, state.reason, quiet_s)
        return False

    def _wait(self, session: Session, study: str, uid: str | None, reason: str, quiet_s: float) -> bool:
        """Say what a case waits for. It needs no look at every tick: the rounds come back to all that wait."""
        stuck = quiet_s >= self._stuck_after_s
        take_back(session, case_id_of(study, uid))
        put_case(session, study, uid, CaseState.WAITING, f"Stuck: {reason}" if stuck else reason)
        return True


def _inputs(state: StructureSetState, instances: Sequence[StoredInstance]) -> list[str]:
    """Give the hashes of what a prediction reads: the RTSTRUCT, its CT, and the plans made on it."""
    wanted = {state.sop_instance_uid, *state.ct_sop_instance_uids}
    return [
        item.sha256
        for item in instances
        if item.header.sop_instance_uid in wanted
        or (item.header.modality == "RTPLAN" and state.sop_instance_uid in item.header.referenced_sop_instance_uids)
    ]
