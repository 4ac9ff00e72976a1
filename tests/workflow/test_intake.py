"""From received instances to cases and jobs: what is waited for, how long, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from bridge.node.instances import StoredInstance
from bridge.workflow import jobs
from bridge.workflow.cases import CaseState, case_id_of, put_case
from bridge.workflow.jobs import Artifact
from bridge.workflow.schema import AuditRow
from bridge.workflow.store import Store
from tests.workflow.intake_room import CASE, NO_STRUCTURES, Room
from tests.workflow.records import CT_UIDS, PLAN, STRUCTURES, STUDY, instance, plan, record, slices, structure_set


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
