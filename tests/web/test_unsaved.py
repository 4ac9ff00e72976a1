"""Nobody signs what he does not see: fields that are changed and not saved keep the signature back, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import Page, expect

from bridge.web.room import ReviewRoom
from bridge.workflow.cases import CaseState, get_case
from bridge.workflow.jobs import Job
from tests.e2e.bench import free_port
from tests.web.browser import PASSWORD, Browser
from tests.web.chromium import chromium, log_in, page_of, served
from tests.web.objective_room import kept_rows, read, save

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chromium]:
    with chromium() as browser:
        yield browser


def test_an_edit_that_is_not_saved_keeps_the_signature_back(chrome: Chromium, room: ReviewRoom, job: Job) -> None:
    local = replace(room, origin=f"http://127.0.0.1:{free_port()}")
    with served(local), page_of(chrome) as page:
        log_in(page, local.origin, "a.physicist")
        page.goto(f"{local.origin}/cases/{job.case_id}")
        button, priority = page.get_by_role("button", name="Sign and release"), page.locator("[name=priority-0]")
        was = priority.input_value()
        expect(button).to_be_enabled()
        _edit_and_try_to_sign(page, room, job)
        priority.fill(was)
        expect(button).to_be_enabled()
        page.locator("[name=keep-0]").uncheck()
        expect(button).to_be_disabled()
        asked = list[str]()
        page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
        page.get_by_role("link", name="Worklist").click()
        page.wait_for_timeout(500)
        assert asked == ["beforeunload"]
        assert page.url.endswith(job.case_id)
        page.get_by_role("button", name="Undo what is not saved").click()
        expect(button).to_be_enabled()
        priority.fill("55")
        page.get_by_role("button", name="Save objectives").click()
        expect(button).to_be_enabled()
        expect(priority).to_have_value("55")
        page.fill("#sign-password", PASSWORD)
        button.click()
        expect(page.locator(".patient .state")).to_have_text("delivering", timeout=120_000)


def _edit_and_try_to_sign(page: Page, room: ReviewRoom, job: Job) -> None:
    page.locator("[name=priority-0]").fill("55")
    expect(page.get_by_role("button", name="Sign and release")).to_be_disabled()
    expect(page.locator("#sign-waits")).to_contain_text("1 field is changed and not saved.")
    page.fill("#sign-password", PASSWORD)
    page.press("#sign-password", "Enter")
    page.evaluate("document.querySelector('[data-signs]').form.requestSubmit()")
    page.wait_for_timeout(500)
    with room.store.transaction() as session:
        assert get_case(session, job.case_id).state is CaseState.REVIEW


def test_back_puts_nothing_that_was_typed_beside_the_rows_of_another_version(
    chrome: Chromium, room: ReviewRoom, planner: Browser, job: Job
) -> None:
    """The page that Back loads has the rows of now, and somebody took the first one out meanwhile."""
    local = replace(room, origin=f"http://127.0.0.1:{free_port()}")
    with served(local), page_of(chrome) as page:
        log_in(page, local.origin, "a.physicist")
        page.goto(f"{local.origin}/cases/{job.case_id}")
        shown = read(planner, job)
        page.locator("[name=priority-1]").fill("77")
        assert save(planner, job, shown["version"], kept_rows(shown)[1:]).status_code == 200
        page.get_by_role("button", name="Save objectives").click()
        expect(page.get_by_text("You wanted: changed:")).to_be_visible()
        expect(page.get_by_text("still have there what you typed")).to_have_count(0)
        page.go_back()
        expect(page.locator("[name=version]").first).to_have_value(read(planner, job)["version"])
        saved = read(planner, job)["set"]["objectives"][1]["priority"]
        expect(page.locator("[name=priority-1]")).to_have_value(f"{saved:g}")
        expect(page.get_by_role("button", name="Sign and release")).to_be_enabled()


def test_without_scripts_one_signs_where_there_are_no_fields(browser: Browser, job: Job) -> None:
    browser.log_in("physicist")
    page = browser.get(f"/cases/{job.case_id}").text
    assert '<button data-signs disabled aria-describedby="sign-waits">Sign and release' in page
    assert f'<a href="/cases/{job.case_id}/signing">' in page
    signing = browser.get(f"/cases/{job.case_id}/signing").text
    assert "<button>Sign and release" in signing
    assert 'name="priority-0"' not in signing
    browser.log_in("planner")
    assert browser.get(f"/cases/{job.case_id}/signing").status_code == 403
