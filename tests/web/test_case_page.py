"""The page of a case works without any script: its own forms are filled in and sent as a browser would."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pytest
from sqlalchemy.orm import Session

from bridge.rt.errors import StorageFailure
from bridge.web import case_page
from bridge.web.room import ReviewRoom
from bridge.workflow.cases import CaseState, case_id_of, get_case, put_case
from bridge.workflow.jobs import Job
from bridge.workflow.results import CaseResults, results_of
from bridge.workflow.revisions import Revision, newest_revision
from objective_extraction.objective_set import ObjectiveSet
from tests.web.browser import PASSWORD, Browser, code
from tests.web.objective_room import events


@dataclass
class Form:
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)


class Forms(HTMLParser):
    """Reads the forms of a page, and whether each of their controls has a label; those of scripts have no action."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.is_open = False
        self.labelled: set[str] = set()
        self.feed(text)
        for form in self.forms:
            form.unlabelled = [name for name in form.unlabelled if name not in self.labelled]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form" and "action" in given:
            self.is_open = True
            self.forms.append(Form(given["action"]))
        elif tag == "label" and self.is_open:
            self.labelled.add(given["for"])
        elif tag in ("input", "select") and self.is_open:
            if given.get("type") != "checkbox" or "checked" in given:
                self.forms[-1].fields[given["name"]] = given.get("value", "")
            if given.get("type") != "hidden" and "aria-label" not in given:
                self.forms[-1].unlabelled.append(given.get("id", given["name"]))

    def handle_endtag(self, tag: str) -> None:
        self.is_open = self.is_open and tag != "form"


def forms(browser: Browser, job: Job) -> dict[str, Form]:
    page = browser.get(f"/cases/{job.case_id}")
    assert page.status_code == 200
    return {form.action.partition("#")[0].rpartition("/")[2]: form for form in Forms(page.text).forms}


def objectives(room: ReviewRoom, job: Job) -> ObjectiveSet:
    with room.store.transaction() as session:
        return newest_revision(session, results_of(session, room.cases_folder, job.case_id)).objectives


def test_a_form_that_nobody_touched_changes_nothing(physicist: Browser, job: Job) -> None:
    before = objectives(physicist.room, job)
    form = forms(physicist, job)["objectives"]
    assert len([name for name in form.fields if name.startswith("keep-")]) == len(before.objectives)
    assert (
        physicist.post(form.action, {**form.fields, "new-kind": "point", "new-operator": "upper"})
        .headers["location"]
        .endswith("?objectives=unchanged#objectives")
    )
    assert objectives(physicist.room, job) == before


def test_rows_are_changed_left_out_and_added_and_the_case_is_signed(physicist: Browser, job: Job) -> None:
    before = objectives(physicist.room, job)
    form = forms(physicist, job)["objectives"]
    fields = {name: value for name, value in form.fields.items() if name != "keep-1"}
    fields |= {"priority-0": "88.5"}
    fields |= {"new-roi_name": "SpinalCord", "new-kind": "point", "new-operator": "upper"}
    fields |= {"new-dose_gy": "42.25", "new-volume_percent": "0", "new-priority": "60"}
    saved = physicist.post(form.action, fields).headers["location"]
    assert saved == f"/cases/{job.case_id}?objectives=saved#objectives"
    assert "<strong>Saved.</strong> This is version" in physicist.get(saved).text
    after = objectives(physicist.room, job)
    assert len(after.objectives) == len(before.objectives)
    assert after.objectives[0].priority == 88.5
    assert after.objectives[1:-1] == before.objectives[2:]
    assert "added: SpinalCord upper 0 % (42.25 Gy, 0 %, priority 60)" in physicist.get(f"/cases/{job.case_id}").text
    carried = f"The RTPLAN carries [0-9]+ of {len(after.objectives)} objectives"
    assert re.search(carried, physicist.get(f"/cases/{job.case_id}").text), "an edit does not hide how many"
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
    assert "Nothing was signed: the password is wrong." in answer.text
    assert "<strong>Back</strong> leads to the form." in answer.text
    assert "Back</strong>" not in physicist.get("/cases/0123456789ab").text, "no form was sent"


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


def test_the_signature_names_every_file_that_it_is_for(physicist: Browser, job: Job) -> None:
    """The statement said "the files named here", and none was."""
    with physicist.room.store.transaction() as session:
        results = results_of(session, physicist.room.cases_folder, job.case_id)
    page = physicist.get(f"/cases/{job.case_id}").text
    decide = page[page.index('id="decide"') : page.index('id="dose"')]
    for artifact in results.artifacts:
        link = f"/cases/{job.case_id}/files/{artifact.sha256}"
        assert f'href="{link}"' in decide
        assert f"<code>{artifact.sha256}</code>" in decide
        got = physicist.get(link)
        assert hashlib.sha256(got.content).hexdigest() == artifact.sha256
        assert got.headers["content-disposition"] == f'attachment; filename="{artifact.path}"'
    assert "Setting</dt><dd>no wish" in decide
    assert objectives(physicist.room, job).sha256 in decide
    assert code(physicist.json(f"/cases/{job.case_id}/files/{'0' * 64}")) == (404, "file-unknown")


