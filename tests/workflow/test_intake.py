from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from bridge.node.instances import StoredInstance
from bridge.node.settings import QuietPolicy
from bridge.rt.errors import ApprovalRefusal
from bridge.workflow import decide, hand_overs, jobs, stops
from bridge.workflow.cases import CaseState, case_id_of, get_case, list_cases, put_case, set_state
from bridge.workflow.intake import Intake
from bridge.workflow.jobs import Artifact
from bridge.workflow.results import CaseResults
from bridge.workflow.schema import AuditRow, JobRow, SignatureRow
from bridge.workflow.store import Store
from bridge.workflow.users import Role, add_user
from tests.workflow.records import CT_UIDS, PLAN, STRUCTURES, STUDY, instance, plan, record, slices, structure_set

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


@pytest.fixture
def room(store: Store) -> Room:
    return Room(store)


def test_a_case_waits_by_name_for_what_it_lacks(room: Room) -> None:
    room.arrive(*slices(CT_UIDS[:3]))
    assert room.case(NO_STRUCTURES) == ("waiting", "No RTSTRUCT yet; 3 CT instances are here.")
    room.arrive(structure_set())
    room.wait(100.0)
    state, reason = room.case()
    assert state == "waiting"
    assert "CT 3 of 5" in reason
    assert all(uid in reason for uid in CT_UIDS[3:])
    assert room.ids() == {CASE}, "the study without RTSTRUCT is no case of its own any more"
    assert room.jobs() == 0


def test_a_complete_case_is_queued_after_its_quiet_time_and_not_before(room: Room) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(1.9)
    assert room.jobs() == 0
    room.arrive(plan())
    room.wait(1.9)
    assert room.jobs() == 0, "the plan came 1.9 s ago"
    room.wait(0.1)
    assert room.case() == ("queued", "7 objects complete")
    room.wait(100.0)
    assert room.jobs() == 1


def test_the_job_reads_the_structure_set_its_ct_and_its_plan_only(room: Room) -> None:
    wanted = [structure_set(), *slices(), plan()]
    other = [structure_set(f"{STUDY}.3.2", [f"{STUDY}.2.77"]), plan(f"{STUDY}.5.2", "1.9.9")]
    room.arrive(*wanted, *other)
    room.wait(2.0)
    assert set(room.run().inputs) == {item.sha256 for item in wanted}


def test_a_late_plan_makes_a_new_job(room: Room) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    room.run()
    room.arrive(plan())
    room.wait(2.0)
    assert room.case() == ("queued", "7 objects complete")
    assert plan().sha256 in room.run().inputs
    assert room.jobs() == 2


def test_the_same_objects_again_change_nothing(room: Room) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    room.run()
    room.arrive(structure_set(), *slices())
    room.wait(500.0)
    assert (room.jobs(), room.case()[0]) == (1, "review")


def test_a_restart_works_everything_out_again(room: Room) -> None:
    record(room.store, structure_set(), *slices())
    assert room.ids() == set(), "the node died before it could be told"
    room.restart()
    room.wait(2.0)
    assert room.case()[0] == "queued"
    room.run()
    room.restart()
    room.wait(700.0)
    assert (room.jobs(), room.case()[0]) == (1, "review")


def undecided() -> list[StoredInstance]:
    return [structure_set(refers_to=[]), *slices()]


def gap() -> list[StoredInstance]:
    return [structure_set(refers_to=CT_UIDS[:3]), *slices([*CT_UIDS[:3], f"{STUDY}.2.7"])]


@pytest.mark.parametrize("arriving", [undecided, gap])
def test_what_content_cannot_decide_takes_a_longer_quiet_time(
    room: Room, arriving: Callable[[], list[StoredInstance]]
) -> None:
    room.arrive(*arriving())
    room.wait(59.0)
    assert room.case()[0] == "waiting"
    room.wait(1.0)
    assert room.case()[0] == "queued"


@pytest.mark.parametrize("again", ["restart", "duplicate"])
def test_an_undecided_case_that_was_predicted_does_not_wait_again(room: Room, again: str) -> None:
    room.arrive(*undecided())
    room.wait(60.0)
    room.run()
    if again == "restart":
        room.restart()
    else:
        room.arrive(*undecided())
    for seconds in (0.0, 30.0, 31.0, 1000.0):
        room.wait(seconds)
        assert room.case() == ("review", "predicted")
    assert room.jobs() == 1


def test_two_patients_in_one_study_are_refused(room: Room) -> None:
    room.arrive(structure_set(), *slices()[:4], instance(CT_UIDS[4], patient="two", z_mm=15.0))
    state, reason = room.case()
    assert (state, "[two-patients]" in reason) == ("refused", True)
    room.wait(1000.0)
    assert room.jobs() == 0


def test_two_contents_are_refused_also_without_structure_set(room: Room) -> None:
    room.arrive(*slices(), instance(CT_UIDS[0], content="other", z_mm=3.0))
    state, reason = room.case(NO_STRUCTURES)
    assert (state, "[content-conflict]" in reason) == ("refused", True)
    room.arrive(structure_set())
    assert room.case()[0] == "refused"
    assert room.ids() == {CASE}


