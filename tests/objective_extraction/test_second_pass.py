"""What a plan missed is asked for by as much more; DVHs are ramps D(v) = high - v (high - low)."""

from __future__ import annotations

import pytest

from bridge.rt.errors import Refusal
from objective_extraction.objectives import LineObjective, MeanObjective, Objective, PointObjective
from objective_extraction.second_pass import second_pass
from tests.objective_extraction.cases import ORIGIN, every_kind, objective_set, point, ramp_dvh

LARGEST = 10.0


def mean(dose_gy: float) -> MeanObjective:
    return MeanObjective(
        roi_number=5, roi_name="Cord", standard_name=None, priority=7.0, origin=ORIGIN, dose_gy=dose_gy
    )


def after(objective: Objective, low_gy: float, high_gy: float, volume_cc: float = 20.0) -> Objective:
    """The objective after a plan whose DVH is a ramp."""
    plan = ramp_dvh(5, "Cord", low_gy, high_gy, volume_cc)
    return second_pass(objective_set([objective]), {"Cord": plan}, largest_change_percent=LARGEST).objectives[0]


@pytest.mark.parametrize(
    ("asked", "expected_gy"),
    [
        # D20% of 10 to 50 Gy is 42 Gy, the mean is 30 Gy, and D0.03cc of 20 cc is 49.94 Gy
        (point("Cord", "upper", 40.0, 20.0), 38.0),
        (point("Cord", "upper", 41.95, 20.0), 41.95),
        (point("Cord", "upper", 42.0, 20.0), 42.0),
        (point("Cord", "upper", 47.0, 20.0), 47.0),
        (point("Cord", "upper", 30.0, 20.0), 27.0),
        (point("Cord", "upper", 49.0, 0.0), 48.06),
        (point("Cord", "lower", 43.0, 20.0), 44.0),
        (point("Cord", "lower", 41.0, 20.0), 41.0),
        (point("Cord", "lower", 60.0, 20.0), 66.0),
        (mean(29.0), 28.0),
        (mean(31.0), 31.0),
    ],
)
def test_an_objective_moves_by_what_was_missed_up_to_a_tenth(asked: Objective, expected_gy: float) -> None:
    moved = after(asked, 10.0, 50.0)
    assert isinstance(moved, PointObjective | MeanObjective)
    assert moved.dose_gy == pytest.approx(expected_gy)
    assert moved.priority == asked.priority


def test_the_sentence_tells_both_doses_and_the_prediction_stays_on_record() -> None:
    moved = after(point("Cord", "upper", 40.0, 20.0), 10.0, 50.0)
    assert moved.origin.sentence == "D20% is 30.50 Gy. The plan missed 40.00 Gy by 2.00 Gy; asked for 38.00 Gy."
    assert moved.origin.predicted_gy == 30.5


def test_the_maximum_of_a_tiny_organ_is_its_d2_here_too() -> None:
    # D2% is 49.2 Gy; D0.03cc of 0.02 cc would be 10 Gy
    moved = after(point("Cord", "upper", 48.0, 0.0), 10.0, 50.0, volume_cc=0.02)
    assert isinstance(moved, PointObjective)
    assert moved.dose_gy == pytest.approx(46.8)


def test_structures_without_a_dvh_and_other_kinds_stay_as_they_are() -> None:
    given = objective_set()
    made = second_pass(given, {"Parotid_L": ramp_dvh(5, "Parotid_L", 40.0, 60.0)}, largest_change_percent=LARGEST)
    kept = [one is other for one, other in zip(made.objectives, given.objectives, strict=True)]
    assert kept == [not isinstance(one, MeanObjective) for one in every_kind()]
    assert any(isinstance(one, LineObjective) for one in made.objectives)


def test_the_set_says_so_has_another_hash_and_is_not_moved_again() -> None:
    given = objective_set([point("Cord", "upper", 40.0, 20.0), point("Cord", "upper", 47.0, 10.0)])
    plan = {"Cord": ramp_dvh(5, "Cord", 10.0, 50.0)}
    made = second_pass(given, plan, largest_change_percent=LARGEST)
    assert made.sha256 != given.sha256
    assert made.findings[-1].message == (
        "1 of 2 objectives were missed by the plan and are asked for by as much more, 10 % at the most."
    )
    with pytest.raises(Refusal) as refused:
        second_pass(made, plan, largest_change_percent=LARGEST)
    assert refused.value.code == "second-pass-twice"
