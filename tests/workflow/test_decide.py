"""Decisions of a person: what they change, and what they may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from bridge.node.instances import RecordOutcome
from bridge.rt.errors import ApprovalRefusal, IdentityRefusal, StorageFailure
from bridge.workflow import decide, jobs
from bridge.workflow.cases import CaseState, ensure_case, get_case, set_state
from bridge.workflow.instances import SqlInstanceIndex, instances_of
from bridge.workflow.lock import data_folder_lock
from bridge.workflow.store import Store
from tests.workflow.records import STUDY, instance

STRUCTURES = f"{STUDY}.3.9"


@pytest.fixture
def session(store: Store) -> Iterator[Session]:
    with store.transaction() as session:
        yield session


def refused_case(session: Session) -> str:
    case_id = ensure_case(session, STUDY, STRUCTURES)
    jobs.queue(session, case_id, ["a" * 64])
    job = jobs.claim_next(session)
    assert job is not None
    jobs.finish(session, job, "refused", "no target")
    set_state(session, case_id, CaseState.REFUSED, "no target")
    return case_id


def test_a_refused_case_is_queued_again_and_keeps_its_input(session: Session) -> None:
    case_id = refused_case(session)
    decide.retry(session, case_id, "physicist")
    assert get_case(session, case_id).state is CaseState.QUEUED
    job = jobs.claim_next(session)
    assert job is not None
    assert job.inputs == ("a" * 64,)


def test_a_case_in_any_other_state_is_not_tried_again(session: Session) -> None:
    case_id = refused_case(session)
    for state in set(CaseState) - {CaseState.REFUSED, CaseState.FAILED}:
        set_state(session, case_id, state, "")
        with pytest.raises(ApprovalRefusal) as refused:
            decide.retry(session, case_id, "physicist")
        assert refused.value.code == "nothing-to-retry"


def test_a_case_refused_before_any_prediction_says_why_it_cannot_be_tried(session: Session) -> None:
    case_id = ensure_case(session, STUDY, STRUCTURES)
    set_state(session, case_id, CaseState.REFUSED, "two patients")
    with pytest.raises(ApprovalRefusal, match="two patients"):
        decide.retry(session, case_id, "physicist")


@pytest.mark.parametrize("name", ["", "   "])
def test_a_decision_needs_a_name(session: Session, name: str) -> None:
    case_id = refused_case(session)
    with pytest.raises(ApprovalRefusal) as refused:
        decide.retry(session, case_id, name)
    assert refused.value.code == "decision-without-name"


def test_the_content_that_a_person_keeps_is_the_one_that_counts(store: Store) -> None:
    index = SqlInstanceIndex(store)
    first, second = instance("1.2.9", content="as sent first"), instance("1.2.9", content="as sent again")
    assert index.record(first) is RecordOutcome.NEW
    assert index.record(second) is RecordOutcome.CONFLICT
    study = first.header.study_instance_uid
    with store.transaction() as session:
        case_id = ensure_case(session, study, "1.2.9")
        set_state(session, case_id, CaseState.REFUSED, "two contents")
        decide.keep(session, "1.2.9", second.sha256[:8], "physicist")
        assert [item.sha256 for item in instances_of(session, study)] == [second.sha256]
        assert [content.set_aside for content in decide.contents_of(session, "1.2.9")] == [True, False]
        assert get_case(session, case_id).state is CaseState.WAITING
        decide.keep(session, "1.2.9", first.sha256[:12], "physicist")
        assert [item.sha256 for item in instances_of(session, study)] == [first.sha256]


@pytest.mark.parametrize("digits", [0, 1, 7])
def test_a_content_that_is_not_named_clearly_is_refused(store: Store, digits: int) -> None:
    item = instance("1.2.9")
    SqlInstanceIndex(store).record(item)
    for name in (item.sha256[:digits], "x" * 12):
        with store.transaction() as session, pytest.raises(IdentityRefusal) as refused:
            decide.keep(session, "1.2.9", name, "physicist")
        assert refused.value.code == "content-unknown"


def test_a_folder_that_cannot_be_held_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "library").write_text("a file")
    (tmp_path / "study" / ".lock").mkdir(parents=True)
    for name in ("library", "study"):
        with pytest.raises(StorageFailure, match=name) as refused, data_folder_lock(tmp_path / name):
            pass
        assert refused.value.code == "data-folder-unusable"


def test_one_data_folder_has_one_bridge(tmp_path: Path) -> None:
    with data_folder_lock(tmp_path), pytest.raises(StorageFailure) as refused, data_folder_lock(tmp_path):
        pass
    assert refused.value.code == "data-folder-in-use"
    assert tmp_path.name in str(refused.value)
    with data_folder_lock(tmp_path):
        pass