def test_a_study_refused_while_its_job_waits_is_not_run(room: Room) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    assert room.case()[0] == "queued"
    room.arrive(instance(f"{STUDY}.2.6", patient="two", z_mm=18.0))
    with room.store.transaction() as session:
        assert jobs.claim_next(session) is None
    assert room.case()[0] == "refused"


@pytest.mark.parametrize("predicted", [False, True])
def test_a_case_whose_contents_were_told_apart_is_predicted_from_the_one_that_holds(
    room: Room, predicted: bool
) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    if predicted:
        room.run()
    room.arrive(instance(CT_UIDS[0], content="other", z_mm=3.0))
    assert room.case()[0] == "refused"
    with room.store.transaction() as session:
        decide.keep(session, CT_UIDS[0], slices()[0].sha256, "a.physicist")
    room.wait(2.0)
    assert room.case() == ("queued", "6 objects complete again")
    assert room.run().inputs == tuple(sorted(one.sha256 for one in (structure_set(), *slices())))
    room.restart()
    assert (room.case()[0], room.jobs()) == ("review", 1 + predicted)


def test_a_case_has_one_prediction_that_waits_and_it_is_the_one_that_was_asked_for_last(room: Room) -> None:
    """Contents are told apart while a prediction for another preference waits: that is the one to make, and once."""
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    job = room.run()
    again(room, job, {"name": "spare"})
    room.arrive(instance(CT_UIDS[0], content="other", z_mm=3.0))
    with room.store.transaction() as session:
        decide.keep(session, CT_UIDS[0], slices()[0].sha256, "a.physicist")
    room.wait(2.0)
    assert room.run().preference == {"name": "spare"}
    again(room, job, {"name": "cover"})
    again(room, job, None)
    assert room.run().preference is None
    with room.store.transaction() as session:
        assert "queued" not in session.scalars(select(JobRow.state)).all()


def test_contents_told_apart_after_a_prediction_for_a_preference_are_predicted_for_it(room: Room) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    again(room, room.run(), {"name": "spare"})
    room.run()
    room.arrive(instance(CT_UIDS[0], content="other", z_mm=3.0))
    with room.store.transaction() as session:
        decide.keep(session, CT_UIDS[0], slices()[0].sha256, "a.physicist")
    room.wait(2.0)
    assert room.run().preference == {"name": "spare"}


def again(room: Room, job: jobs.Job, preference: dict[str, str] | None) -> None:
    """Have a case predicted again, as a person does."""
    with room.store.transaction() as session:
        jobs.queue_again(session, job, preference)
        set_state(session, CASE, CaseState.QUEUED, "to be predicted again")


def released(room: Room) -> None:
    """Let the objectives of the newest prediction be on their way to Eclipse."""
    with room.store.transaction() as session:
        hand_overs.queue(session, Path("objectives.json"), "b" * 64, "c" * 64, None, CASE)
        set_state(session, CASE, CaseState.DELIVERED, "objectives to the folder for Eclipse")


def hand_over_and_voids(room: Room) -> tuple[str, list[str]]:
    with room.store.transaction() as session:
        (row,) = hand_overs.hand_overs_of(session, CASE)
        voids = select(AuditRow).where(AuditRow.action == "approval-voided")
        return row.state, [event.detail["was"] for event in session.scalars(voids)]


@pytest.mark.parametrize(
    ("late", "state"),
    [
        (plan(), "queued"),
        (instance(f"{STUDY}.2.9", z_mm=60.0), "waiting"),
        (instance(CT_UIDS[0], content="other", z_mm=3.0), "refused"),
    ],
    ids=["complete", "waiting", "refused"],
)
def test_what_was_released_is_taken_back_once_when_other_files_come(
    room: Room, late: StoredInstance, state: str
) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    room.run()
    released(room)
    room.wait(10.0)
    assert hand_over_and_voids(room) == ("pending", [])
    room.arrive(late)
    for _ in range(3):
        room.wait(2.0)
    assert room.case()[0] == state
    assert hand_over_and_voids(room) == ("withdrawing", ["delivered"])


def test_a_signature_is_void_when_other_files_come(room: Room) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    job = room.run()
    with room.store.transaction() as session:
        add_user(session, "a.physicist", Role.PHYSICIST, "hash", "setup")
        now = datetime.now(UTC)
        session.add(SignatureRow(job_id=job.id, user_name="a.physicist", signed_utc=now, statement={}))
    room.arrive(plan())
    room.wait(2.0)
    with room.store.transaction() as session:
        (event,) = session.scalars(select(AuditRow).where(AuditRow.action == "approval-voided"))
    assert event.detail == {"signed_by": ["a.physicist"], "was": "review"}


