from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.rt.errors import Refusal
from bridge.rt.findings import Finding
from objective_extraction.edit import ChangedRow, NewRow, edited, is_edited
from objective_extraction.objective_json import objective_set_from_json, objective_set_to_json
from objective_extraction.objectives import GeudObjective, MeanObjective, PointObjective
from tests.objective_extraction.cases import objective_set

BEFORE = objective_set()
ALL = tuple(ChangedRow(place) for place in range(len(BEFORE.objectives)))
NUMBERS = {"PTV_70": 1, "Parotid_L": 5, "SpinalCord": 8}


def refused(rows: Sequence[ChangedRow | NewRow]) -> str:
    with pytest.raises(Refusal) as error:
        edited(BEFORE, rows, NUMBERS)
    return error.value.code


def test_what_stays_as_it_was_is_the_same_set() -> None:
    assert edited(BEFORE, ALL, NUMBERS) == (BEFORE, ())
    assert not is_edited(BEFORE)


def test_a_changed_row_keeps_everything_but_its_number_and_says_so() -> None:
    after, changes = edited(BEFORE, [*ALL[:2], ChangedRow(2, dose_gy=21.5), *ALL[3:]], NUMBERS)
    old, new = BEFORE.objectives[2], after.objectives[2]
    assert isinstance(new, MeanObjective)
    assert (new.dose_gy, new.origin.rule, new.origin.predicted_gy) == (21.5, "manual", 30.5)
    assert new.origin.sentence == f"Set by hand; it was: {old.origin.sentence}"
    assert replace(new, dose_gy=23.4, origin=old.origin) == old
    assert changes == ("changed: Parotid_L mean (23.40 Gy, priority 60) to (21.50 Gy, priority 60)",)
    assert after.objectives[:2] + after.objectives[3:] == BEFORE.objectives[:2] + BEFORE.objectives[3:]
    assert is_edited(after)
    assert after.sha256 != BEFORE.sha256


def test_a_second_change_still_tells_where_the_row_came_from() -> None:
    once, _ = edited(BEFORE, [ChangedRow(0, priority=90.0), *ALL[1:]], NUMBERS)
    twice, changes = edited(once, [ChangedRow(0, priority=80.0), *ALL[1:]], NUMBERS)
    assert twice.objectives[0].origin == once.objectives[0].origin
    assert changes == ("changed: PTV_70 lower 98 % (70.50 Gy, 98 %, priority 90) to (70.50 Gy, 98 %, priority 80)",)
    assert [finding.code for finding in twice.findings].count("objectives-edited") == 1


def test_rows_are_left_out_and_added_and_the_rest_keeps_its_order() -> None:
    rows = [
        NewRow("point", "SpinalCord", 30.0, 40.0, volume_percent=0.0),
        NewRow("mean", "Parotid_L", 20.0, 19.0),
        NewRow("geud", "PTV_70", 10.0, 66.0, "lower", a=-10.0),
        *reversed(ALL[1:]),
    ]
    after, changes = edited(BEFORE, rows, NUMBERS)
    cord, mean, geud = after.objectives[-3:]
    assert after.objectives[:-3] == BEFORE.objectives[1:]
    assert isinstance(cord, PointObjective)
    assert (cord.roi_number, cord.standard_name, cord.origin.sentence) == (8, None, "Added by hand.")
    assert isinstance(mean, MeanObjective)
    assert (mean.roi_number, mean.standard_name) == (5, "Parotid_L")
    assert isinstance(geud, GeudObjective)
    assert [change.partition(":")[0] for change in changes] == ["removed", "added", "added", "added"]


def test_a_row_of_a_derived_structure_has_no_number() -> None:
    after, _ = edited(BEFORE, [*ALL, NewRow("mean", "Ring_PTV", 5.0, 30.0)], NUMBERS)
    assert after.objectives[-1].roi_number is None


def test_a_contradiction_made_by_hand_is_found() -> None:
    after, _ = edited(BEFORE, [ALL[0], ChangedRow(1, dose_gy=69.0), *ALL[2:]], NUMBERS)
    assert "objectives-contradict" in [finding.code for finding in after.findings]
    mended, _ = edited(after, [ALL[0], ChangedRow(1, dose_gy=75.0), *ALL[2:]], NUMBERS)
    assert "objectives-contradict" not in [finding.code for finding in mended.findings]
    assert BEFORE.findings[0] in mended.findings


