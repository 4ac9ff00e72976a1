"""The review room as a person uses it: Chromium before a real `serve` that DCMTK sent a real patient to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from playwright.sync_api import Browser, Page, expect

from bridge.web.passwords import Passwords
from bridge.workflow.users import Role, add_user
from tests.e2e.bench import Bench, free_port, openkbp_dicom, tps, until
from tests.web.browser import PASSWORD
from tests.web.chromium import chromium, log_in, open_viewer, page_of
from tests.web.test_case_data import unpacked

pytestmark = pytest.mark.timeout(900)

SECONDS = 1000
PHYSICIST = "m.curie"
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Served:
    """A case that waits for review."""

    bench: Bench
    origin: str
    case_id: str
    structure_set: Path

    @property
    def results(self) -> Path:
        """The folder of the newest results."""
        return max((self.bench.data / "cases" / self.case_id).iterdir(), key=lambda folder: folder.stat().st_mtime)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Send one patient for all tests of this file: predicting takes longest."""
    folder, port = tmp_path_factory.mktemp("room"), free_port()
    bench = Bench(folder)
    bench.settings = {
        "review": {"enabled": True, "port": port, "presets": {"Left parotid": {"oar_weights": {"Parotid_L": 1.2}}}},
        "release": {"predicted_dose": "after_approval"},
    }
    patient = openkbp_dicom(folder / "openkbp")
    with tps(bench):
        try:
            bench.start()
            assert bench.send(*patient).returncode == 0
            with bench.store.transaction() as session:
                add_user(session, PHYSICIST, Role.PHYSICIST, Passwords().hash(PASSWORD), "setup")
            case_id = bench.wait_for("review", 500).case_id
            structure_set = next(file for file in patient if pydicom.dcmread(file).Modality == "RTSTRUCT")
            yield Served(bench, f"http://127.0.0.1:{port}", case_id, structure_set)
        finally:
            bench.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, served: Served, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Give a page on which the case is open and the model ready; its last picture is kept beside the results."""
    with page_of(browser) as page:
        log_in(page, served.origin, PHYSICIST)
        open_viewer(page, served.origin, served.case_id)
        settled(page)
        yield page
        page.screenshot(path=served.bench.folder / f"{request.node.name}.png")


def settled(page: Page) -> None:
    """Wait until the newest question is answered and shown."""
    page.wait_for_function(
        """() => {
          const {asked, answered, state} = document.getElementById('viewer').dataset;
          return asked && asked === answered && state === 'ready';
        }""",
        timeout=240 * SECONDS,
    )
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def file_of(served: Served) -> pydicom.Dataset:
    """Give the RTDOSE as it is exported now."""
    return pydicom.dcmread(served.results / "rtdose.dcm")


def curve(page: Page, name: str) -> list[list[float]]:
    """Give the points of a structure's curve as drawn: px from the left and the top of the chart."""
    points = page.locator(f"g.now[data-roi='{roi(page, name)}'] polyline").get_attribute("points") or ""
    return [list(map(float, pair.split(","))) for pair in points.split()]


def roi(page: Page, name: str) -> str:
    value = page.locator("[data-part=wish-roi] option", has_text=re.compile(f"^{name}$")).get_attribute("value")
    assert value is not None
    return value


def change(page: Page, name: str, metric: str) -> tuple[float, float]:
    """Give what the table of changes says: before and now."""
    row = page.locator("[data-part=changes] tr").filter(has=page.locator("th", has_text=re.compile(f"^{name}$")))
    cells = row.filter(has_text=metric).locator("td.number").all_inner_texts()
    return float(cells[0]), float(cells[1])


def picture(page: Page, plane: str) -> str:
    data: str = page.locator(f"canvas[data-plane={plane}]").evaluate("canvas => canvas.toDataURL()")
    return data


def test_the_curves_and_the_dose_are_those_of_the_exported_files(page: Page, served: Served, tmp_path: Path) -> None:
    dose = served.results / "rtdose.dcm"
    done = served.bench.run(
        "dvh", "--dose", str(dose), "--structures", str(served.structure_set), "--json", str(tmp_path / "dvh.json")
    )
    assert done.returncode == 0, done.stderr
    chart = page.evaluate("""() => {
      const x = name => [...document.querySelectorAll('.axes line')].map(line => Number(line.getAttribute(name)));
      const texts = [...document.querySelectorAll('.axes text')].map(text => Number(text.textContent));
      return {x: x('x1').slice(0, 2), gy: texts.slice(0, 2)};
    }""")
    gy_per_px = (chart["gy"][1] - chart["gy"][0]) / (chart["x"][1] - chart["x"][0])
    measured = json.loads((tmp_path / "dvh.json").read_text())["structures"]
    assert len(measured) == 11
    for one in (one for one in measured if one["roi_name"] != "BODY"):
        gy = (np.array(curve(page, one["roi_name"]))[:-1, 0] - chart["x"][0]) * gy_per_px
        assert gy == pytest.approx(np.array(one["curve"]["dose_gy"]), abs=0.01), one["roi_name"]
    assert page.locator("[data-part=prescription]").inner_text().endswith("HFS")


