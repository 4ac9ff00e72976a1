"""Presets: what is always there, what people save, and what neither may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from bridge.web.room import ReviewRoom
from bridge.workflow.schema import AuditRow
from config.load import load_settings
from tests.web.browser import Browser, code

WISH = {"preference": "spare", "hi": 0.07, "oar_weight": None, "oar_weights": {"Parotid_L": 1.5}}


@pytest.fixture
def planner(browser: Browser) -> Browser:
    browser.log_in("planner")
    return browser


def names(browser: Browser) -> list[str]:
    return [one["name"] for one in browser.json("/presets").json()["presets"]]


def save(browser: Browser, name: str, wish: Any = WISH) -> Any:
    return browser.send("POST", "/presets", {"name": name, "preference": wish})


def test_those_of_the_paper_are_always_there_and_stay(planner: Browser) -> None:
    shown = planner.json("/presets").json()["presets"]
    assert [(one["name"], one["preference"]["preference"], one["read_only"]) for one in shown] == [
        ("P1 spare", "spare", True), ("Neutral", "balanced", True), ("P2 cover", "cover", True)
    ]  # fmt: skip
    for name in names(planner):
        assert code(planner.send("DELETE", f"/presets/{name}", None)) == (422, "preset-unknown")
        assert code(save(planner, name.upper())) == (422, "preset-exists")


def test_what_the_site_asks_for_is_a_preset_of_its_own(room: ReviewRoom) -> None:
    settings = load_settings(None, {"prediction": {"model": "geometric", "oar_weights": {"Larynx": 2.0}}})
    browser = Browser(replace(room, settings=settings))
    browser.log_in("viewer")
    of_site = browser.json("/presets").json()["presets"][3]
    wish = {"preference": "balanced", "hi": None, "oar_weight": None, "oar_weights": {"Larynx": 2.0}}
    assert "geometric" in of_site.pop("refusal")
    assert of_site == {
        "name": "Site", "preference": wish, "wishes": {"oar_weight.Larynx": 2.0}, "read_only": True, "author": None
    }  # fmt: skip


def test_those_that_the_settings_name_follow_and_say_what_the_model_cannot_do(room: ReviewRoom) -> None:
    """One list: what the settings name, nobody saves again or deletes, and it stands before what people saved."""
    named = {"Left parotid": {"oar_weights": {"Parotid_L": 1.2}}, "Too much": {"oar_weight": 9.0}}
    settings = load_settings(None, {"review": {"presets": named}})
    browser = Browser(replace(room, settings=settings))
    browser.log_in("planner")
    assert code(save(browser, "left parotid")) == (422, "preset-exists")
    assert save(browser, "Another").status_code == 201
    presets = browser.json("/presets").json()["presets"]
    assert names(browser)[2:] == ["P2 cover", "Left parotid", "Too much", "Another"]
    assert presets[2]["wishes"] == {"hi": 0.06, "oar_weight": 0.85}
    assert (presets[3]["wishes"], presets[3]["refusal"]) == ({"oar_weight.Parotid_L": 1.2}, None)
    assert "takes oar_weight from 0.628 to 1.519, got 9" in presets[4]["refusal"]
    assert [one["read_only"] for one in presets] == [True] * 5 + [False]
    assert code(browser.send("DELETE", "/presets/Left%20parotid", None)) == (422, "preset-unknown")


def test_a_name_that_the_settings_took_later_stands_for_theirs_alone(planner: Browser) -> None:
    save(planner, "Left parotid")
    settings = load_settings(None, {"review": {"presets": {"LEFT parotid": {"oar_weight": 1.1}}}})
    later = Browser(replace(planner.room, settings=settings))
    later.log_in("viewer")
    assert names(later) == ["P1 spare", "Neutral", "P2 cover", "LEFT parotid"]


def test_a_preset_is_saved_shown_to_all_and_deleted(planner: Browser) -> None:
    saved = save(planner, "Left parotid first")
    expected = {"name": "Left parotid first", "preference": WISH, "read_only": False, "author": "a.planner"}
    expected["wishes"] = {"hi": 0.07, "oar_weight": 1.25, "oar_weight.Parotid_L": 1.5}
    expected["refusal"] = saved.json()["refusal"]
    assert (saved.status_code, saved.json()) == (201, expected)
    other = Browser(planner.room)
    other.log_in("viewer")
    assert other.json("/presets").json()["presets"][3] == expected
    assert code(save(planner, "left PAROTID first")) == (422, "preset-exists")
    assert planner.send("DELETE", "/presets/Left%20parotid%20first", None).json() == {"deleted": "Left parotid first"}
    assert len(names(planner)) == 3
    with planner.room.store.transaction() as session:
        kept = session.scalars(select(AuditRow).where(AuditRow.action.like("preset-%")).order_by(AuditRow.id))
        assert [(row.action, row.actor, row.detail["preset"]) for row in kept] == [
            ("preset-saved", "a.planner", "Left parotid first"), ("preset-deleted", "a.planner", "Left parotid first")
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wish", "expected"),
    [
        ("", WISH, "preset-name"),
        ("a/b", WISH, "preset-name"),
        ("x" * 41, WISH, "preset-name"),
        ("good ", WISH, "preset-name"),
        ("good", {**WISH, "preference": "best"}, "preference-unknown"),
        ("good", {**WISH, "hi": -1}, "json-invalid"),
        ("good", {**WISH, "view": "1"}, "json-invalid"),
        ("good", {**WISH, "oar_weights": {"Larynx": "1"}}, "json-invalid"),
    ],
)
def test_a_preset_that_cannot_be_is_refused(planner: Browser, name: str, wish: Any, expected: str) -> None:
    assert code(save(planner, name, wish)) == (422, expected)
    assert len(names(planner)) == 3


def test_who_only_looks_saves_and_deletes_none(planner: Browser) -> None:
    save(planner, "mine")
    viewer = Browser(planner.room)
    viewer.log_in("viewer")
    assert code(save(viewer, "another")) == (403, "role-too-low")
    assert code(viewer.send("DELETE", "/presets/mine", None)) == (403, "role-too-low")
    forged = planner.send("DELETE", "/presets/mine", None, **{"x-csrf-token": "0" * 64})
    assert code(forged) == (403, "csrf-token")
    assert "mine" in names(planner)
