from __future__ import annotations

import pytest
from sqlalchemy import select

from bridge.rt.errors import ApprovalRefusal
from bridge.workflow.cases import CaseState, case_id_of, ensure_case, get_case, list_cases, put_case, set_state
from bridge.workflow.schema import AuditRow
from bridge.workflow.store import Store


def test_the_id_is_the_same_after_every_restart_and_safe_in_a_path() -> None:
    # sha256("1.2/1.2.3"), computed by sha256sum
    assert case_id_of("1.2", "1.2.3") == "5e3b3f62503f"
    assert case_id_of("1.2", None) != case_id_of("1.2", "1.2.3") != case_id_of("1.2", "1.2.4")
    assert len(case_id_of("../../etc", "x/y")) == 12
    assert case_id_of("../../etc", "x/y").isalnum()


def test_a_case_is_made_once_and_keeps_its_state(store: Store) -> None:
    with store.transaction() as session:
        case_id = ensure_case(session, "1.2", "1.2.3")
        set_state(session, case_id, CaseState.REVIEW, "predicted")
        assert ensure_case(session, "1.2", "1.2.3") == case_id
        case = get_case(session, case_id)
    assert (case.state, case.reason, case.structure_set_uid) == (CaseState.REVIEW, "predicted", "1.2.3")


def test_a_study_that_waited_ceases_to_be_a_case_of_its_own(store: Store) -> None:
    with store.transaction() as session:
        put_case(session, "1.2", None, CaseState.WAITING, "No RTSTRUCT yet")
        put_case(session, "1.9", None, CaseState.WAITING, "No RTSTRUCT yet")
        put_case(session, "1.2", "1.2.3", CaseState.WAITING, "CT 1 of 2")
        put_case(session, "1.2", "1.2.4", CaseState.WAITING, "CT 1 of 2")
        found = {(case.study_instance_uid, case.structure_set_uid) for case in list_cases(session)}
        assert {case.structure_set_uid for case in list_cases(session, "1.2")} == {"1.2.3", "1.2.4"}
    assert found == {("1.9", None), ("1.2", "1.2.3"), ("1.2", "1.2.4")}


def test_only_a_change_is_an_event(store: Store) -> None:
    with store.transaction() as session:
        for reason in ("CT 1 of 2", "CT 1 of 2", "CT 2 of 2"):
            put_case(session, "1.2", "1.2.3", CaseState.WAITING, reason)
        set_state(session, case_id_of("1.2", "1.2.3"), CaseState.REFUSED, "CT 2 of 2", actor="physicist")
        events = [(row.actor, row.action, row.detail["reason"]) for row in session.scalars(select(AuditRow))]
    assert events == [
        ("bridge", "case-waiting", "CT 1 of 2"),
        ("bridge", "case-waiting", "CT 2 of 2"),
        ("physicist", "case-refused", "CT 2 of 2"),
    ]


def test_an_unknown_case_is_refused_by_name(store: Store) -> None:
    with store.transaction() as session, pytest.raises(ApprovalRefusal, match="no case 'nothing'") as raised:
        get_case(session, "nothing")
    assert raised.value.code == "case-unknown"