def test_a_conflict_about_a_shared_volume_is_not_told_of_objectives_that_were_edited_since() -> None:
    told = [
        Finding("overlap-contradicts", "warning", "At most 23 Gy.", {"roi": "Parotid_L", "target": "PTV_70"}),
        Finding("overlap-cold-target", "warning", "At most 40 Gy.", {"roi": "Larynx", "target": "PTV_56"}),
    ]
    before = replace(BEFORE, findings=(*BEFORE.findings, *told))
    after, _ = edited(before, [*ALL[:2], ChangedRow(2, dose_gy=80.0), *ALL[3:]], NUMBERS)
    shared = [finding for finding in after.findings if finding.code.startswith("overlap-")]
    message = "Before an edit of these objectives: At most 23 Gy. Whether it is still so was not looked at."
    assert shared == [Finding("overlap-unchecked", "warning", message, told[0].where), told[1]]
    twice, _ = edited(after, [*ALL[:2], ChangedRow(2, dose_gy=70.0), *ALL[3:]], NUMBERS)
    assert [finding for finding in twice.findings if finding.code.startswith("overlap-")] == shared


def test_an_edited_set_goes_through_its_file() -> None:
    after, _ = edited(BEFORE, [*ALL[1:], NewRow("mean", "SpinalCord", 5.0, 10.25)], NUMBERS)
    assert objective_set_from_json(objective_set_to_json(after)) == after


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], "objectives-none"),
        ([*ALL, ALL[0]], "objective-row"),
        ([*ALL, ChangedRow(6)], "objective-row"),
        ([ChangedRow(-1)], "objective-row"),
        ([ChangedRow(2, volume_percent=5.0)], "objective-field"),
        ([ChangedRow(4, dose_gy=5.0)], "objective-field"),
        ([ChangedRow(0, dose_gy=7050.0)], "objective-range"),
        ([ChangedRow(0, dose_gy=float("nan"))], "objective-range"),
        ([ChangedRow(0, priority=0.0)], "objective-range"),
        ([ChangedRow(0, volume_percent=101.0)], "objective-range"),
        ([NewRow("mean", "Parotid_R", 5.0, 20.0)], "roi-unknown"),
        ([NewRow("mean", "parotid_l", 5.0, 20.0)], "roi-unknown"),
        ([NewRow("mean", "Parotid_L", 5.0, 20.0, "lower")], "objective-field"),
        ([NewRow("mean", "Parotid_L", 5.0, 20.0, volume_percent=5.0)], "objective-field"),
        ([NewRow("point", "Parotid_L", 5.0, 20.0)], "objective-field"),
        ([NewRow("geud", "Parotid_L", 5.0, 20.0, a=0.5)], "objective-range"),
    ],
)
def test_what_cannot_be_is_refused(rows: Sequence[ChangedRow | NewRow], code: str) -> None:
    assert refused(rows) == code


def test_a_shared_name_of_a_new_row_does_not_make_two_structures() -> None:
    """A structure set that numbers a ROI otherwise than the objectives would ask two structures under one name."""
    with pytest.raises(Refusal) as error:
        edited(BEFORE, [*ALL, NewRow("mean", "Parotid_L", 5.0, 20.0)], {"Parotid_L": 9})
    assert error.value.code == "roi-name-conflict"


@pytest.mark.parametrize(
    ("row", "dose_gy", "warned"),
    [
        (1, 77.1, "allows more than 110 % of the highest prescription, 70 Gy"),
        (1, 76.9, None),
        (0, 66.4, "asks for less than 95 % of the 70 Gy"),
        (0, 66.6, None),
        (2, 77.1, "allows more than 110 % of the highest prescription, 70 Gy"),
        (2, 76.9, None),
    ],
)
def test_a_number_that_is_rarely_meant_is_a_warning(row: int, dose_gy: float, warned: str | None) -> None:
    rows = [*ALL[:row], ChangedRow(row, dose_gy=dose_gy), *ALL[row + 1 :]]
    after, _ = edited(BEFORE, rows, NUMBERS)
    told = [finding.message for finding in after.findings if finding.code == "objective-unusual"]
    assert len(told) == (warned is not None)
    assert warned is None or warned in told[0]
    again, _ = edited(after, ALL, NUMBERS)
    assert again.findings == after.findings


def test_an_upper_row_below_a_lower_one_at_the_same_volume_is_a_warning_that_names_both() -> None:
    after, _ = edited(BEFORE, [*ALL, NewRow("point", "PTV_70", 40.0, 60.0, volume_percent=98.0)], NUMBERS)
    (told,) = [finding for finding in after.findings if finding.code == "objectives-contradict"]
    assert told.severity == "warning"
    assert "'PTV_70' is asked for at least 70.5 Gy at 98 % and for at most 60 Gy at 98 %" in told.message
