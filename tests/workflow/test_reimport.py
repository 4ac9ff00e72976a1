"""Doses that come back are linked by their references alone, once, and to the right prediction."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridge.node.instances import StoredInstance
from bridge.workflow import audit, hand_overs, jobs, reimport
from bridge.workflow.cases import case_id_of
from bridge.workflow.jobs import Artifact
from bridge.workflow.schema import AnswerRow, ReimportRow
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
    Artifact("objectives", "objectives.json", "d" * 64, None),
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


def test_a_plan_on_two_structure_sets_is_of_neither(room: Room) -> None:
    other = f"{STUDY}.3.2"
    room.arrive(structure_set(other), optimized_plan(other), dose())
    assert rows(room.store) == []
    with room.store.transaction() as session:
        assert list(reimport.reimports_of(session, case_id_of(STUDY, other))) == []


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


def receipt(store: Store, plan_uid: str, file_sha256: str, hour: int, state: str = "applied") -> None:
    """Let Eclipse say that a plan got the objectives of a file."""
    with store.transaction() as session:
        hand_overs.queue(session, Path("objectives.json"), file_sha256, file_sha256, None, CASE)
        row = hand_overs.with_objectives(session, file_sha256)
        assert row is not None
        row.state = "delivered"
        said = AnswerRow(hand_over_id=row.id, file="receipt.json", sha256=f"{hour:064}", state=state, message="")
        said.created_utc = said.taken_utc = datetime(2026, 3, 2, hour, tzinfo=UTC)
        said.receipt = {"plan_uid": plan_uid}
        session.add(said)


NEWER = Artifact("objectives", "objectives.json", "e" * 64, None)


def predicted_anew(room: Room) -> jobs.Job:
    room.arrive(plan())
    room.wait(2.0)
    return room.run(NEWER)


class TestEclipseNamesThePlan:
    """A plan of Eclipse names no predecessor; the receipt of the plug-in names the plan."""

    def test_its_dose_is_linked_to_the_objectives_that_it_got_and_predicts_nothing_anew(self, room: Room) -> None:
        receipt(room.store, OPTIMIZED_PLAN, "d" * 64, 10)
        room.arrive(optimized_plan(), dose())
        room.wait(10.0)
        (row,) = rows(room.store)
        assert (row.plan_uid, row.follows) == (OPTIMIZED_PLAN, True)
        assert (room.jobs(), room.case()[0]) == (1, "review"), "what came of a prediction is no input of it"

    def test_it_is_compared_with_the_prediction_whose_objectives_it_got_not_with_a_newer_one(self, room: Room) -> None:
        newer = predicted_anew(room)
        receipt(room.store, OPTIMIZED_PLAN, "d" * 64, 10)
        room.arrive(optimized_plan(), dose())
        (row,) = rows(room.store)
        assert (row.job_id < newer.id, row.follows) == (True, True)

    @pytest.mark.parametrize(("hours", "newer_is_last"), [((10, 11), True), ((11, 10), False)])
    def test_of_two_that_it_got_the_last_one_counts(
        self, room: Room, hours: tuple[int, int], newer_is_last: bool
    ) -> None:
        newer = predicted_anew(room)
        receipt(room.store, OPTIMIZED_PLAN, "d" * 64, hours[0])
        receipt(room.store, OPTIMIZED_PLAN, "e" * 64, hours[1])
        room.arrive(optimized_plan(), dose())
        (row,) = rows(room.store)
        assert (row.job_id == newer.id) is newer_is_last

    @pytest.mark.parametrize("got", ["d", "e"], ids=["those of before", "those that it helped to make"])
    def test_a_plan_that_was_an_input_before_it_got_objectives_stays_one(self, room: Room, got: str) -> None:
        """It may be the one that prescribes."""
        predicted_anew(room)
        receipt(room.store, PLAN, got * 64, 10)
        room.arrive(instance(f"{STUDY}.2.6", z_mm=18.0))
        room.wait(10.0)
        assert plan().sha256 in room.run().inputs
        room.arrive(dose(of=PLAN))
        (row,) = rows(room.store)
        assert row.follows is True

    @pytest.mark.parametrize(
        ("plan_uid", "state"), [(OPTIMIZED_PLAN, "refused"), (OPTIMIZED_PLAN, "rejected"), (PLAN, "applied")]
    )
    def test_a_plan_that_did_not_get_them_follows_nothing(self, room: Room, plan_uid: str, state: str) -> None:
        receipt(room.store, plan_uid, "d" * 64, 10, state)
        room.arrive(optimized_plan(), dose())
        (row,) = rows(room.store)
        assert row.follows is False

    def test_objectives_of_another_structure_set_link_nothing(self, room: Room) -> None:
        """The plan was put on another structure set since: its dose is of another case."""
        other = f"{STUDY}.3.2"
        receipt(room.store, OPTIMIZED_PLAN, "d" * 64, 10)
        room.arrive(structure_set(other), instance(OPTIMIZED_PLAN, "RTPLAN", refers_to=[other]), dose())
        assert rows(room.store) == []
        room.wait(10.0)
        room.run()
        with room.store.transaction() as session:
            reimport.link_doses(session, STUDY)
            (row,) = reimport.reimports_of(session, case_id_of(STUDY, other))
        assert row.follows is False


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
    assert {artifact.sop_instance_uid for artifact in work.artifacts} == {PREDICTED_PLAN, PREDICTED_DOSE, None}
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
