"""The page while sliders stand elsewhere than what is signed: it says so, keeps the setting, and has it exported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect
from sqlalchemy import select

from bridge.rt.volume import Dose
from bridge.web.room import ReviewRoom
from bridge.workflow import jobs
from bridge.workflow.jobs import Job
from bridge.workflow.preview import Preview, PreviewRequest, preview
from bridge.workflow.schema import AuditRow
from models.preference import NEUTRAL
from tests.e2e.bench import free_port
from tests.web.chromium import chromium, log_in, open_viewer, page_of, served
from tests.web.predicted import SETTINGS
from tests.web.test_case_data import came_back

pytestmark = pytest.mark.timeout(400)

MINUS = "\N{MINUS SIGN}"
GONE = {"kind": "refused", "code": "input-changed", "message": "It is not what was received.", "where": {}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, room: ReviewRoom, job: Job) -> Iterator[Page]:
    """Give the page of a case whose dose falls with the weight of the spinal cord."""

    def predict(request: PreviewRequest) -> Preview:
        asked = replace(request, settings_json=SETTINGS.model_dump_json(), preference=NEUTRAL)
        neutral, weight = preview(asked), request.preference.oar_weights.get("SpinalCord", 1.0)
        return replace(neutral, dose=Dose(neutral.dose.values / weight, neutral.dose.grid))

    settings = room.settings.model_copy(
        update={"prediction": room.settings.prediction.model_copy(update={"model": "fdp-openkbp-v1"})}
    )
    local = replace(room, origin=f"http://127.0.0.1:{free_port()}", settings=settings, predict_preview=predict)
    with served(local), page_of(browser) as page:
        log_in(page, local.origin, "a.physicist")
        open_viewer(page, local.origin, job.case_id)
        settled(page)
        yield page


def settled(page: Page) -> None:
    """Wait until the newest question is answered and shown."""
    page.wait_for_function("""() => {
      const {asked, answered, state} = document.getElementById('viewer').dataset;
      return asked && asked === answered && state === 'ready';
    }""")


def move(page: Page, value: str) -> None:
    page.get_by_role("slider", name="SpinalCord").fill(value)
    settled(page)


def test_it_is_said_where_one_signs_that_the_setting_shown_is_another(page: Page) -> None:
    notices = page.locator("[data-of-exported]")
    assert notices.count() == 3, "objectives, signature, figures"
    assert not any(notice.is_visible() for notice in notices.all())
    expect(page.locator("[data-part=adopt-button]")).to_be_disabled()
    move(page, "1.25")
    for notice in notices.all():
        expect(notice).to_contain_text(
            "Objectives and files below are of the exported prediction (no wish), "
            "not of the setting that the viewer shows (SpinalCord 1.25)."
        )
    assert page.locator(".decide [data-of-exported]").is_visible()
    page.get_by_role("button", name="Undo", exact=True).click()
    settled(page)
    assert not any(notice.is_visible() for notice in notices.all())
    expect(page.locator("[data-part=adopt-button]")).to_be_disabled()


def test_on_a_laptop_the_toolbar_is_one_line_and_every_slider_is_named_in_full(page: Page) -> None:
    move(page, "1.25")
    tops = page.eval_on_selector_all(
        "#viewer .bar > *",
        "all => all.map(one => one.getBoundingClientRect()).map(({top, height}) => top + height / 2)",
    )
    assert max(tops) - min(tops) < 5
    labels = page.locator("#viewer .slider label")
    assert labels.first.inner_text() == f"HI, (D2{MINUS}D98)/D50"
    assert (
        page.eval_on_selector_all(
            "#viewer .slider label, #viewer .bar label",
            "all => all.filter(one => one.scrollWidth > one.clientWidth).length",
        )
        == 0
    )
    heights = page.eval_on_selector_all("#viewer .ends span", "all => all.map(one => one.offsetHeight)")
    assert max(heights) < 20, "on one line"
    find, wanted = page.locator("[data-part=wish] button"), page.locator("[data-part=wish-roi]")
    assert abs(middle(find) - middle(wanted)) < 5


def middle(place: Locator) -> float:
    box = place.bounding_box()
    assert box is not None
    return box["y"] + box["height"] / 2


def test_a_setting_that_is_adopted_is_queued_with_its_reason(page: Page, room: ReviewRoom) -> None:
    move(page, "1.25")
    page.locator(".decide").get_by_role("button", name="Adopt").click()
    page.keyboard.type("spare the cord")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=to be predicted again, a.physicist asks")
    with room.store.transaction() as session:
        again = jobs.claim_next(session)
        kept = session.scalars(select(AuditRow).where(AuditRow.action == "prediction-repeated")).one()
    assert again is not None
    assert again.preference is not None
    assert again.preference["oar_weights"] == {"SpinalCord": 1.25}
    assert (kept.actor, kept.detail["reason"]) == ("a.physicist", "spare the cord")
    expect(page.get_by_role("button", name="Sign")).to_have_count(0)


def test_a_setting_is_saved_used_and_deleted_under_a_name(page: Page) -> None:
    move(page, "1.3")
    page.fill("[data-part=preset-name]", "Cord first")
    page.click("text=Save this setting")
    preset = page.get_by_role("button", name="Cord first", exact=True)
    expect(preset).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Neutral").click()
    settled(page)
    expect(preset).to_have_attribute("aria-pressed", "false")
    preset.click()
    settled(page)
    assert page.get_by_role("slider", name="SpinalCord").input_value() == "1.3"
    page.once("dialog", lambda asked: asked.accept())
    page.get_by_role("button", name="Delete preset Cord first").click()
    expect(preset).to_have_count(0)


def test_a_dose_that_cannot_be_had_does_not_hide_what_the_sliders_give(page: Page, room: ReviewRoom, job: Job) -> None:
    """It was chosen for B, did not come, and A stood still for ever while the sliders moved."""
    came_back(room, job, 1.05)
    page.route("**/dvh/optimized-1", lambda route: route.fulfill(status=409, json=GONE))
    page.reload()
    page.wait_for_selector("#viewer[data-loaded=true]")
    settled(page)
    page.select_option("[data-part=dose-b]", "optimized-1")
    expect(page.locator("[data-part=status]")).to_have_text(str(GONE["message"]))
    assert page.locator("[data-part=dose-b]").input_value() == "dose", "what is shown is what is chosen"
    before = page.locator("[data-part=under]").get_attribute("data-a")
    move(page, "1.25")
    expect(page.locator(".pane-title").first).to_contain_text("A: SpinalCord 1.25")
    after = page.locator("[data-part=under]").get_attribute("data-a")
    assert float(after or "nan") == pytest.approx(float(before or "nan") / 1.25, abs=0.01)


def test_a_setting_whose_dose_is_not_shown_is_not_adopted_after_a_refusal(page: Page) -> None:
    move(page, "1.25")
    held = list[Route]()
    page.route("**/prediction.json", lambda route: held.append(route))
    page.route("**/previews", lambda route: held.append(route))
    page.fill("[data-part=adopt-reason]", "spare the cord")
    page.click("[data-part=adopt-button]")
    expect(page.locator("[data-part=adopt-button]")).to_be_disabled()
    page.get_by_role("slider", name="SpinalCord").fill("1.4")
    page.wait_for_selector("#viewer[data-state=busy]")
    next(route for route in held if "prediction" in route.request.url).fulfill(status=409, json=GONE)
    expect(page.locator("[data-part=status]")).to_have_text(str(GONE["message"]))
    expect(page.locator("[data-part=adopt-button]")).to_be_disabled()
