"""The style sheet: readable by the measure of WCAG 2 (AA), in light and dark, and nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

STYLE = files("bridge.web").joinpath("static", "review.css").read_text(encoding="utf-8")
BLOCKS = re.findall(r":root \{([^}]*)\}", STYLE)
TEXT, LARGE_OR_LINE = 4.5, 3.0


def colours(scheme: str) -> dict[str, str]:
    light = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", BLOCKS[0]))
    return light if scheme == "light" else light | dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", BLOCKS[1]))


def luminance(colour: str) -> float:
    """Give the relative luminance of WCAG 2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_measure_is_that_of_the_standard() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(scheme: str) -> None:
    given = colours(scheme)
    on_card = ("ink", "soft", "accent", "warn", "wait", "good", "bad")
    pairs = [(text, ground) for text in on_card for ground in ("card", "patient")]
    pairs += [("ink", "page"), ("soft", "page"), ("accent", "page"), ("on-accent", "accent")]
    ratios = {pair: contrast(given[pair[0]], given[pair[1]]) for pair in pairs}
    ratios["white", "banner"] = contrast("#fff", given["banner"])
    assert {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < TEXT} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fields_and_focus_can_be_seen(scheme: str) -> None:
    given = colours(scheme)
    pairs = [("line", "page"), ("line", "card"), ("focus", "page"), ("focus", "card")]
    ratios = {pair: contrast(given[pair[0]], given[pair[1]]) for pair in pairs}
    assert {pair: round(ratio, 2) for pair, ratio in ratios.items() if ratio < LARGE_OR_LINE} == {}


def test_nothing_is_loaded_from_elsewhere_and_no_state_is_told_by_colour_alone() -> None:
    assert not re.search(r"url\(|@import", STYLE)
    assert "outline: none" not in STYLE.replace("main:focus { outline: none; }", "")


def test_that_a_case_changed_is_seen_wherever_one_is_on_its_page() -> None:
    assert re.search(r"^\.changed \{[^}]*position: fixed;[^}]*bottom: \d", STYLE, re.MULTILINE)
