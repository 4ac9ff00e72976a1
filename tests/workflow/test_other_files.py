"""Files that come once a case was decided, and contents that are told apart: what is void, and what is predicted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.node.instances import StoredInstance
from bridge.rt.errors import ApprovalRefusal
from bridge.workflow import decide, hand_overs, jobs, stops
from bridge.workflow.cases import CaseState, set_state
from bridge.workflow.results import CaseResults
from bridge.workflow.schema import AuditRow, JobRow, SignatureRow
from bridge.workflow.store import Store
from bridge.workflow.users import Role, add_user
from tests.workflow.intake_room import CASE, Room
from tests.workflow.records import CT_UIDS, STUDY, instance, plan, slices, structure_set


@pytest.fixture
def room(store: Store) -> Room:
    return Room(store)


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
