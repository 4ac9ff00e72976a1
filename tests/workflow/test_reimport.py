"""Doses that come back are linked by their references alone, once, and to the right prediction."""

from __future__ import annotations

import pytest

from bridge.node.instances import StoredInstance
from bridge.workflow import audit, jobs, reimport
from bridge.workflow.cases import case_id_of
from bridge.workflow.jobs import Artifact
from bridge.workflow.schema import ReimportRow
from bridge.workflow.store import Store
from bridge.workflow.worklist import worklist
from tests.workflow.records import PLAN, STRUCTURES, STUDY, instance, plan, slices, structure_set
from tests.workflow.test_intake import Room

CASE = case_id_of(STUDY, STRUCTURES)
PREDICTED_PLAN, PREDICTED_DOSE = f"{STUDY}.6.1", f"{STUDY}.6.2"
OPTIMIZED_PLAN, OPTIMIZED_DOSE = f"{STUDY}.7.1", f"{STUDY}.7.2"
MADE = (
    Artifact("predicted_plan", "rtplan.dcm", "a" * 64, PREDICTED_PLAN),
    Artifact("predicted_dose", "rtdose.dcm", "b" * 64, PREDICTED_DOSE),
)


@pytest.fixture
def room(store: Store) -> Room:
    """A case that was predicted."""
    room = Room(store)
    room.arrive(structure_set(), *slices())
    room.wait(2.0)
    room.run(*MADE)
    return room


def optimized_plan(*also: str) -> StoredInstance:
    return instance(OPTIMIZED_PLAN, "RTPLAN", refers_to=[STRUCTURES, *also])


def dose(uid: str = OPTIMIZED_DOSE, of: str = OPTIMIZED_PLAN, **more: str) -> StoredInstance:
    return instance(uid, "RTDOSE", refers_to=[of], **more)


def rows(store: Store) -> list[ReimportRow]:
    with store.transaction() as session:
        return list(reimport.reimports_of(session, CASE))


def test_a_dose_whose_plan_follows_ours_is_linked_and_predicts_nothing_anew(room: Room) -> None:
    room.arrive(optimized_plan(PREDICTED_PLAN), dose())
    room.wait(10.0)
    (row,) = rows(room.store)
    assert (row.dose_uid, row.plan_uid, row.follows, row.state) == (OPTIMIZED_DOSE, OPTIMIZED_PLAN, True, "queued")
    assert (row.dose_sha256, row.plan_sha256) == (dose().sha256, optimized_plan(PREDICTED_PLAN).sha256)
    assert (room.jobs(), room.case()[0]) == (1, "review"), "the plan that came of a prediction is no input of it"
    (line,) = worklist(room.store)[0].reimports
    assert (line.dose_uid, line.state) == (OPTIMIZED_DOSE, "queued")


def test_the_order_of_arrival_does_not_matter_and_twice_is_once(room: Room) -> None:
    room.arrive(dose())
    assert rows(room.store) == []
    room.arrive(optimized_plan(PREDICTED_PLAN))
    room.arrive(optimized_plan(PREDICTED_PLAN), dose())
    room.restart()
    assert len(rows(room.store)) == 1


def test_a_dose_of_any_other_plan_on_the_structure_set_is_linked_but_follows_nothing(room: Room) -> None:
    """A plan that was there before, or one of a planning system that names no predecessor."""
    room.arrive(plan(), dose(of=PLAN))
    (row,) = rows(room.store)
    assert (row.plan_uid, row.follows) == (PLAN, False)


def test_a_dose_that_came_with_the_case_waits_for_the_prediction(store: Store) -> None:
    room = Room(store)
    room.arrive(structure_set(), *slices(), plan(), dose(of=PLAN))
    room.wait(2.0)
    assert rows(store) == []
    job = room.run(*MADE)
    with store.transaction() as session:
        reimport.link_doses(session, STUDY)
    (row,) = rows(store)
    assert (row.job_id, row.follows) == (job.id, False)


def test_it_is_compared_with_the_prediction_that_its_plan_comes_from_not_with_a_newer_one(room: Room) -> None:
    with room.store.transaction() as session:
        done = jobs.last_done(session, CASE)
    assert done is not None
    room.arrive(plan())
    room.wait(2.0)
    newer = room.run(Artifact("predicted_plan", "rtplan.dcm", "c" * 64, f"{STUDY}.6.3"))
    room.arrive(optimized_plan(PREDICTED_PLAN), dose())
    (row,) = rows(room.store)
    assert row.job_id == done[0].id != newer.id


@pytest.mark.parametrize(
    "arriving",
    [
        [dose()],
        [dose(of=OPTIMIZED_PLAN), instance(OPTIMIZED_PLAN, "RTPLAN", refers_to=["1.9.9"])],
        [instance(OPTIMIZED_DOSE, "RTDOSE"), optimized_plan(PREDICTED_PLAN)],
        [instance(OPTIMIZED_DOSE, "RTDOSE", refers_to=[OPTIMIZED_PLAN, PLAN]), optimized_plan(PREDICTED_PLAN), plan()],
        [dose(PREDICTED_DOSE, of=PREDICTED_PLAN), instance(PREDICTED_PLAN, "RTPLAN", refers_to=[STRUCTURES])],
    ],
    ids=["no plan", "plan of another structure set", "names no plan", "names two plans", "our own prediction"],
)
def test_what_has_not_the_references_is_not_linked(room: Room, arriving: list[StoredInstance]) -> None:
    room.arrive(*arriving)
    assert rows(room.store) == []


def test_of_two_patients_nothing_is_linked(room: Room) -> None:
    room.arrive(optimized_plan(PREDICTED_PLAN), dose(patient="two"))
    assert rows(room.store) == []
    assert room.case()[0] == "refused"


def test_a_comparison_is_taken_once_and_its_end_is_on_record(room: Room) -> None:
    room.arrive(optimized_plan(PREDICTED_PLAN), dose())
    with room.store.transaction() as session:
        work = reimport.claim_next(session)
        assert work is not None
        assert reimport.claim_next(session) is None
    assert (work.case_id, work.follows, work.dose_sha256) == (CASE, True, dose().sha256)
    assert {artifact.sop_instance_uid for artifact in work.artifacts} == {PREDICTED_PLAN, PREDICTED_DOSE}
    with room.store.transaction() as session:
        reimport.finish(session, work, "refused", "The dose is of one beam.")
        audit.verify(session)
    (row,) = rows(room.store)
    assert (row.state, row.message, row.finished_utc is None) == ("refused", "The dose is of one beam.", False)


def test_what_the_process_died_of_three_times_is_given_up(room: Room) -> None:
    room.arrive(optimized_plan(PREDICTED_PLAN), dose())
    for attempt in (1, 2, 3):
        with room.store.transaction() as session:
            assert reimport.claim_next(session) is not None
            assert rows_in(session) == [("running", attempt)]
            reimport.recover(session)
    assert rows(room.store)[0].state == "failed"


def test_a_stop_of_the_bridge_is_no_attempt(room: Room) -> None:
    room.arrive(optimized_plan(PREDICTED_PLAN), dose())
    with room.store.transaction() as session:
        work = reimport.claim_next(session)
        assert work is not None
        reimport.give_back(session, work)
        assert rows_in(session) == [("queued", 0)]


def rows_in(session: object) -> list[tuple[str, int]]:
    return [(row.state, row.attempts) for row in reimport.reimports_of(session, CASE)]  # type: ignore[arg-type]
