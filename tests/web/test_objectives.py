"""Editing, signing and rejecting: nobody's edit is lost, and what leaves is exactly what was signed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx2 as httpx
import pydicom
import pytest
from sqlalchemy import select

from bridge.rt.errors import ApprovalRefusal
from bridge.web.room import ReviewRoom
from bridge.workflow import hand_overs, jobs
from bridge.workflow.approved import approved_objectives
from bridge.workflow.audit import verify
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.deliveries import deliveries_of
from bridge.workflow.jobs import Job, result_folder
from bridge.workflow.release import approve
from bridge.workflow.results import results_of
from bridge.workflow.schema import AuditRow
from bridge.workflow.users import Role, add_user
from objective_extraction.eclipse_template import read_template
from objective_extraction.objective_json import read_objective_set
from objective_extraction.objective_set import ObjectiveSet
from tests.web.browser import PASSWORD, Browser, code
from tests.web.conftest import QUICK
from tests.web.predicted import receive_and_predict


@pytest.fixture
def job(room: ReviewRoom) -> Job:
    return receive_and_predict(room.store, room.cases_folder, room.cases_folder.parent / "spool")


@pytest.fixture
def physicist(browser: Browser, job: Job) -> Browser:
    browser.log_in("physicist")
    return browser


@pytest.fixture
def planner(room: ReviewRoom, job: Job) -> Browser:
    other = Browser(room)
    other.log_in("planner")
    return other


@pytest.fixture
def strict(room: ReviewRoom, job: Job) -> tuple[Browser, Browser]:
    """Two physicists where two are needed."""
    with room.store.transaction() as session:
        add_user(session, "a.second", Role.PHYSICIST, QUICK.hash(PASSWORD), "setup")
    strict_room = replace(room, release=replace(room.release, needs_two=True))
    first, second = Browser(strict_room), Browser(strict_room)
    first.log_in("physicist")
    second.log_in("second")
    return first, second


def read(browser: Browser, job: Job) -> dict[str, Any]:
    content: dict[str, Any] = browser.json(f"/cases/{job.case_id}/objectives.json").json()
    return content


def kept_rows(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"source": place} for place in range(len(shown["set"]["objectives"]))]


def save(browser: Browser, job: Job, version: str, rows: list[dict[str, Any]]) -> httpx.Response:
    headers = {"if-match": f'"{version}"'}
    return browser.send("PUT", f"/cases/{job.case_id}/objectives.json", {"rows": rows}, **headers)


def edit_first(browser: Browser, job: Job, dose_gy: float = 33.5) -> dict[str, Any]:
    shown = read(browser, job)
    rows = kept_rows(shown)
    place = next(i for i, one in enumerate(shown["set"]["objectives"]) if one["roi_name"] == "SpinalCord")
    rows[place]["dose_gy"] = dose_gy
    answer = save(browser, job, shown["version"], rows)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def sign(browser: Browser, job: Job, shown: dict[str, Any] | None = None, password: str = PASSWORD) -> httpx.Response:
    seen = shown or read(browser, job)
    wanted = {"version": seen["version"], "objectives_sha256": seen["set"]["sha256"], "password": password}
    return browser.send("POST", f"/cases/{job.case_id}/approval.json", wanted)


def reject(browser: Browser, job: Job, reason: str) -> httpx.Response:
    wanted = {"version": read(browser, job)["version"], "reason": reason}
    return browser.send("POST", f"/cases/{job.case_id}/rejection.json", wanted)


def state(room: ReviewRoom, job: Job) -> tuple[CaseState, str]:
    with room.store.transaction() as session:
        case = get_case(session, job.case_id)
        return case.state, case.reason


def events(room: ReviewRoom, action: str) -> list[AuditRow]:
    with room.store.transaction() as session:
        verify(session)
        return list(session.scalars(select(AuditRow).where(AuditRow.action == action).order_by(AuditRow.id)))


def newest_set(room: ReviewRoom, job: Job) -> ObjectiveSet:
    with room.store.transaction() as session:
        return read_objective_set(results_of(session, room.cases_folder, job.case_id).path("objectives"))


def test_the_table_is_what_was_extracted_with_the_origin_of_every_row(physicist: Browser, job: Job) -> None:
    shown = read(physicist, job)
    on_disk = json.loads((result_folder(physicist.room.cases_folder, job) / "objectives.json").read_text())
    assert shown["set"] == on_disk
    assert all(row["origin"]["sentence"] for row in shown["set"]["objectives"])
    assert (shown["history"], shown["signed_by"], shown["author"]) == ([], [], None)


def test_an_edit_is_a_new_version_that_says_who_changed_what(physicist: Browser, job: Job) -> None:
    before = read(physicist, job)
    saved = edit_first(physicist, job)
    after = read(physicist, job)
    assert (after["version"], after["set"]) == (saved["version"], saved["set"])
    assert after["version"] != before["version"]
    assert after["author"] == "a.physicist"
    assert "33.50 Gy" in after["history"][0]
    (event,) = events(physicist.room, "objectives-edited")
    assert event.actor == "a.physicist"
    assert (event.detail["before"], event.detail["after"]) == (before["set"]["sha256"], after["set"]["sha256"])


def test_saving_without_a_change_makes_no_version(physicist: Browser, job: Job) -> None:
    shown = read(physicist, job)
    assert save(physicist, job, shown["version"], kept_rows(shown)).json()["version"] == shown["version"]
    assert events(physicist.room, "objectives-edited") == []


def test_the_second_of_two_editors_is_told_what_the_first_did_and_loses_nothing(
    physicist: Browser, planner: Browser, job: Job
) -> None:
    seen = read(planner, job)
    edit_first(physicist, job, 31.25)
    rows = kept_rows(seen)
    rows[0]["priority"] = 77.0
    answer = save(planner, job, seen["version"], rows)
    assert code(answer) == (409, "edit-stale")
    assert "a.physicist at" in answer.json()["message"]
    assert "31.25 Gy" in answer.json()["message"]
    assert answer.json()["where"]["version"] == read(physicist, job)["version"]
    assert planner.audited() == [("a.planner", "edit-stale")]
    assert read(planner, job)["set"] == read(physicist, job)["set"]
    assert save(planner, job, read(planner, job)["version"], rows).status_code == 200
    assert len(read(planner, job)["history"]) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dose_gy": 7000.0}, (422, "objective-range")),
        ({"dose_gy": "20"}, (422, "json-invalid")),
        ({"priority": 0.0}, (422, "objective-range")),
        ({"roi_name": "Parotid_L"}, (422, "json-invalid")),
        ({"origin": {}}, (422, "json-invalid")),
        ({"source": 999}, (422, "objective-row")),
    ],
)
def test_an_edit_that_cannot_be_is_refused_and_changes_nothing(
    physicist: Browser, job: Job, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    shown = read(physicist, job)
    rows = kept_rows(shown)
    rows[0] |= change
    assert code(save(physicist, job, shown["version"], rows)) == expected
    assert read(physicist, job) == shown


def test_an_edit_must_say_what_it_is_an_edit_of(physicist: Browser, job: Job) -> None:
    path, rows = f"/cases/{job.case_id}/objectives.json", {"rows": kept_rows(read(physicist, job))}
    assert code(physicist.send("PUT", path, rows)) == (428, "if-match-missing")
    assert code(physicist.send("PUT", path, rows, **{"if-match": "*"})) == (428, "if-match-missing")
    assert code(physicist.send("PUT", path, rows, **{"if-match": '"99999-0"'})) == (409, "edit-stale")


def test_what_nobody_edited_is_approved_as_it_was_written(physicist: Browser, job: Job) -> None:
    shown = read(physicist, job)
    assert sign(physicist, job).json() == {"released": True}
    assert state(physicist.room, job)[0] is CaseState.DELIVERING
    with physicist.room.store.transaction() as session:
        objectives, approval = approved_objectives(session, job.case_id, physicist.room.cases_folder)
        assert objectives.sha256 == shown["set"]["sha256"]
        assert approval.approved_by == "a.physicist"
        assert len(deliveries_of(session, job.case_id)) == 2
    (statement,) = events(physicist.room, "case-signed")
    assert statement.detail["objectives_sha256"] == shown["set"]["sha256"]
    assert "NOT FOR CLINICAL USE" in statement.detail["statement"]


def test_edited_objectives_leave_in_every_file_and_under_uids_of_their_own(physicist: Browser, job: Job) -> None:
    room = physicist.room
    edit_first(physicist, job)
    shown = read(physicist, job)
    assert sign(physicist, job).json() == {"released": True}
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, job.case_id)
        (hand_over,) = hand_overs.hand_overs_of(session, job.case_id)
        sent = {row.sop_instance_uid: row.path for row in deliveries_of(session, job.case_id)}
    assert newest_set(room, job).sha256 == hand_over.objectives_sha256 == shown["set"]["sha256"]
    assert hand_over.sha256 == jobs.artifact_of(results.artifacts, "objectives").sha256
    old, new = result_folder(room.cases_folder, job), results.folder
    assert old != new
    plans = [pydicom.dcmread(folder / "rtplan.dcm") for folder in (old, new)]
    doses = [pydicom.dcmread(folder / "rtdose.dcm") for folder in (old, new)]
    assert len({item.SOPInstanceUID for item in (*plans, *doses)}) == 4
    assert {plans[1].SOPInstanceUID, doses[1].SOPInstanceUID} == set(sent)
    assert doses[1].ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == plans[1].SOPInstanceUID
    assert doses[1].PixelData == doses[0].PixelData
    assert doses[1].DoseGridScaling == doses[0].DoseGridScaling
    assert 33.5 in [row.dose_gy for row in read_template(new / "objectives.xml")]
    assert "33.5" in (new / "report.html").read_text()
    dvhs = [json.loads((folder / "dvh.json").read_text())["structures"] for folder in (old, new)]
    for before, after in zip(*dvhs, strict=True):
        assert after["metrics"]["mean_gy"] == pytest.approx(before["metrics"]["mean_gy"], abs=0.001)
    with room.store.transaction() as session:
        maker = jobs.maker_of(session, job.case_id, [plans[1].SOPInstanceUID])
        assert maker is not None
        assert maker[0].id == results.job.id


def test_a_wrong_password_signs_nothing(physicist: Browser, job: Job) -> None:
    assert code(sign(physicist, job, password=PASSWORD[::-1])) == (401, "login-refused")
    assert state(physicist.room, job)[0] is CaseState.REVIEW
    assert physicist.audited() == [("a.physicist", "login-refused")]


def test_only_physicists_decide(planner: Browser, job: Job) -> None:
    assert code(sign(planner, job)) == (403, "role-too-low")
    assert code(reject(planner, job, "no")) == (403, "role-too-low")
    assert planner.audited() == [("a.planner", "role-too-low")] * 2


def test_an_approval_of_what_was_edited_meanwhile_is_refused(physicist: Browser, planner: Browser, job: Job) -> None:
    seen = read(physicist, job)
    edit_first(planner, job)
    assert code(sign(physicist, job, seen)) == (409, "edit-stale")
    forged = {**seen, "version": read(physicist, job)["version"]}
    assert code(sign(physicist, job, forged)) == (409, "other-objectives")
    assert state(physicist.room, job)[0] is CaseState.REVIEW


def test_a_replayed_approval_and_an_edit_while_it_is_sent_are_refused(physicist: Browser, job: Job) -> None:
    seen = read(physicist, job)
    assert sign(physicist, job, seen).status_code == 200
    assert code(sign(physicist, job, seen)) == (409, "not-in-review")
    assert code(save(physicist, job, seen["version"], [{"source": 0}])) == (409, "not-editable")
    assert code(reject(physicist, job, "too late")) == (409, "not-in-review")
    assert len(events(physicist.room, "case-approved")) == 1


def test_a_file_that_was_changed_before_the_approval_is_never_released(physicist: Browser, job: Job) -> None:
    seen = read(physicist, job)
    with (result_folder(physicist.room.cases_folder, job) / "rtplan.dcm").open("ab") as file:
        file.write(b"\0")
    assert code(sign(physicist, job, seen)) == (409, "artifact-changed")
    assert events(physicist.room, "case-signed") == []


@pytest.mark.parametrize("name", ["rtdose.dcm", "result.json", "dvh.json"])
def test_edited_objectives_are_not_sealed_over_changed_files(physicist: Browser, job: Job, name: str) -> None:
    edit_first(physicist, job)
    with (result_folder(physicist.room.cases_folder, job) / name).open("ab") as file:
        file.write(b"\n")
    assert code(sign(physicist, job)) == (409, "artifact-changed")
    assert state(physicist.room, job)[0] is CaseState.REVIEW


def test_an_edit_in_the_database_is_found(physicist: Browser, job: Job) -> None:
    edit_first(physicist, job)
    with physicist.room.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE revisions SET document = replace(document, '33.5', '53.5')")
    assert code(physicist.json(f"/cases/{job.case_id}/objectives.json")) == (409, "objectives-changed")


def test_an_edit_of_a_delivered_case_voids_its_approval(physicist: Browser, job: Job) -> None:
    room = physicist.room
    sign(physicist, job)
    with room.store.transaction() as session:
        set_state(session, job.case_id, CaseState.DELIVERED, "2 objects to tps")
    edit_first(physicist, job)
    assert state(room, job) == (CaseState.REVIEW, "edited by a.physicist; waits for approval")
    (event,) = events(room, "approval-voided")
    assert event.detail == {"signed_by": ["a.physicist"], "was": "delivered"}
    assert sign(physicist, job).json() == {"released": True}
    with room.store.transaction() as session:
        assert len(deliveries_of(session, job.case_id)) == 4
        assert len(hand_overs.hand_overs_of(session, job.case_id)) == 2


def test_a_rejected_case_says_why_and_is_not_approved_until_it_is_edited(
    physicist: Browser, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert reject(physicist, job, "the left parotid is the right one").status_code == 200
    assert state(physicist.room, job) == (
        CaseState.REJECTED,
        "rejected by a.physicist: the left parotid is the right one",
    )
    assert "parotid" not in caplog.text, "what a person types may name a patient"
    assert code(sign(physicist, job)) == (409, "not-in-review")
    edit_first(physicist, job)
    assert sign(physicist, job).json() == {"released": True}


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501, "two\nlines"])
def test_a_rejection_needs_a_reason(physicist: Browser, job: Job, reason: str) -> None:
    assert code(reject(physicist, job, reason)) == (409, "reason")
    assert state(physicist.room, job)[0] is CaseState.REVIEW


def test_where_two_are_needed_one_person_does_not_release(strict: tuple[Browser, Browser], job: Job) -> None:
    first, second = strict
    assert sign(first, job).json() == {"released": False}
    assert state(first.room, job) == (CaseState.REVIEW, "signed by a.physicist; waits for a second physicist")
    assert code(sign(first, job)) == (409, "signed-already")
    assert sign(second, job).json() == {"released": True}
    (event,) = events(first.room, "case-approved")
    assert event.actor == "a.physicist and a.second"


def test_an_edit_between_two_signatures_voids_the_first(strict: tuple[Browser, Browser], job: Job) -> None:
    first, second = strict
    edit_first(second, job, 30.0)
    assert sign(first, job).json() == {"released": False}
    edit_first(second, job, 44.0)
    (event,) = events(first.room, "approval-voided")
    assert (event.actor, event.detail["signed_by"]) == ("a.second", ["a.physicist"])
    assert sign(second, job).json() == {"released": False}
    assert read(first, job)["signed_by"] == ["a.second"]
    assert sign(first, job).json() == {"released": True}
    cord = [one for one in newest_set(first.room, job).objectives if one.roi_name == "SpinalCord"]
    assert 44.0 in [one.dose_gy for one in cord if one.kind != "line"]
    assert len(events(first.room, "case-approved")) == 1


def test_the_command_line_does_not_release_past_an_edit(physicist: Browser, job: Job) -> None:
    room = physicist.room
    edit_first(physicist, job)
    with room.store.transaction() as session:
        seen = jobs.artifact_of(results_of(session, room.cases_folder, job.case_id).artifacts, "objectives").sha256
        with pytest.raises(ApprovalRefusal, match="edited") as refused:
            approve(session, job.case_id, room.cases_folder, (), "somebody", seen)
    assert refused.value.code == "edited-meanwhile"