def test_a_slider_moves_curves_figures_goals_and_pictures_together_and_back(page: Page) -> None:
    before, pictures = curve(page, "Parotid_L"), [picture(page, plane) for plane in ("axial", "coronal", "sagittal")]
    slider = page.get_by_role("slider", name="Parotid_L")
    slider.focus()
    for _ in range(5):
        slider.press("ArrowRight")
    settled(page)
    assert slider.input_value() == "1.05"
    slider.fill("1.3")
    settled(page)
    moved = curve(page, "Parotid_L")
    was, is_now = change(page, "Parotid_L", "mean")
    page.select_option("[data-part=against]", "exported")
    exported, still = change(page, "Parotid_L", "mean")
    assert is_now < was < exported, "more weight spares it more, step by step"
    assert still == is_now
    assert np.mean([gy for gy, _ in moved]) < np.mean([gy for gy, _ in before])
    after = [picture(page, plane) for plane in ("axial", "coronal", "sagittal")]
    assert all(one != other for one, other in zip(pictures, after, strict=True))
    assert page.locator("[data-part=goals] tr").count() == 22
    while page.locator("[data-part=undo]").is_enabled():
        page.keyboard.press("Control+z")
        settled(page)
    assert curve(page, "Parotid_L") == before, "undone is as exported"
    while page.locator("[data-part=redo]").is_enabled():
        page.locator("[data-part=redo]").click()
        settled(page)
    assert curve(page, "Parotid_L") == moved


def test_of_many_quick_moves_the_last_is_shown_and_none_after_it(page: Page, served: Served) -> None:
    page.evaluate("""async () => {
      const slider = document.querySelector('[data-wish="oar_weight"]');
      for (let move = 0; move < 15; move++) {
        slider.value = String(0.8 + 0.03 * move);
        slider.dispatchEvent(new Event('input'));
        await new Promise(done => setTimeout(done, 90));
      }
      slider.dispatchEvent(new Event('change'));
    }""")
    settled(page)
    page.wait_for_timeout(1500)
    assert page.locator("canvas[data-plane=axial] >> xpath=../p").inner_text().endswith("A: organs 1.22")
    assert page.get_by_role("slider", name="All organs").input_value() == "1.22"
    assert served.bench.audited("request-refused") == 0


def test_presets_two_settings_side_by_side_and_their_difference(page: Page) -> None:
    page.click("text=P1 spare")
    settled(page)
    page.click("text=Keep as B")
    page.click("text=P2 cover")
    settled(page)
    page.select_option("[data-part=layout]", "side")
    page.wait_for_timeout(300)
    titles = page.locator(".pane-title").all_inner_texts()
    assert [title.partition("· ")[2].partition(" (")[0] for title in titles] == [
        "A: HI 0.06, organs 0.85",
        "B: organs 1.25",
        f"A {MINUS} B",
    ]
    expect(page.get_by_role("button", name="P2 cover")).to_have_attribute("aria-pressed", "true")
    page.select_option("[data-part=against]", "b")
    spared, covered = change(page, "Parotid_R", "mean")
    assert covered > spared + 1.0
    under = page.locator("[data-part=under]")
    a, b = (float(under.get_attribute(f"data-{name}") or "nan") for name in "ab")
    assert f"A {MINUS} B {a - b:.2f} Gy".replace("-", MINUS) in under.inner_text()
    page.click("text=Left parotid")
    settled(page)
    assert page.get_by_role("slider", name="Parotid_L").input_value() == "1.2"


def test_a_drawn_point_of_a_curve_finds_the_setting_that_comes_nearest(page: Page) -> None:
    box = page.locator("[data-part=dvh]").bounding_box()
    assert box is not None
    x, y = curve(page, "Larynx")[50]
    page.mouse.move(box["x"] + x, box["y"] + y)
    said = page.locator("[data-part=dvh-point]").inner_text()
    before = float(re.findall(r"= ([\d.]+) Gy", said)[0])
    assert said.startswith("Larynx D50%")
    page.mouse.down()
    page.mouse.move(box["x"] + x - 12, box["y"] + y, steps=4)
    page.mouse.up()
    wanted = float(page.locator("[data-part=wish-dose]").input_value())
    assert before - 5 < wanted < before - 0.5
    settled(page)
    status = page.locator("[data-part=status]").inner_text()
    reached = float(re.findall(r"Larynx D50% = ([\d.]+) Gy is the nearest", status)[0])
    assert re.search(rf"Cost: (\w+ \S+ [+{MINUS}][\d.]+ Gy|less than 0.1 Gy anywhere)", status), status
    assert abs(reached - wanted) < abs(before - wanted) - 0.3
    assert page.get_by_role("slider", name="Larynx").input_value() > "1"
    was, is_now = change(page, "Larynx", "mean")
    assert is_now < was


