"""The viewer's modules by themselves, in the browser that runs them, against closed forms."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, Route

from bridge.report.dose_planes import isodose_levels, tone_colours
from bridge.report.line_style import line_styles
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.structure import RoiKind, Structure
from tests.programs import require_program
from tests.web.chromium import chromium, page_of

STATIC = Path(__file__).resolve().parents[2] / "bridge/web/static"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Give an empty page of a site that serves the modules alone."""

    def answer(route: Route) -> None:
        name = route.request.url.partition("/static/")[2]
        if not name:
            route.fulfill(body="<!doctype html><link rel=icon href=/static/icon.svg>", content_type="text/html")
        else:
            route.fulfill(path=STATIC / name)

    with chromium() as browser, page_of(browser) as page:
        page.route("**/*", answer)
        page.goto("http://modules.test/")
        yield page


def run(page: Page, module: str, body: str, given: object = None) -> Any:
    """Run a function body with a module as ``m``."""
    return page.evaluate(f"async given => {{ const m = await import('/static/viewer/{module}.js'); {body} }}", given)


def test_the_modules_keep_their_types() -> None:
    done = subprocess.run([require_program("tsc"), "-p", str(STATIC / "jsconfig.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def circle(radius: float, x: float, y: float, count: int = 90) -> list[list[float]]:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle)]).tolist()


def test_an_isodose_of_a_cone_is_its_circle(page: Page) -> None:
    """Every end of a piece lies on the circle to the sag of linear interpolation, and the pieces make its length."""
    pieces = run(page, "isodose", """
      const values = new Float32Array(60 * 50);
      for (let row = 0; row < 50; row++) for (let column = 0; column < 60; column++)
        values[row * 60 + column] = 70 - 2 * Math.hypot(column - 31.3, row - 24.6);
      return [...m.pieces({values, width: 60, height: 50}, 40)];
    """)  # fmt: skip
    ends = np.array(pieces).reshape(-1, 2)
    assert np.hypot(*(ends - [31.3, 24.6]).T) == pytest.approx(15.0, abs=0.03)
    length = np.hypot(*(ends[1::2] - ends[::2]).T).sum()
    assert length == pytest.approx(2 * np.pi * 15.0, rel=0.005)


@pytest.mark.parametrize(("corners", "joined"), [([1, 0, 1, 0.1], True), ([1, 0, 0.8, 0.1], False)])
def test_a_saddle_is_parted_by_its_middle(page: Page, corners: list[float], joined: bool) -> None:
    """With the high corners upper left and lower right: joined, the lines go around the low ones."""
    a, b, c, d = corners
    body = "return [...m.pieces({values: Float32Array.from(given), width: 2, height: 2}, 0.5)];"
    pieces = np.array(run(page, "isodose", body, [a, b, d, c])).reshape(-1, 2, 2)
    assert len(pieces) == 2
    upper_right = [piece for piece in pieces if piece[:, 1].min() == 0 and piece[:, 0].max() == 1]
    assert bool(upper_right) is joined


def test_the_dose_wash_is_that_of_the_report(page: Page) -> None:
    """Between isodoses the tone is interpolated, as the report's picture does; below the lowest there is none."""
    levels = tuple(
        TargetLevel(number, f"PTV_{gy}00", float(gy), "target_name") for number, gy in enumerate((70, 63, 56), 1)
    )
    isodoses = isodose_levels(Prescription(levels, 35))
    tones = tone_colours(np.linspace(0.0, 1.0, 256))
    served = {"isodoses": [asdict(one) for one in isodoses], "tones": tones.tolist(), "wash_opacity": 0.38}
    doses = [6.9, 7.0, 20.0, 58.3, 66.5, 72.0, 74.9, 90.0]
    shown = run(page, "colours", """
      const wash = new m.DoseWash(given.served);
      const rgb = place => [...wash.colours.slice(4 * place, 4 * place + 3)];
      return given.doses.map(gy => wash.place(gy)).map(place => place < 0 ? null : rgb(place));
    """, {"served": served, "doses": doses})  # fmt: skip
    assert shown[0] is None
    rising = isodoses[::-1]
    reported = np.interp(doses[1:], [one.dose_gy for one in rising], [one.tone for one in rising])
    expected = tone_colours(reported).astype(int)
    assert np.abs(np.array(shown[1:]) - expected).max() <= 8, "to the steps of the map"


def test_a_change_is_the_difference_of_what_is_shown(page: Page) -> None:
    said = run(page, "changes", "return given.map(one => m.difference(one));", [
        {"unit": "Gy", "before": 7.1652, "now": 6.0449},
        {"unit": "Gy", "before": 61.5849, "now": 61.5851},
        {"unit": "Gy", "before": 5.0, "now": 5.004},
        {"unit": "", "before": 0.0594, "now": 0.0616},
    ])  # fmt: skip
    assert said == ["\N{MINUS SIGN}1.13", "+0.01", "0", "+0.003"]


def cylinder(zs: list[float]) -> list[dict[str, object]]:
    return [{"z_mm": z, "loops_mm": [circle(20, 5, -3)]} for z in zs]


def test_a_coronal_cut_of_a_cylinder_is_a_rectangle(page: Page) -> None:
    planes = cylinder([0, 3, 6, 9])
    pieces = np.array(
        run(page, "contours", "return m.uprightPieces(m.slabs(given, 3), 1, -3 + 12);", planes)
    ).reshape(-1, 4)  # fmt: skip
    upright = pieces[pieces[:, 0] == pieces[:, 2]]
    flat = pieces[pieces[:, 1] == pieces[:, 3]]
    half = np.sqrt(20**2 - 12**2)
    assert sorted(set(np.round(upright[:, 0], 2))) == pytest.approx([5 - half, 5 + half], abs=0.05)
    assert np.abs(upright[:, 3] - upright[:, 1]).sum() == pytest.approx(2 * 12.0)
    assert sorted(flat[:, 1]) == [-1.5, 10.5], "closed below and above, and no line where slabs meet"


def test_a_gap_between_contours_stays_open_only_where_nothing_was_drawn(page: Page) -> None:
    """A plane without loops is a hole that neighbours must not fill; a hole in a loop is one by the even-odd rule."""
    planes = [*cylinder([0, 3]), {"z_mm": 6.0, "loops_mm": []}, *cylinder([9])]
    body = "return [-1, 3, 6, 9].map(z => m.loopsAt(m.slabs(given, 3), z).length);"
    assert run(page, "contours", body, planes) == [1, 1, 0, 1]
    ring = {"z_mm": 0.0, "loops_mm": [circle(20, 0, 0), circle(10, 0, 0)]}
    found = run(page, "contours", "return m.crossings(given, 0, 0);", ring)
    assert found == pytest.approx([-20, -10, 10, 20], abs=0.05)


def test_a_single_contour_is_as_thick_as_an_image(page: Page) -> None:
    body = "const [slab] = m.slabs(given, 2.5); return [slab.bottom, slab.top];"
    assert run(page, "contours", body, cylinder([10])) == [8.75, 11.25]


def test_names_of_curves_stand_at_their_own_curve_and_across_no_other(page: Page) -> None:
    """Three steep curves 12 px apart and one alone: what has no room has no name."""
    placed = run(page, "names", """
      const upright = x => y => x - 0.02 * y, at = [300, 288, 276, 120];
      const names = ['PTV_7000', 'PTV_6300', 'PTV_5600', 'Larynx'];
      const curves = names.map((name, place) => ({name, x: upright(at[place])}));
      const placed = m.placedNames(curves, [], {left: 40, right: 400, top: 10, bottom: 300});
      return placed.map(one => ({...one, at: curves[one.index].x(one.y)}));
    """)  # fmt: skip
    assert [one["index"] for one in placed] == [0, 2, 3], "the one in the middle could only stand across a neighbour"
    for one in placed:
        away = one["x"] - one["at"]
        assert 0 < (away if one["anchor"] == "start" else -away) < 7
    assert {one["index"]: one["anchor"] for one in placed}[2] == "end"


def test_a_goal_that_is_lost_by_a_hundredth_is_named_among_the_costs(page: Page) -> None:
    goal = {"roi_number": 3, "roi_name": "PTV_5600", "what": "D95% >= 56.00 Gy", "is_hard": True}
    before, now = {**goal, "reached_gy": 56.03, "is_met": True}, {**goal, "reached_gy": 55.96, "is_met": False}
    body = "return m.lostGoals(given[0], given[1]);"
    assert run(page, "changes", body, [[before], [now]]) == ["PTV_5600 D95% ≥ 56.00 Gy: 56.03 to 55.96 Gy"]
    assert run(page, "changes", body, [[now], [now]]) == []


def test_a_goal_of_a_structure_without_dose_counts_neither_as_met_nor_as_missed(page: Page) -> None:
    goal = {"roi_number": 3, "roi_name": "Cord", "what": "mean <= 45.00 Gy", "is_hard": True, "reached_gy": 20.0}
    given = [
        {**goal, "is_met": True},
        {**goal, "roi_number": 4, "roi_name": "Larynx", "reached_gy": None, "is_met": False},
        {**goal, "roi_number": 5, "roi_name": "Lips", "is_hard": False, "reached_gy": 50.0, "is_met": False},
    ]
    body = """
      const body = document.createElement('tbody'), said = m.showGoals(body, given, given);
      const shown = row => [row.className, ...[...row.cells].map(cell => cell.textContent)].join('|');
      return [said, ...[...body.rows].map(shown)];
    """
    assert run(page, "tables", body, given) == [
        "1 of 1 goals met, 0 of 1 wishes, 1 not evaluable",
        "met|Cord|mean ≤ 45.00 Gy|20.00|✓ met",
        "unknown|Larynx|mean ≤ 45.00 Gy|no dose|not evaluable",
        "missed|Lips|mean ≤ 45.00 Gy|50.00|✗ wish missed",
    ]
    assert run(page, "tables", body, [given[0]])[0] == "1 of 1 goals met, 0 of 0 wishes"


def test_the_place_of_signing_tells_goals_that_are_missed_from_those_that_nobody_can_evaluate(page: Page) -> None:
    goal = {"roi_name": "Cord", "what": "mean <= 45.00 Gy", "is_hard": True}
    goals = [
        {**goal, "roi_name": "Larynx", "reached_gy": None, "is_met": False},
        {**goal, "reached_gy": 50.0, "is_met": False},
        {**goal, "roi_name": "Lips", "reached_gy": 20.0, "is_met": True},
    ]
    page.route("**/the-goals", lambda route: route.fulfill(json={"goals": goals}))
    page.evaluate("document.body.innerHTML = '<dd data-goals=\"/the-goals\"><span data-count></span><ul></ul></dd>'")
    page.add_script_tag(url="/static/signing.js")
    page.wait_for_selector("li")
    assert page.inner_text("[data-count]") == "1 of 2, 1 not evaluable"
    assert page.locator("li").all_inner_texts() == [
        "Cord mean <= 45.00 Gy: 50.00 Gy", "Larynx mean <= 45.00 Gy: not evaluable, no dose"
    ]  # fmt: skip


def test_what_was_asked_used_and_predicted_is_said_where_a_wish_was_held(page: Page) -> None:
    held = {"severity": "warning", "message": "", "where": {"wish": "hi", "asked": "0.250", "used": "0.130"}}
    body = "return m.inWordsWithUsed({hi: 0.25}, given, 0.1021);"
    assert run(page, "sliders", body, [held]) == "HI 0.25 (HI asked 0.250, used 0.130, predicted 0.102)"
    assert run(page, "sliders", body, []) == "HI 0.25"


def test_a_slider_says_and_marks_where_its_wish_was_held(page: Page) -> None:
    said = run(page, "sliders", """
      const spec = {name: 'hi', roi_number: null, roi_name: null, low: 0.04, high: 0.3, step: 0.005,
        neutral: null, metric: 'hi_icru83'};
      const place = document.createElement('div'), nothing = () => undefined;
      const sliders = new m.Sliders(place, [spec], 0.08, {moved: nothing, settled: nothing});
      sliders.limit([{severity: 'warning', message: '', where: {wish: 'hi', asked: '0.250', used: '0.130'}}]);
      sliders.set({hi: 0.25});
      const held = place.querySelector('output').value;
      sliders.set({hi: 0.12});
      return {held, free: place.querySelector('output').value, mark: place.querySelector('datalist option').value,
              ends: place.querySelector('.ends').textContent};
    """)  # fmt: skip
    assert said == {
        "held": "0.250 used 0.130",
        "free": "0.120",
        "mark": "0.130",
        "ends": "\N{LEFTWARDS ARROW} more evenless even \N{RIGHTWARDS ARROW}",
    }


BODY = """
  const loop = (x, y, half) => [[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]];
  const slab = (z, x) => ({bottom: z - 5, top: z + 5, plane: {z_mm: z, loops_mm: [loop(x, -20, 40)]}});
  const body = [slab(0, 10), slab(10, 10), slab(20, 30)];
"""


def test_pictures_begin_with_the_body_and_a_margin_as_far_as_the_ct_goes(page: Page) -> None:
    """Voxels of 4 x 2 x 10 mm from z = 0 up to 20 mm; the body ends 12 mm within the CT in x alone."""
    box = run(page, "fit", BODY + """
      const affine = [[0, 0, 4, -198], [0, 2, 0, -99], [10, 0, 0, 0], [0, 0, 0, 1]];
      return m.bodyBox({shape: [3, 100, 100], affine}, [body]);
    """)  # fmt: skip
    # the body from -30 to 70, -60 to 20, and -5 to 25 mm; the CT from -200 to 200, -100 to 100, and -5 to 25
    assert box == {"low": [-42, -72, -5], "high": [82, 32, 25]}


def test_a_picture_grows_to_the_body_of_each_plane_and_does_not_shrink(page: Page) -> None:
    fields = run(page, "fit", BODY + """
      const scene = {cross: [0, 0, 1], low: [-200, -200, -5], high: [200, 200, 25], fields: {}};
      const shown = [];
      for (const z of [1, 19, 1]) { scene.cross[2] = z; m.fitToBody(scene, [body]);
        shown.push([...scene.fields.axial.low, ...scene.fields.axial.high]); }
      return {shown, coronal: scene.fields.coronal};
    """)  # fmt: skip
    assert fields["shown"] == [[-42, -72, 62, 32], [-42, -72, 82, 32], [-42, -72, 82, 32]]
    assert fields["coronal"] == {"low": [-42, -5], "high": [82, 25]}


def test_the_cross_begins_in_the_middle_of_the_hottest_voxel(page: Page) -> None:
    assert run(page, "fit", """
      const grid = {shape: [2, 3, 4], pointOf: index => index};
      const numbers = new Uint16Array(24);
      numbers[1 * 12 + 2 * 4 + 3] = 7;
      return m.hottest({grid, numbers});
    """) == [1, 2, 3]  # fmt: skip


def test_history_goes_back_and_on_and_keeps_the_first_and_the_newest_doses(page: Page) -> None:
    said = run(page, "history", """
      const history = new m.History({wishes: {}, result: 'exported'});
      for (let step = 1; step <= 10; step++) history.push({hi: step}, `dose ${step}`);
      const kept = history.settings.filter(one => one.result).length;
      history.goTo(history.before);
      history.goTo(history.before);
      const back = history.now.wishes.hi;
      history.push({hi: 99}, 'dose 99');
      return {kept, back, length: history.settings.length, after: history.after, before: history.before.wishes.hi,
              known: history.kept({hi: 99}), unknown: history.kept({hi: 1})};
    """)  # fmt: skip
    assert said == {"kept": 9, "back": 8, "length": 10, "after": None, "before": 8, "known": "dose 99", "unknown": None}


def test_only_the_newest_question_is_answered(page: Page) -> None:
    said = run(page, "api", """
      const newest = new m.Newest(), wait = ms => new Promise(done => setTimeout(done, ms));
      const aborted = [];
      const ask = (name, ms) => newest.ask(async signal => {
        signal.addEventListener('abort', () => aborted.push(name));
        await wait(ms);
        return name;
      });
      const slow = ask('slow', 60), quick = ask('quick', 5);
      return {answers: await Promise.all([slow, quick]), aborted};
    """)  # fmt: skip
    assert said == {"answers": [None, "quick"], "aborted": ["slow"]}


def test_lines_and_text_on_dark_ground_meet_the_contrast_of_wcag_aa(page: Page) -> None:
    """Curves of the report's colours: 3 to 1 on the ground of the chart; names of curves are text: 4.5 to 1."""
    kinds: list[RoiKind] = [*["target"] * 5, *["organ"] * 12, "external"]  # type: ignore[list-item]
    structures = [Structure(number, f"S{number}", kind, (), "1.2", 3.0) for number, kind in enumerate(kinds)]
    served = [{"roi_number": number, "style": asdict(style)} for number, style in line_styles(structures, {}).items()]
    styles = run(page, "colours", """
      return [...m.structureStyles(given).values()].map(style => ({...style, text: m.ofText(style.colour)}));
    """, served)  # fmt: skip
    ground = luminance("#10141a")
    for style in styles:
        assert (luminance(style["colour"]) + 0.05) / (ground + 0.05) >= 3.0, style
        assert (luminance(style["text"]) + 0.05) / (ground + 0.05) >= 4.5, style
    told_apart = {(style["colour"], tuple(style["dash"])) for style in styles}
    assert len(told_apart) == len(styles)


def luminance(colour: str) -> float:
    """Give the relative luminance of WCAG 2.2."""
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255.0
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize(("newest", "expected"), [("0123456789ab", "shown"), ("ba9876543210", "Load it again.")])
def test_pictures_are_of_the_result_that_the_tables_of_the_page_are_of(page: Page, newest: str, expected: str) -> None:
    said = run(page, "api", """
      const fetched = window.fetch;
      window.fetch = async () => Response.json({result: given, ct: {frame_of_reference_uid: '1.2'}});
      const api = new m.CaseApi('case', '0123456789ab', 'token');
      const said = await api.geometry().then(() => 'shown', error => error.message);
      window.fetch = fetched;
      return said;
    """, newest)  # fmt: skip
    assert said.endswith(expected)
