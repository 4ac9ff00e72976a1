"""What somebody might try on a case that is to be signed: each is refused, on record, and says why; nothing leaves."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from bridge.node.settings import Destination
from bridge.web.room import ReviewRoom
from bridge.workflow import hand_overs
from bridge.workflow.audit import verify
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.deliveries import SqlDeliveryLedger, deliveries_of
from bridge.workflow.jobs import Job, result_folder
from bridge.workflow.schema import AuditRow
from tests.web.browser import PASSWORD, Browser, code
from tests.web.conftest import Clock


def approval_form(browser: Browser, job: Job) -> dict[str, str]:
    """Fill the form in as the page of the case holds it."""
    page = browser.get(f"/cases/{job.case_id}").text
    form = page.split(f'action="/cases/{job.case_id}/approval"')[1].split("</form>")[0]
    fields = dict(re.findall(r'name="(version|objectives_sha256)" value="([^"]*)"', form))
    return {**fields, "password": PASSWORD}


def approve(browser: Browser, job: Job, form: dict[str, str], **how: Any) -> Any:
    return browser.post(f"/cases/{job.case_id}/approval", form, **how)


def edit(browser: Browser, job: Job) -> Any:
    shown = browser.json(f"/cases/{job.case_id}/objectives.json").json()
    rows = [{"source": place} for place in range(1, len(shown["set"]["objectives"]))]
    path = f"/cases/{job.case_id}/objectives.json"
    return browser.send("PUT", path, {"rows": rows}, **{"if-match": f'"{shown["version"]}"'})


def refused(room: ReviewRoom) -> list[tuple[str, str | None, str]]:
    """Give who was refused what on which case, after the whole chain was checked."""
    with room.store.transaction() as session:
        verify(session)
        query = select(AuditRow).where(AuditRow.action == "request-refused").order_by(AuditRow.id)
        rows = list(session.scalars(query))
        assert all(row.detail["message"] and row.detail["route"] for row in rows)
        return [(row.actor, row.case_id, row.detail["code"]) for row in rows]


def released(room: ReviewRoom, job: Job) -> int:
    with room.store.transaction() as session:
        return len(deliveries_of(session, job.case_id)) + len(hand_overs.hand_overs_of(session, job.case_id))


def test_a_viewer_who_posts_an_approval(physicist: Browser, job: Job) -> None:
    form = approval_form(physicist, job)
    viewer = Browser(physicist.room)
    viewer.log_in("viewer")
    assert code(approve(viewer, job, form)) == (403, "role-too-low")
    assert refused(physicist.room) == [("a.viewer", job.case_id, "role-too-low")]
    assert released(physicist.room, job) == 0


@pytest.mark.parametrize("origin", ["https://evil.test", "null", None])
def test_a_page_of_another_origin(physicist: Browser, job: Job, origin: str | None) -> None:
    form = approval_form(physicist, job)
    assert code(approve(physicist, job, form, origin=origin)) == (403, "other-origin")
    assert code(approve(physicist, job, form, csrf="")) == (403, "csrf-token")
    assert refused(physicist.room) == [
        ("a.physicist", job.case_id, "other-origin"), ("a.physicist", job.case_id, "csrf-token")
    ]  # fmt: skip
    assert released(physicist.room, job) == 0


def test_a_replayed_form(physicist: Browser, job: Job) -> None:
    form = approval_form(physicist, job)
    assert approve(physicist, job, form).status_code == 303
    assert released(physicist.room, job) == 3
    assert code(approve(physicist, job, form)) == (409, "not-in-review")
    with physicist.room.store.transaction() as session:
        set_state(session, job.case_id, CaseState.DELIVERED, "sent")
    edit(physicist, job)
    assert code(approve(physicist, job, form)) == (409, "edit-stale"), "what was signed is another version"
    assert [row[2] for row in refused(physicist.room)] == ["not-in-review", "edit-stale"]
    assert released(physicist.room, job) == 3


def test_a_form_of_an_expired_session(physicist: Browser, job: Job, clock: Clock) -> None:
    form = approval_form(physicist, job)
    clock.advance(minutes=31)
    assert code(approve(physicist, job, form)) == (401, "not-logged-in")
    physicist.log_in("physicist")
    old = physicist.csrf
    physicist.post("/logout")
    physicist.log_in("physicist")
    assert code(approve(physicist, job, form, csrf=old)) == (403, "csrf-token"), "a form of an earlier session"
    assert refused(physicist.room) == [
        ("nobody", job.case_id, "not-logged-in"), ("a.physicist", job.case_id, "csrf-token")
    ]  # fmt: skip
    assert released(physicist.room, job) == 0


def test_a_page_that_follows_a_case_keeps_nobody_logged_in(physicist: Browser, job: Job, clock: Clock) -> None:
    for _ in range(40):
        clock.advance(minutes=1)
        answers = [physicist.json(path) for path in (f"/cases/{job.case_id}/live", "/worklist/table")]
    assert [code(answer) for answer in answers] == [(401, "not-logged-in")] * 2


@pytest.mark.parametrize(
    "form",
    [
        lambda form: {**form, "objectives_sha256": "0" * 64},
        lambda form: {**form, "objectives_sha256": ""},
        lambda form: {**form, "version": "1-1"},
        lambda form: {**form, "version": "9-0"},
        lambda form: {**form, "version": "1-\N{ARABIC-INDIC DIGIT ZERO}"},
        lambda form: {"password": PASSWORD},
    ],
)
def test_an_approval_of_something_else_than_what_is_there(
    physicist: Browser, job: Job, form: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    status, given = code(approve(physicist, job, form(approval_form(physicist, job))))
    assert (status, given) in {(409, "other-objectives"), (409, "edit-stale")}
    assert refused(physicist.room) == [("a.physicist", job.case_id, given)]
    assert released(physicist.room, job) == 0


@pytest.mark.parametrize("name", ["objectives.json", "objectives.xml", "rtplan.dcm", "rtdose.dcm", "report.html"])
def test_a_file_that_was_changed_between_looking_and_signing(physicist: Browser, job: Job, name: str) -> None:
    form = approval_form(physicist, job)
    with (result_folder(physicist.room.cases_folder, job) / name).open("r+b") as file:
        file.seek(200)
        byte = file.read(1)
        file.seek(200)
        file.write(bytes([byte[0] ^ 1]))
    assert code(approve(physicist, job, form)) == (409, "artifact-changed")
    assert refused(physicist.room) == [("a.physicist", job.case_id, "artifact-changed")]
    assert released(physicist.room, job) == 0


def test_a_file_that_was_changed_between_signing_and_sending(physicist: Browser, job: Job) -> None:
    room = physicist.room
    approve(physicist, job, approval_form(physicist, job))
    with (result_folder(room.cases_folder, job) / "rtdose.dcm").open("ab") as file:
        file.write(b"\0")
    with room.store.transaction() as session:
        dose = next(row for row in deliveries_of(session, job.case_id) if row.path.endswith("rtdose.dcm"))
    ledger = SqlDeliveryLedger(room.store, {"tps": Destination("tps", "TPS", "127.0.0.1", 104)})
    assert dose.sop_instance_uid not in {item.sop_instance_uid for item in ledger.due(dose.created_utc)}
    page = physicist.get(f"/cases/{job.case_id}").text
    assert "rtdose.dcm is not the file that was released: it was changed or removed; nothing was sent" in page


def test_a_row_that_is_edited_after_the_approval_voids_it(physicist: Browser, job: Job) -> None:
    room = physicist.room
    approve(physicist, job, approval_form(physicist, job))
    assert code(edit(physicist, job)) == (409, "not-editable"), "while it is being sent"
    with room.store.transaction() as session:
        set_state(session, job.case_id, CaseState.DELIVERED, "sent")
    assert edit(physicist, job).status_code == 200
    with room.store.transaction() as session:
        assert get_case(session, job.case_id).state is CaseState.REVIEW
        voided = session.scalars(select(AuditRow).where(AuditRow.action == "approval-voided")).one()
    assert (voided.actor, voided.detail["signed_by"]) == ("a.physicist", ["a.physicist"])
    assert "Signed by" not in physicist.get(f"/cases/{job.case_id}").text


def test_guessing_the_password_of_a_session_that_was_left_open(physicist: Browser, job: Job) -> None:
    form = approval_form(physicist, job)
    codes = [code(approve(physicist, job, {**form, "password": f"guess {number}"})) for number in range(12)]
    assert codes == [(401, "login-refused")] * 10 + [(429, "login-throttled")] * 2
    assert code(approve(physicist, job, form)) == (429, "login-throttled"), "also with the right one"
    assert released(physicist.room, job) == 0


def test_two_physicists_who_change_the_same_case_through_its_page(physicist: Browser, job: Job) -> None:
    second = Browser(physicist.room)
    second.log_in("planner")
    pages = [one.get(f"/cases/{job.case_id}").text for one in (physicist, second)]
    fields = [
        dict(
            re.findall(r'name="((?:keep|dose_gy|volume_percent|priority|a)-[0-9]+|rows|version)" value="([^"]*)"', page)
        )
        for page in pages
    ]
    path = f"/cases/{job.case_id}/objectives"
    assert physicist.post(path, {**fields[0], "priority-0": "66"}).status_code == 303
    lost = second.post(path, {**fields[1], "priority-0": "77", "dose_gy-1": "59"}, accept="text/html")
    assert lost.status_code == 409
    assert "a.physicist at" in lost.text
    assert "priority 66)" in lost.text, "what the first one did"
    assert "priority 77)" in lost.text, "what the second one wanted"
    assert "59.00 Gy" in lost.text
    assert f'href="/cases/{job.case_id}"' in lost.text


def test_two_physicists_who_sign_what_one_of_them_changes(physicist: Browser, job: Job) -> None:
    room = replace(physicist.room, release=replace(physicist.room.release, needs_two=True))
    first = Browser(room)
    first.log_in("physicist")
    form = approval_form(first, job)
    edit(physicist, job)
    assert code(approve(first, job, form)) == (409, "edit-stale")
    assert released(room, job) == 0