def test_the_setting_says_what_was_used_where_a_wish_was_held(
    physicist: Browser, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(session: Session, results: CaseResults) -> Revision:
        newest = newest_revision(session, results)
        provenance = replace(
            newest.objectives.provenance, preference={"hi": 0.02, "oar_weight": 1.25}, preference_used={"hi": 0.105}
        )
        return replace(newest, objectives=replace(newest.objectives, provenance=provenance))

    monkeypatch.setattr(case_page, "newest_revision", held)
    page = physicist.get(f"/cases/{job.case_id}").text
    assert "Setting</dt><dd>HI 0.02, all organs 1.25 (used: HI 0.105)</dd>" in page


def test_a_file_that_was_changed_is_not_shown(physicist: Browser, job: Job) -> None:
    with physicist.room.store.transaction() as session:
        results = results_of(session, physicist.room.cases_folder, job.case_id)
    results.path("report").write_text("<h1>another one</h1>")
    sha256 = next(one.sha256 for one in results.artifacts if one.kind == "report")
    assert code(physicist.json(f"/cases/{job.case_id}/files/{sha256}")) == (409, "artifact-changed")


def test_who_signed_is_not_asked_to_sign_again(room: ReviewRoom, job: Job) -> None:
    strict = Browser(replace(room, release=replace(room.release, needs_two=True)))
    strict.log_in("physicist")
    approval = forms(strict, job)["approval"]
    assert strict.post(approval.action, {**approval.fields, "password": PASSWORD}).status_code == 303
    assert "approval" not in forms(strict, job)
    page = strict.get(f"/cases/{job.case_id}").text
    assert "It waits for a second physicist" in page
    assert "Sign and release" not in page


def test_who_looked_at_which_case_is_audited_once_an_hour(
    physicist: Browser, planner: Browser, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(physicist.room.looks, "_clock", lambda: now[0])

    def looks() -> list[tuple[str, str | None]]:
        return [(event.actor, event.case_id) for event in events(physicist.room, "case-looked-at")]

    path = f"/cases/{job.case_id}"
    assert physicist.json(f"{path}/live").status_code == 200
    assert physicist.json("/cases/000000000000/objectives.json").status_code == 404
    assert looks() == [], "a page that asks by itself is no look, and no case none"
    for _ in range(3):
        assert physicist.get(path).status_code == 200
        assert physicist.json(f"{path}/objectives.json").status_code == 200
    assert looks() == [("a.physicist", job.case_id)]
    assert planner.json(f"{path}/objectives.json").status_code == 200
    now[0] = 3599.0
    assert physicist.get(path).status_code == 200
    assert looks() == [("a.physicist", job.case_id), ("a.planner", job.case_id)]
    now[0] = 3601.0
    assert physicist.get(path).status_code == 200
    assert looks()[2:] == [("a.physicist", job.case_id)]
    assert events(physicist.room, "case-looked-at")[0].detail == {"address": "testclient"}


def test_who_looked_at_the_names_in_the_worklist_is_audited_once_an_hour(physicist: Browser, planner: Browser) -> None:
    for _ in range(2):
        assert physicist.get("/").status_code == 200
        assert physicist.get("/worklist/table").status_code == 200
        assert physicist.json("/cases.json").status_code == 200
    assert planner.json("/cases.json").status_code == 200
    looks = events(physicist.room, "worklist-looked-at")
    assert [(look.actor, look.case_id, look.detail) for look in looks] == [
        ("a.physicist", None, {"address": "testclient"}), ("a.planner", None, {"address": "testclient"}),
    ]  # fmt: skip


def test_who_takes_the_names_without_the_page_around_them_is_audited_too(physicist: Browser) -> None:
    other = Browser(physicist.room)
    other.post("/login", {"name": "a.planner", "password": PASSWORD})
    for _ in range(2):
        assert other.get("/worklist/table").status_code == 200
    assert [look.actor for look in events(physicist.room, "worklist-looked-at")] == ["a.physicist", "a.planner"]


def test_a_patient_is_not_shown_where_the_look_cannot_be_audited(
    physicist: Browser, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("bridge.workflow.audit.append", _full)
        assert physicist.get(f"/cases/{job.case_id}").status_code == 503
    assert physicist.get(f"/cases/{job.case_id}").status_code == 200
    assert len(events(physicist.room, "case-looked-at")) == 1


def _full(*_: object, **__: object) -> None:
    raise StorageFailure("database", "The database cannot be written: disk full.")