def test_a_search_can_be_stopped_and_leaves_what_is_shown(page: Page) -> None:
    before = curve(page, "Parotid_R")
    page.select_option("[data-part=wish-roi]", roi(page, "Parotid_R"))
    page.fill("[data-part=wish-volume]", "50")
    page.fill("[data-part=wish-dose]", "3")
    page.click("text=Find")
    page.wait_for_selector("progress:not([hidden])", timeout=60 * SECONDS)
    page.click("text=Stop")
    expect(page.locator("[data-part=status]")).to_have_text("Stopped.")
    page.wait_for_timeout(1500)
    assert curve(page, "Parotid_R") == before
    assert page.locator("[data-part=undo]").is_disabled()


def test_planes_cross_and_window_answer_to_keyboard_and_mouse(page: Page) -> None:
    axial = page.locator("canvas[data-plane=axial]")
    title = page.locator(".pane-title").first
    axial.focus()
    first = float(re.findall(r"z (-?[\d.]+) mm", title.inner_text())[0])
    page.keyboard.press("PageUp")
    page.wait_for_timeout(200)
    assert float(re.findall(r"z (-?[\d.]+) mm", title.inner_text())[0]) == pytest.approx(first + 3.0, abs=1.6)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    x = float((page.locator("[data-part=under]").get_attribute("data-point") or "").split(",")[0])
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    further = float((page.locator("[data-part=under]").get_attribute("data-point") or "").split(",")[0])
    assert further - x == pytest.approx(5.422, abs=0.01), "one voxel to the patient's left"
    page.select_option("[data-part=window]", "bone")
    assert page.locator("[data-part=window-values]").inner_text() == "L 400 W 1800"


def test_a_setting_is_adopted_edited_approved_and_exported(page: Page, served: Served) -> None:
    """From sliders to the planning system; at no step can the setting on the screen be taken for what is signed."""

    def photograph(step: str) -> None:
        page.screenshot(path=served.bench.folder / f"adopt-{step}.png")

    notices = page.locator("[data-of-exported]")
    adopt = page.get_by_role("button", name="Predict and export with this setting")
    page.get_by_role("slider", name="Parotid_L").fill("1.3")
    settled(page)
    with page.expect_response("**/volumes/preview-*") as answer:
        page.get_by_role("slider", name="HI,").fill("0.07")
    settled(page)
    shown_gy = 0.01 * unpacked(answer.value.body(), file_of(served).pixel_array.shape).view("<u2")
    for notice in notices.all():
        expect(notice).to_contain_text(
            "Objectives and files below are of the exported prediction (no wish), "
            "not of the setting that the viewer shows (HI 0.07, Parotid_L 1.3)."
        )
    photograph("1-moved")
    page.locator(".decide").scroll_into_view_if_needed()
    photograph("2-said-where-one-signs")
    page.locator(".decide").get_by_role("button", name="Adopt").click()
    page.keyboard.type("spare the left parotid")
    adopt.click()
    until(lambda: served.bench.audited("prediction-repeated") == 1, 60, "the prediction")
    served.bench.wait_for("review", 500)
    open_viewer(page, served.origin, served.case_id)
    settled(page)
    photograph("3-adopted")
    assert page.get_by_role("slider", name="Parotid_L").input_value() == "1.3"
    assert not any(notice.is_visible() for notice in notices.all())
    file = file_of(served)
    exported_gy, step_gy = file.pixel_array * float(file.DoseGridScaling), 0.01 + float(file.DoseGridScaling)
    assert np.abs(exported_gy - shown_gy).max() <= 0.5 * step_gy * 1.001, "exported is what was shown, as both round it"
    page.click("text=Neutral")
    settled(page)
    for notice in notices.all():
        expect(notice).to_contain_text("of the exported prediction (HI 0.07, Parotid_L 1.3), not of")
    page.locator("input[name='priority-0']").fill("87")
    page.click("text=Save objectives")
    page.wait_for_selector("#viewer[data-loaded=true]")
    assert page.locator("input[name='priority-0']").input_value() == "87"
    page.locator("input[name='priority-0']").scroll_into_view_if_needed()
    photograph("4-edited")
    page.fill("#sign-password", PASSWORD)
    page.click("text=Sign and release")
    served.bench.wait_for("delivered", 60)
    arrived = {file.Modality: file for file in map(pydicom.dcmread, served.bench.arrived.iterdir())}
    assert sorted(arrived) == ["RTDOSE", "RTPLAN"]
    assert np.array_equal(arrived["RTDOSE"].pixel_array, file.pixel_array), "what was adopted is what arrives"
    approved = [json.loads(path.read_text()) for path in served.bench.data.rglob("objectives.json")]
    assert any(document["objectives"][0]["priority"] == 87 for document in approved)
    page.goto(f"{served.origin}/cases/{served.case_id}")
    page.get_by_role("heading", name="Sent, and come back").scroll_into_view_if_needed()
    photograph("5-sent")
