"""An intake over a database of its own, on a clock of its own, with a case that is told apart by its ids."""

from __future__ import annotations

from sqlalchemy import func, select

from bridge.node.instances import StoredInstance
from bridge.node.settings import QuietPolicy
from bridge.workflow import jobs
from bridge.workflow.cases import CaseState, case_id_of, get_case, list_cases, set_state
from bridge.workflow.intake import Intake
from bridge.workflow.jobs import Artifact
from bridge.workflow.schema import JobRow
from bridge.workflow.store import Store
from tests.workflow.records import STRUCTURES, STUDY, record

CASE, NO_STRUCTURES = case_id_of(STUDY, STRUCTURES), case_id_of(STUDY, None)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Room:
    """An intake on a clock of its own."""

    def __init__(self, store: Store) -> None:
        self.store, self.clock = store, Clock()
        self.restart()

    def restart(self) -> None:
        self.intake = Intake(
            self.store, QuietPolicy(complete_s=2.0, undecided_s=60.0), stuck_after_s=600.0, clock=self.clock
        )
        self.intake.start()
        self.intake.tick()

    def arrive(self, *instances: StoredInstance) -> None:
        for receipt in record(self.store, *instances):
            self.intake.on_stored(receipt)
        self.intake.tick()

    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.intake.tick()

    def run(self, *made: Artifact) -> jobs.Job:
        """Take the next job and finish it as the worker does."""
        with self.store.transaction() as session:
            job = jobs.claim_next(session)
            assert job is not None
            jobs.finish(session, job, "done", "", made)
            set_state(session, job.case_id, CaseState.REVIEW, "predicted")
            return job

    def jobs(self) -> int:
        with self.store.transaction() as session:
            return session.scalar(select(func.count()).select_from(JobRow)) or 0

    def case(self, case_id: str = CASE) -> tuple[str, str]:
        with self.store.transaction() as session:
            case = get_case(session, case_id)
            return case.state.value, case.reason

    def ids(self) -> set[str]:
        with self.store.transaction() as session:
            return {case.id for case in list_cases(session)}
