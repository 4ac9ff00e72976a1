from __future__ import annotations

import hashlib

import pytest
from sqlalchemy import select

from bridge.workflow import audit, jobs
from bridge.workflow.cases import CaseState, ensure_case, get_case, put_case
from bridge.workflow.jobs import Artifact
from bridge.workflow.schema import JobRow
from bridge.workflow.store import Store
from tests.workflow.records import STUDY


def queued(store: Store, structure_set: str = "1.1", inputs: tuple[str, ...] = ("aa", "bb")) -> str:
    with store.transaction() as session:
        case_id = ensure_case(session, STUDY, structure_set)
        jobs.queue(session, case_id, inputs)
        return case_id


def claim(store: Store) -> jobs.Job | None:
    with store.transaction() as session:
        return jobs.claim_next(session)


def case_of(store: Store, case_id: str) -> tuple[CaseState, str]:
    with store.transaction() as session:
        case = get_case(session, case_id)
        return case.state, case.reason


def job_states(store: Store) -> list[str]:
    with store.transaction() as session:
        return list(session.scalars(select(JobRow.state).order_by(JobRow.id)))


def test_the_same_input_is_queued_once_in_whatever_order_it_comes(store: Store) -> None:
    with store.transaction() as session:
        case_id = ensure_case(session, STUDY, "1.1")
        assert jobs.queue(session, case_id, ["bb", "aa"])
        assert not jobs.queue(session, case_id, ["aa", "bb"])
        assert jobs.queue(session, case_id, ["aa", "bb", "cc"])
    assert case_of(store, case_id) == (CaseState.QUEUED, "3 objects complete")


def test_a_finished_input_is_not_queued_again(store: Store) -> None:
    case_id = queued(store)
    job = claim(store)
    assert job is not None
    with store.transaction() as session:
        jobs.finish(session, job, "done", "")
        put_case(session, STUDY, "1.1", CaseState.REVIEW, "predicted")
        assert not jobs.queue(session, case_id, ["aa", "bb"])
    assert case_of(store, case_id)[0] is CaseState.REVIEW
    assert claim(store) is None


def test_the_oldest_goes_first(store: Store) -> None:
    first, second = queued(store, "1.2"), queued(store, "1.1")
    taken = [claim(store), claim(store), claim(store)]
    assert [job.case_id if job else None for job in taken] == [first, second, None]
    assert case_of(store, first) == (CaseState.RUNNING, "attempt 1")
    job = taken[0]
    assert job is not None
    assert (job.inputs, job.input_sha256) == (("aa", "bb"), hashlib.sha256(b"aabb").hexdigest())


def test_a_newer_input_takes_the_place_of_one_that_still_waits(store: Store) -> None:
    queued(store)
    case_id = queued(store, inputs=("aa", "bb", "plan"))
    job = claim(store)
    assert job is not None
    assert job.inputs == ("aa", "bb", "plan")
    assert claim(store) is None
    assert job_states(store) == ["superseded", "running"]
    assert case_of(store, case_id)[0] is CaseState.RUNNING


def test_a_case_that_was_refused_meanwhile_is_not_run(store: Store) -> None:
    case_id = queued(store)
    with store.transaction() as session:
        put_case(session, STUDY, "1.1", CaseState.REFUSED, "two patients")
    assert claim(store) is None
    assert case_of(store, case_id) == (CaseState.REFUSED, "two patients")


def test_a_crash_queues_again_and_the_third_gives_up(store: Store) -> None:
    case_id = queued(store)
    for attempt in (1, 2):
        assert claim(store) is not None
        assert case_of(store, case_id) == (CaseState.RUNNING, f"attempt {attempt}")
        with store.transaction() as session:
            jobs.recover(session)
        assert case_of(store, case_id) == (CaseState.QUEUED, "queued again after a crash")
    assert claim(store) is not None
    with store.transaction() as session:
        jobs.recover(session)
    assert claim(store) is None
    assert case_of(store, case_id) == (CaseState.FAILED, "the process died 3 times during this job")
    assert job_states(store) == ["failed"]


@pytest.mark.parametrize("state", [CaseState.REFUSED, CaseState.WAITING])
def test_a_crash_does_not_bring_back_what_is_no_longer_wanted(store: Store, state: CaseState) -> None:
    case_id = queued(store)
    assert claim(store) is not None
    with store.transaction() as session:
        put_case(session, STUDY, "1.1", state, "changed meanwhile")
        jobs.recover(session)
    assert claim(store) is None
    assert case_of(store, case_id) == (state, "changed meanwhile")


def test_the_newest_result_is_given_with_its_files(store: Store) -> None:
    case_id = queued(store)
    with store.transaction() as session:
        assert jobs.last_done(session, case_id) is None
    made = (Artifact("objectives", "objectives.json", "1" * 64, None), Artifact("predicted_dose", "d", "2" * 64, "1.9"))
    for files in (made, made[:1]):
        job = claim(store)
        assert job is not None
        with store.transaction() as session:
            jobs.finish(session, job, "done", "", files)
        with store.transaction() as session:
            assert jobs.last_done(session, case_id) == (job, files)
        queued(store, inputs=("aa", "bb", "plan"))
    with store.transaction() as session:
        assert audit.verify(session) > 0