@pytest.mark.parametrize("goes_on", ["queued", "running", "review", "delivered", "held"])
def test_who_kept_the_wrong_content_can_say_so_wherever_the_case_is(room: Room, goes_on: str) -> None:
    first, other = slices()[0], instance(CT_UIDS[0], content="other", z_mm=3.0)
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    room.run()
    room.arrive(other)
    keep(room, other)
    room.wait(2.0)
    if goes_on == "running":
        with room.store.transaction() as session:
            assert jobs.claim_next(session) is not None
    elif goes_on != "queued":
        room.run()
    if goes_on == "delivered":
        released(room)
    if goes_on == "held":
        with room.store.transaction() as session:
            stops.stop(session, CASE, stops.StopKind.HELD, "a.physicist", "the other one?")
    keep(room, first)
    room.wait(2.0)
    assert room.case() == ("queued", "6 objects complete again")
    if goes_on == "delivered":
        assert hand_over_and_voids(room) == ("withdrawing", ["delivered"])
    if goes_on == "held":
        with room.store.transaction() as session:
            stops.resume(session, CASE, "a.physicist", "it was")
    inputs = room.run().inputs
    assert first.sha256 in inputs
    assert other.sha256 not in inputs
    keep(room, first)
    room.wait(2.0)
    assert room.case()[0] == "review", "nothing else was said"


def keep(room: Room, content: StoredInstance) -> None:
    with room.store.transaction() as session:
        decide.keep(session, content.header.sop_instance_uid, content.sha256, "a.physicist")


def test_trying_again_tells_no_contents_apart(room: Room) -> None:
    """The prediction failed before the other content came: from which one is it to be tried?"""
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    with room.store.transaction() as session:
        job = jobs.claim_next(session)
        assert job is not None
        jobs.finish(session, job, "failed", "the model failed")
        set_state(session, CASE, CaseState.FAILED, "the model failed")
    room.arrive(instance(CT_UIDS[0], content="other", z_mm=3.0))
    with (
        pytest.raises(ApprovalRefusal, match="cannot be predicted or sent as it is"),
        room.store.transaction() as session,
    ):
        decide.retry(session, CASE, "a.physicist")
    assert room.case()[0] == "refused"


@pytest.mark.parametrize("ended", [CaseState.REFUSED, CaseState.FAILED])
def test_a_wish_that_came_to_nothing_can_be_given_up(room: Room, ended: CaseState) -> None:
    """Trying again would ask for the same wish for ever."""
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    first = room.run()
    again(room, first, {"name": "spare"})
    came_to_nothing(room, ended)
    with room.store.transaction() as session:
        decide.predict_again(session, CaseResults(first, (), Path()), "a.physicist", "without that wish")
    assert room.run().preference is None


def test_what_is_not_told_apart_is_not_predicted_again_either(room: Room) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    first = room.run()
    again(room, first, {"name": "spare"})
    came_to_nothing(room, CaseState.REFUSED)
    room.arrive(instance(CT_UIDS[0], content="other", z_mm=3.0))
    with pytest.raises(ApprovalRefusal, match="as it is") as refused, room.store.transaction() as session:
        decide.predict_again(session, CaseResults(first, (), Path()), "a.physicist", "without that wish")
    assert refused.value.code == "not-repeatable"


def came_to_nothing(room: Room, ended: CaseState) -> None:
    with room.store.transaction() as session:
        job = jobs.claim_next(session)
        assert job is not None
        jobs.finish(session, job, ended.value, "the wish is in vain")
        set_state(session, CASE, ended, "the wish is in vain")


def test_two_structure_sets_are_two_cases(room: Room) -> None:
    second = f"{STUDY}.3.2"
    room.arrive(structure_set(), structure_set(second, CT_UIDS[:4]), *slices(CT_UIDS[:4]))
    room.wait(2.0)
    assert room.case(case_id_of(STUDY, second))[0] == "queued"
    assert room.case()[0] == "waiting"
    room.arrive(*slices(CT_UIDS[4:]))
    room.wait(2.0)
    assert room.case()[0] == "queued"


def test_a_case_that_lacks_objects_for_long_is_stuck_and_still_completes(room: Room) -> None:
    room.arrive(structure_set(), *slices(CT_UIDS[:4]))
    room.wait(599.0)
    assert room.case()[1].startswith("CT 4 of 5")
    room.wait(1.0)
    assert room.case()[1].startswith("Stuck: CT 4 of 5")
    room.arrive(*slices(CT_UIDS[4:]))
    room.wait(2.0)
    assert room.case()[0] == "queued"


def test_our_own_plan_coming_back_is_no_new_input(room: Room) -> None:
    """A planning system or archive that forwards what it gets must not make the bridge predict in circles."""
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    room.run(Artifact("predicted_plan", "rtplan.dcm", "a" * 64, PLAN))
    room.arrive(plan())
    room.wait(2.0)
    assert (room.jobs(), room.case()[0]) == (1, "review")


def test_a_study_that_is_settled_is_left_alone(room: Room) -> None:
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    room.run()
    room.wait(2.0)
    with room.store.transaction() as session:
        before = session.scalar(select(func.count()).select_from(AuditRow))
        # somebody else's change must survive ticks that have nothing new to say
        put_case(session, STUDY, STRUCTURES, CaseState.DELIVERED, "2 objects to tps")
    room.wait(2.0)
    assert room.case() == ("delivered", "2 objects to tps")
    with room.store.transaction() as session:
        assert session.scalar(select(func.count()).select_from(AuditRow)) == before + 1
