"""The page of a case works without any script: its own forms are filled in and sent as a browser would."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from bridge.web.room import ReviewRoom
from bridge.workflow.cases import CaseState, case_id_of, get_case, put_case
from bridge.workflow.jobs import Job
from bridge.workflow.results import results_of
from bridge.workflow.revisions import newest_revision
from objective_extraction.objective_set import ObjectiveSet
from tests.web.browser import PASSWORD, Browser, code
from tests.web.predicted import receive_and_predict


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)


class Forms(HTMLParser):
    """Reads the forms of a page, and whether each of their controls has a label."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.labelled: set[str] = set()
        self.feed(text)
        for form in self.forms:
            form.unlabelled = [name for name in form.unlabelled if name not in self.labelled]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append(Form(given["action"]))
        elif tag == "label":
            self.labelled.add(given["for"])
        elif tag in ("input", "select") and self.forms:
            if given.get("type") != "checkbox" or "checked" in given:
                self.forms[-1].fields[given["name"]] = given.get("value", "")
            if given.get("type") != "hidden" and "aria-label" not in given:
                self.forms[-1].unlabelled.append(given.get("id", given["name"]))


@pytest.fixture
def job(room: ReviewRoom) -> Job:
    return receive_and_predict(room.store, room.cases_folder, room.cases_folder.parent / "spool")


@pytest.fixture
def physicist(browser: Browser, job: Job) -> Browser:
    browser.log_in("physicist")
    return browser


def forms(browser: Browser, job: Job) -> dict[str, Form]:
    page = browser.get(f"/cases/{job.case_id}")
    assert page.status_code == 200
    return {form.action.rpartition("/")[2]: form for form in Forms(page.text).forms}


def objectives(room: ReviewRoom, job: Job) -> ObjectiveSet:
    with room.store.transaction() as session:
        return newest_revision(session, results_of(session, room.cases_folder, job.case_id)).objectives


def test_a_form_that_nobody_touched_changes_nothing(physicist: Browser, job: Job) -> None:
    before = objectives(physicist.room, job)
    form = forms(physicist, job)["objectives"]
    assert len([name for name in form.fields if name.startswith("keep-")]) == len(before.objectives)
    assert physicist.post(form.action, {**form.fields, "new-kind": "point", "new-operator": "upper"}).status_code == 303
    assert objectives(physicist.room, job) == before


def test_rows_are_changed_left_out_and_added_and_the_case_is_signed(physicist: Browser, job: Job) -> None:
    before = objectives(physicist.room, job)
    form = forms(physicist, job)["objectives"]
    fields = {name: value for name, value in form.fields.items() if name != "keep-1"}
    fields |= {"priority-0": "88.5"}
    fields |= {"new-roi_name": "SpinalCord", "new-kind": "point", "new-operator": "upper"}
    fields |= {"new-dose_gy": "42.25", "new-volume_percent": "0", "new-priority": "60"}
    assert physicist.post(form.action, fields).headers["location"] == f"/cases/{job.case_id}"
    after = objectives(physicist.room, job)
    assert len(after.objectives) == len(before.objectives)
    assert after.objectives[0].priority == 88.5
    assert after.objectives[1:-1] == before.objectives[2:]
    assert "added: SpinalCord upper 0 % (42.25 Gy, 0 %, priority 60)" in physicist.get(f"/cases/{job.case_id}").text
    approval = forms(physicist, job)["approval"]
    assert physicist.post(approval.action, {**approval.fields, "password": PASSWORD}).status_code == 303
    with physicist.room.store.transaction() as session:
        assert get_case(session, job.case_id).state is CaseState.DELIVERING
    assert objectives(physicist.room, job) == after
    assert "approval" not in forms(physicist, job)


def test_a_case_is_rejected_with_a_reason(physicist: Browser, job: Job) -> None:
    form = forms(physicist, job)["rejection"]
    assert physicist.post(form.action, {**form.fields, "reason": "the cord <b>is not</b> whole"}).status_code == 303
    page = physicist.get(f"/cases/{job.case_id}").text
    assert "rejected by a.physicist: the cord &lt;b&gt;is not" in page


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dose_gy-0": "sixty"}, (422, "number-invalid")),
        ({"dose_gy-0": "60,5"}, (422, "number-invalid")),
        ({"dose_gy-0": "inf"}, (422, "number-invalid")),
        ({"rows": "-1"}, (422, "form-invalid")),
        ({"rows": "9999"}, (422, "form-invalid")),
        ({"version": "1-7"}, (409, "edit-stale")),
        ({"new-roi_name": "Nothing", "new-kind": "mean", "new-operator": "upper"}, (422, "number-invalid")),
        ({"new-roi_name": "SpinalCord", "new-kind": "odd", "new-operator": "upper"}, (422, "form-invalid")),
    ],
)
def test_a_form_that_cannot_be_is_refused(
    physicist: Browser, job: Job, change: dict[str, str], expected: tuple[int, str]
) -> None:
    form = forms(physicist, job)["objectives"]
    assert code(physicist.post(form.action, {**form.fields, **change})) == expected


def test_a_person_is_told_on_a_page_why_something_was_refused(physicist: Browser, job: Job) -> None:
    form = forms(physicist, job)["approval"]
    answer = physicist.post(form.action, {**form.fields, "password": "wrong"}, accept="text/html")
    assert answer.status_code == 401
    assert "the password is wrong" in answer.text


@pytest.mark.parametrize(
    ("role", "decides", "edits"), [("viewer", False, False), ("planner", False, True), ("admin", False, False)]
)
def test_a_role_sees_the_forms_that_it_may_use(
    browser: Browser, job: Job, role: str, decides: bool, edits: bool
) -> None:
    browser.log_in(role)
    assert ("approval" in forms(browser, job)) is decides
    assert ("Save objectives" in browser.get(f"/cases/{job.case_id}").text) is edits


def test_every_control_has_a_label(physicist: Browser, job: Job) -> None:
    for form in forms(physicist, job).values():
        assert form.unlabelled == []


def test_a_waiting_case_has_a_page_as_well(browser: Browser) -> None:
    with browser.room.store.transaction() as session:
        put_case(session, "1.2.3", None, CaseState.WAITING, "CT 118 of 120")
    browser.log_in("viewer")
    assert "CT 118 of 120" in browser.get(f"/cases/{case_id_of('1.2.3', None)}").text
    assert browser.get("/cases/0123456789ab").status_code == 404
