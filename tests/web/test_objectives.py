"""Editing objectives: every edit is a version, nobody's is lost, and what cannot be is refused."""

from __future__ import annotations

import json
import re
from datetime import datetime, tzinfo
from typing import Any

import pytest

from bridge.workflow.jobs import Job, result_folder
from tests.web.browser import Browser, code
from tests.web.objective_room import edit_first, events, kept_rows, newest_set, read, save


def test_the_table_is_what_was_extracted_with_the_origin_of_every_row(physicist: Browser, job: Job) -> None:
    shown = read(physicist, job)
    on_disk = json.loads((result_folder(physicist.room.cases_folder, job) / "objectives.json").read_text())
    assert shown["set"] == on_disk
    assert all(row["origin"]["sentence"] for row in shown["set"]["objectives"])
    assert (shown["history"], shown["signed_by"], shown["author"]) == ([], [], None)


def test_an_edit_is_a_new_version_that_says_who_changed_what(physicist: Browser, job: Job) -> None:
    before = read(physicist, job)
    saved = edit_first(physicist, job)
    after = read(physicist, job)
    assert (after["version"], after["set"]) == (saved["version"], saved["set"])
    assert after["version"] != before["version"]
    assert after["author"] == "a.physicist"
    assert "33.50 Gy" in after["history"][0]
    (event,) = events(physicist.room, "objectives-edited")
    assert event.actor == "a.physicist"
    assert (event.detail["before"], event.detail["after"]) == (before["set"]["sha256"], after["set"]["sha256"])


def test_saving_without_a_change_makes_no_version(physicist: Browser, job: Job) -> None:
    shown = read(physicist, job)
    assert save(physicist, job, shown["version"], kept_rows(shown)).json()["version"] == shown["version"]
    assert events(physicist.room, "objectives-edited") == []


def test_the_second_of_two_editors_is_told_what_the_first_did_and_loses_nothing(
    physicist: Browser, planner: Browser, job: Job
) -> None:
    seen = read(planner, job)
    edit_first(physicist, job, 31.25)
    rows = kept_rows(seen)
    rows[0]["priority"] = 77.0
    answer = save(planner, job, seen["version"], rows)
    assert code(answer) == (409, "edit-stale")
    assert "a.physicist at" in answer.json()["message"]
    assert "31.25 Gy" in answer.json()["message"]
    assert re.search(r"You wanted: changed: .* to \(.*priority 77\)\.", answer.json()["message"])
    assert answer.json()["where"]["version"] == read(physicist, job)["version"]
    assert planner.audited() == [("a.planner", "edit-stale")]
    assert read(planner, job)["set"] == read(physicist, job)["set"]
    assert save(planner, job, read(planner, job)["version"], rows).status_code == 200
    assert len(read(planner, job)["history"]) == 2


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dose_gy": 7000.0}, (422, "objective-range")),
        ({"dose_gy": "20"}, (422, "json-invalid")),
        ({"priority": 0.0}, (422, "objective-range")),
        ({"roi_name": "Parotid_L"}, (422, "json-invalid")),
        ({"origin": {}}, (422, "json-invalid")),
        ({"source": 999}, (422, "objective-row")),
    ],
)
def test_an_edit_that_cannot_be_is_refused_and_changes_nothing(
    physicist: Browser, job: Job, change: dict[str, Any], expected: tuple[int, str]
) -> None:
    shown = read(physicist, job)
    rows = kept_rows(shown)
    rows[0] |= change
    assert code(save(physicist, job, shown["version"], rows)) == expected
    assert read(physicist, job) == shown


def test_an_edit_must_say_what_it_is_an_edit_of(physicist: Browser, job: Job) -> None:
    path, rows = f"/cases/{job.case_id}/objectives.json", {"rows": kept_rows(read(physicist, job))}
    assert code(physicist.send("PUT", path, rows)) == (428, "if-match-missing")
    assert code(physicist.send("PUT", path, rows, **{"if-match": "*"})) == (428, "if-match-missing")
    assert code(physicist.send("PUT", path, rows, **{"if-match": '"99999-0"'})) == (409, "edit-stale")


def test_an_edit_in_the_database_is_found(physicist: Browser, job: Job) -> None:
    edit_first(physicist, job)
    with physicist.room.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE revisions SET document = replace(document, '33.5', '53.5')")
    assert code(physicist.json(f"/cases/{job.case_id}/objectives.json")) == (409, "objectives-changed")


def test_a_table_of_hundreds_of_rows_is_edited_on_its_page_as_well(physicist: Browser, job: Job) -> None:
    shown = read(physicist, job)
    points = [
        {"kind": "point", "roi_name": "SpinalCord", "priority": 10.0, "dose_gy": 40.0 - n / 20, "volume_percent": n / 4}
        for n in range(300)
    ]
    assert save(physicist, job, shown["version"], [*kept_rows(shown), *points]).status_code == 200
    page = physicist.get(f"/cases/{job.case_id}").text
    found = re.findall(r'name="((?:keep|dose_gy|volume_percent|priority|a)-\d+|rows|version)" value="([^"]*)"', page)
    assert len(found) > 1200
    answer = physicist.post(f"/cases/{job.case_id}/objectives", {**dict(found), "priority-300": "11"})
    assert answer.status_code == 303, answer.text
    assert read(physicist, job)["set"]["objectives"][300]["priority"] == 11


def test_an_edit_makes_a_set_that_is_newer_than_what_it_was_made_of(physicist: Browser, job: Job) -> None:
    before = newest_set(physicist.room, job).provenance.created_utc
    edited = read(physicist, job)["set"] != edit_first(physicist, job)["set"]
    after = datetime.fromisoformat(read(physicist, job)["set"]["provenance"]["created_utc"])
    assert edited
    assert after > before


def test_an_edit_is_the_newest_also_where_the_clock_was_put_back(
    physicist: Browser, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Late:
            return cls(2001, 1, 1, tzinfo=tz)

    before = newest_set(physicist.room, job).provenance.created_utc
    monkeypatch.setattr("bridge.workflow.revisions.datetime", Late)
    edit_first(physicist, job)
    assert datetime.fromisoformat(read(physicist, job)["set"]["provenance"]["created_utc"]) > before


def test_what_contradicts_or_is_rarely_meant_stands_as_a_warning_where_it_is_signed(
    physicist: Browser, job: Job
) -> None:
    shown = read(physicist, job)
    rows = kept_rows(shown)
    for dose_gy in (145.0, 30.0):
        row = {"kind": "point", "roi_name": "SpinalCord", "priority": 50.0, "dose_gy": dose_gy, "volume_percent": 3.0}
        rows.append({**row, "operator": "upper" if dose_gy > 100 else "lower"})
    rows.append({**row, "operator": "upper", "dose_gy": 29.0})
    assert save(physicist, job, shown["version"], rows).status_code == 200
    page = physicist.get(f"/cases/{job.case_id}").text
    decide = page[page.index('id="decide"') :]
    assert "SpinalCord upper 3 % (145.00 Gy, 3 %, priority 50) allows more than 110 %" in decide
    both = "&#39;SpinalCord&#39; is asked for at least 30 Gy at 3 % and for at most 29 Gy at 3 %; both cannot be met."
    assert both in decide
