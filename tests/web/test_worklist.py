from __future__ import annotations

import json

import pytest

from bridge.web.room import ReviewRoom
from bridge.workflow.cases import CaseState, put_case
from bridge.workflow.jobs import Job, result_folder
from tests.web.browser import Browser
from tests.web.conftest import Clock
from tests.workflow.results import make_results

RESULT = {
    "findings": [
        {
            "code": "hot-spot",
            "severity": "warning",
            "message": "D0.03cc of 'PTV' is 81.00 Gy.",
            "where": {"roi": "PTV"},
        },
        {"code": "body-given", "severity": "info", "message": "The body is drawn.", "where": {}},
    ]
}


@pytest.fixture
def job(room: ReviewRoom) -> Job:
    return make_results(room.store, room.cases_folder, contents={"result": json.dumps(RESULT).encode()})[0]


def test_an_empty_worklist_says_what_to_do(browser: Browser) -> None:
    browser.log_in("viewer")
    assert "No case waits for anybody" in browser.get("/").text
    assert browser.json("/cases.json").json() == []


def test_a_waiting_case_says_what_it_waits_for_and_for_how_long(browser: Browser, clock: Clock) -> None:
    with browser.room.store.transaction() as session:
        put_case(session, "1.2.3", "1.2.3.4", CaseState.WAITING, "CT 118 of 120")
    browser.log_in("viewer")
    (case,) = browser.json("/cases.json").json()
    assert (case["state"], case["reason"]) == ("waiting", "CT 118 of 120")
    assert case["created_utc"] <= case["updated_utc"]
    page = browser.get("/").text
    assert "CT 118 of 120" in page
    assert case["case_id"] in page


def test_a_predicted_case_shows_its_warnings(browser: Browser, job: Job) -> None:
    browser.log_in("viewer")
    (case,) = browser.json("/cases.json").json()
    assert (case["state"], case["warnings"]) == ("review", ["D0.03cc of 'PTV' is 81.00 Gy."])


def test_a_file_that_was_changed_on_disk_is_said_and_hides_no_other_case(browser: Browser, job: Job) -> None:
    (result_folder(browser.room.cases_folder, job) / "result.json").write_text(json.dumps({"findings": []}))
    with browser.room.store.transaction() as session:
        put_case(session, "1.2.9", None, CaseState.WAITING, "RTSTRUCT")
    browser.log_in("viewer")
    changed = next(case for case in browser.json("/cases.json").json() if case["case_id"] == job.case_id)
    assert len(browser.json("/cases.json").json()) == 2
    assert "is not the file that the bridge wrote" in changed["warnings"][0]


def test_what_a_sender_wrote_is_text_and_never_markup(browser: Browser) -> None:
    with browser.room.store.transaction() as session:
        put_case(session, "1.2.3", None, CaseState.REFUSED, "ROI '<img src=x onerror=alert(1)>' is empty")
    browser.log_in("viewer")
    page = browser.get("/").text
    assert "<img" not in page
    assert "&lt;img src=x" in page


@pytest.mark.parametrize(
    ("role", "acts"),
    [("viewer", None), ("planner", ">hold, repeat<"), ("physicist", ">hold, repeat, send, discard<")],
)
def test_the_worklist_offers_what_one_may_do(browser: Browser, job: Job, role: str, acts: str | None) -> None:
    browser.log_in(role)
    page = browser.get("/").text
    assert job.case_id in page
    assert ("Actions</th>" in page) is (acts is not None)
    assert ("#handle" in page) is (acts is not None)
    assert acts is None or acts in page
