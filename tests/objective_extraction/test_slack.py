"""What a plan reached of its objectives; DVHs are ramps D(v) = high - v (high - low)."""

from __future__ import annotations

import pytest

from objective_extraction.objectives import MeanObjective
from objective_extraction.slack import objective_slack
from tests.objective_extraction.cases import ORIGIN, every_kind, objective_set, point, ramp_dvh

PLAN = {"Cord": ramp_dvh(5, "Cord", 10.0, 50.0, 20.0)}


@pytest.mark.parametrize(
    ("operator", "dose_gy", "volume", "reached", "missed"),
    [
        ("upper", 40.0, 20.0, 42.0, 2.0),
        ("upper", 45.0, 20.0, 42.0, -3.0),
        ("lower", 45.0, 20.0, 42.0, 3.0),
        ("lower", 40.0, 20.0, 42.0, -2.0),
        ("upper", 49.0, 0.0, 49.94, 0.94),  # D0.03cc stands for the maximum
    ],
)
def test_a_point_is_missed_on_its_own_side(
    operator: str, dose_gy: float, volume: float, reached: float, missed: float
) -> None:
    (found,) = objective_slack(objective_set([point("Cord", operator, dose_gy, volume)]), PLAN)
    assert (found.reached_gy, found.missed_by_gy) == pytest.approx((reached, missed), abs=1e-6)
    assert found.achieved_less_requested_gy == pytest.approx(reached - dose_gy, abs=1e-6)


def test_a_mean_dose_is_an_upper_objective_without_a_volume() -> None:
    asked = MeanObjective(roi_number=5, roi_name="Cord", standard_name=None, priority=7.0, origin=ORIGIN, dose_gy=29.0)
    (found,) = objective_slack(objective_set([asked]), PLAN)
    assert (found.kind, found.operator, found.volume_percent, found.priority) == ("mean", "upper", None, 7.0)
    assert (found.reached_gy, found.missed_by_gy) == pytest.approx((30.0, 1.0))
    assert found.as_dict()["missed_by_gy"] == pytest.approx(1.0)


def test_what_has_no_dose_of_its_own_or_no_dvh_is_left_out() -> None:
    """The parotid has a mean, a gEUD and a line; the target and the derived structure have no DVH here."""
    found = objective_slack(objective_set(every_kind()), {"Parotid_L": ramp_dvh(5, "Parotid_L", 10.0, 40.0)})
    assert [(one.roi, one.kind) for one in found] == [("Parotid_L", "mean")]
    assert objective_slack(objective_set([point("Cord", "upper", 40.0, 20.0)]), {}) == ()
