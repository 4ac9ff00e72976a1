"""Department templates: made of a case, approved, applied, retired; never changed, and never used unapproved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bridge.web.room import ReviewRoom
from bridge.workflow.audit import verify
from bridge.workflow.jobs import Job
from bridge.workflow.schema import AuditRow
from bridge.workflow.users import Role, add_user
from tests.web.browser import PASSWORD, Browser, code
from tests.web.conftest import QUICK


def shown(browser: Browser, job: Job) -> dict[str, Any]:
    content: dict[str, Any] = browser.json(f"/cases/{job.case_id}/objectives.json").json()
    return content


def place_of(content: dict[str, Any], roi: str, volume: float) -> int:
    return next(
        place
        for place, row in enumerate(content["set"]["objectives"])
        if (row["roi_name"], row.get("volume_percent")) == (roi, volume)
    )


def edit(browser: Browser, job: Job) -> None:
    """Ask the cord for 40 Gy and more weight, the first target for 97 % of its level, and nothing of the ring."""
    content = shown(browser, job)
    rows: list[dict[str, Any]] = [
        {"source": place} for place, row in enumerate(content["set"]["objectives"]) if row["roi_name"] != "Ring_PTV"
    ]
    rows[place_of(content, "SpinalCord", 0.0)] |= {"dose_gy": 40.0, "priority": 90.0}
    rows[place_of(content, "PTV_6000", 98.0)] |= {"dose_gy": 58.2}
    path = f"/cases/{job.case_id}/objectives.json"
    answer = browser.send("PUT", path, {"rows": rows}, **{"if-match": f'"{content["version"]}"'})
    assert answer.status_code == 200, answer.text


def draft(browser: Browser, job: Job, name: str = "head-neck") -> Any:
    return browser.post(f"/cases/{job.case_id}/template", {"version": shown(browser, job)["version"], "name": name})


def file_of(room: ReviewRoom, number: int = 1) -> Path:
    return room.templates_folder / "head-neck" / f"v{number}.json"


def approve(browser: Browser, number: int = 1, sha256: str | None = None, password: str = PASSWORD) -> Any:
    page = browser.get(f"/templates/head-neck/{number}").text
    seen = page.split('name="sha256" value="')[1][:64] if sha256 is None else sha256
    return browser.post(f"/templates/head-neck/{number}/approval", {"sha256": seen, "password": password})


def apply(browser: Browser, job: Job, number: int = 1, version: str | None = None) -> Any:
    seen = version or shown(browser, job)["version"]
    form = {"template": f"head-neck/{number}", "version": seen}
    return browser.post(f"/cases/{job.case_id}/template/application", form)


def undo(browser: Browser, job: Job) -> None:
    """Bring the case to where the cord is asked for something else, so that applying changes it."""
    content = shown(browser, job)
    rows = [{"source": place} for place in range(len(content["set"]["objectives"]))]
    rows[place_of(content, "SpinalCord", 0.0)] |= {"dose_gy": 20.0}  # type: ignore[dict-item]
    path = f"/cases/{job.case_id}/objectives.json"
    browser.send("PUT", path, {"rows": rows}, **{"if-match": f'"{content["version"]}"'})


def test_a_template_keeps_what_was_set_by_hand_and_leaves_the_rest_to_each_prediction(
    physicist: Browser, job: Job
) -> None:
    edit(physicist, job)
    assert draft(physicist, job).headers["location"] == "/templates/head-neck/1"
    document = json.loads(file_of(physicist.room).read_text())
    rows = {(row["structure"], row["operator"], row["volume_percent"]): row for row in document["rows"]}
    cord = rows["organ:SpinalCord", "upper", 0.0]
    assert (cord["dose"], cord["value"], cord["priority"]) == ("gy", 40.0, 90.0)
    target = rows["target:1", "lower", 98.0]
    assert (target["dose"], target["value"]) == ("percent", 97.0)
    others = [row for key, row in rows.items() if row is not cord and row is not target]
    assert {(row["dose"], row["value"]) for row in others} == {("predicted", None)}
    assert not [key for key in rows if key[0] == "ring"]
    assert "PHANTOM" not in file_of(physicist.room).read_text(), "no patient is in a template"


def test_an_approved_template_is_applied_and_every_row_says_where_it_comes_from(physicist: Browser, job: Job) -> None:
    edit(physicist, job)
    wanted = shown(physicist, job)["set"]
    draft(physicist, job)
    approve(physicist)
    undo(physicist, job)
    assert apply(physicist, job).headers["location"] == f"/cases/{job.case_id}"
    applied = shown(physicist, job)["set"]

    def numbers(content: dict[str, Any]) -> list[tuple[Any, ...]]:
        keys = ("roi_number", "roi_name", "standard_name", "kind", "operator", "dose_gy", "volume_percent", "priority")
        return [tuple(row[key] for key in keys) for row in content["objectives"]]

    assert numbers(applied) == numbers(wanted)
    said = {row["origin"]["sentence"] for row in applied["objectives"] if row["roi_name"] == "SpinalCord"}
    assert "Template head-neck v1: 40.00 Gy. Extracted here: 35.45 Gy." in said
    assert {row["origin"]["rule"] for row in applied["objectives"]} == {"template"}
    codes = {finding["code"]: finding["message"] for finding in applied["findings"]}
    assert "asks nothing of Ring_PTV" in codes["template-partial"]
    page = physicist.get(f"/cases/{job.case_id}").text
    for heading in ("Extracted", "Template head-neck v1"):
        assert f'<th scope="col">{heading}</th>' in page
    assert "a.physicist at" in page
    assert "template head-neck v1 applied: 14 objectives" in page


def test_what_was_applied_is_signed_like_any_edit_and_the_steps_stay_told(physicist: Browser, job: Job) -> None:
    edit(physicist, job)
    draft(physicist, job)
    approve(physicist)
    undo(physicist, job)
    apply(physicist, job)
    content = shown(physicist, job)
    wanted = {"version": content["version"], "objectives_sha256": content["set"]["sha256"], "password": PASSWORD}
    assert physicist.send("POST", f"/cases/{job.case_id}/approval.json", wanted).json() == {"released": True}
    assert shown(physicist, job)["set"] == content["set"]
    page = physicist.get(f"/cases/{job.case_id}").text
    assert '<th scope="col">Extracted</th><th scope="col">Template head-neck v1</th>' in page
    assert "35.45 Gy, priority 7" in page


def test_only_an_approved_version_is_applied_and_the_next_one_retires_it(physicist: Browser, job: Job) -> None:
    draft(physicist, job)
    assert code(apply(physicist, job)) == (409, "template-state")
    approve(physicist)
    edit(physicist, job)
    draft(physicist, job)
    approve(physicist, 2)
    assert code(apply(physicist, job, 1)) == (409, "template-state")
    page = physicist.get("/templates/head-neck/2").text
    assert ">v1</a> retired" in page
    assert "new: SpinalCord upper 0 % (40 Gy, priority 90)" in page
    assert physicist.post("/templates/head-neck/2/retirement").status_code == 303
    assert code(apply(physicist, job, 2)) == (409, "template-state")
    assert code(physicist.post("/templates/head-neck/2/retirement")) == (409, "template-state")
    assert code(approve(physicist, 2, sha256="0" * 64)) == (409, "template-state")
    with physicist.room.store.transaction() as session:
        verify(session)
        kept = session.scalars(select(AuditRow).where(AuditRow.action.like("template-%")).order_by(AuditRow.id))
        told = [(row.action, row.actor, row.detail["version"]) for row in kept]
    assert told == [
        ("template-drafted", "a.physicist", 1), ("template-approved", "a.physicist", 1),
        ("template-drafted", "a.physicist", 2), ("template-retired", "a.physicist", 1),
        ("template-approved", "a.physicist", 2), ("template-retired", "a.physicist", 2),
    ]  # fmt: skip


def test_a_template_whose_file_was_changed_is_neither_approved_nor_applied(physicist: Browser, job: Job) -> None:
    draft(physicist, job)
    page = physicist.get("/templates/head-neck/1").text
    sha256 = page.split('name="sha256" value="')[1][:64]
    content = file_of(physicist.room).read_text()
    file_of(physicist.room).write_text(content.replace('"priority": 7.0', '"priority": 70.0', 1))
    assert code(approve(physicist, sha256=sha256)) == (409, "template-changed")
    file_of(physicist.room).write_text(content)
    assert code(approve(physicist, sha256="0" * 64)) == (409, "template-changed")
    approve(physicist)
    file_of(physicist.room).write_text(content.replace('"priority": 7.0', '"priority": 70.0', 1))
    assert code(apply(physicist, job)) == (409, "template-changed")
    assert physicist.audited()[-1] == ("a.physicist", "template-changed")


def test_approving_takes_the_password_and_where_two_are_needed_another_person(
    room: ReviewRoom, physicist: Browser, job: Job
) -> None:
    draft(physicist, job)
    assert code(approve(physicist, password="not my password")) == (401, "login-refused")  # noqa: S106
    strict = replace(room, release=replace(room.release, needs_two=True))
    with room.store.transaction() as session:
        add_user(session, "a.second", Role.PHYSICIST, QUICK.hash(PASSWORD), "setup")
    first, second = Browser(strict), Browser(strict)
    first.log_in("physicist")
    second.log_in("second")
    assert code(approve(first)) == (409, "template-author")
    assert approve(second).status_code == 303


def test_a_template_over_a_colleagues_edit_is_refused(physicist: Browser, job: Job) -> None:
    draft(physicist, job)
    approve(physicist)
    before = shown(physicist, job)["version"]
    edit(physicist, job)
    edited = shown(physicist, job)
    assert code(apply(physicist, job, version=before)) == (409, "edit-stale")
    stale = {"version": before, "name": "head-neck"}
    assert code(physicist.post(f"/cases/{job.case_id}/template", stale)) == (409, "edit-stale")
    assert shown(physicist, job) == edited


@pytest.mark.parametrize("name", ["", "../x", "Head Neck", "-a", "a" * 41])
def test_a_template_has_a_plain_name(physicist: Browser, job: Job, name: str) -> None:
    assert code(draft(physicist, job, name)) == (422, "template-name")
    assert not physicist.room.templates_folder.exists()


@pytest.mark.parametrize("path", ["/templates/head-neck/9", "/templates/nothing/1", "/templates/head-neck/x"])
def test_a_template_that_is_not_there(physicist: Browser, path: str) -> None:
    assert code(physicist.json(path)) == (404, "template-unknown")


def test_planners_apply_and_physicists_make_approve_and_retire(physicist: Browser, job: Job) -> None:
    draft(physicist, job)
    planner = Browser(physicist.room)
    planner.log_in("planner")
    assert code(draft(planner, job)) == (403, "role-too-low")
    assert code(approve(planner, sha256="0" * 64)) == (403, "role-too-low")
    assert code(planner.post("/templates/head-neck/1/retirement")) == (403, "role-too-low")
    approve(physicist)
    assert apply(planner, job).status_code == 303
