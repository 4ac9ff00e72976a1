from __future__ import annotations

from typing import Any

import pytest

from bridge.rt.errors import Refusal
from objective_extraction.objectives import (
    CurvePoint,
    GeudObjective,
    LineObjective,
    MeanObjective,
    NormalTissueObjective,
    Origin,
    PointObjective,
)
from tests.objective_extraction.cases import ORIGIN

COMMON: dict[str, Any] = {
    "roi_number": 5, "roi_name": "Parotid_L", "standard_name": None, "priority": 7.0, "origin": ORIGIN,
}  # fmt: skip
POINT = COMMON | {"operator": "upper", "dose_gy": 30.0, "volume_percent": 20.0}
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"volume_percent": -0.1}, "objective-range"),
        ({"volume_percent": 100.1}, "objective-range"),
        ({"volume_percent": NAN}, "objective-range"),
        ({"dose_gy": 0.0}, "objective-range"),
        ({"dose_gy": -1.0}, "objective-range"),
        ({"dose_gy": 3000.0}, "objective-range"),
        ({"dose_gy": INF}, "objective-range"),
        ({"priority": 0.0}, "objective-range"),
        ({"priority": NAN}, "objective-range"),
        ({"operator": "exact"}, "objective-operator"),
        ({"roi_name": " "}, "structure-name"),
        ({"roi_name": "A\nB"}, "structure-name"),
        ({"roi_name": "x" * 65}, "structure-name"),
    ],
)
def test_a_point_objective_refuses_what_means_nothing(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        PointObjective(**POINT | changes)
    assert refused.value.code == code


@pytest.mark.parametrize("volume", [0.0, 100.0])
def test_both_ends_of_the_volume_are_taken(volume: float) -> None:
    assert PointObjective(**POINT | {"volume_percent": volume}).volume_percent == volume


@pytest.mark.parametrize(
    ("operator", "a", "taken"),
    [("upper", 1.0, True), ("upper", 40.0, True), ("upper", 0.5, False), ("upper", -2.0, False),
     ("lower", -20.0, True), ("lower", 1.0, True), ("lower", 0.0, False), ("lower", 3.0, False),
     ("upper", 101.0, False), ("upper", NAN, False)],
)  # fmt: skip
def test_a_geud_exponent_fits_its_operator(operator: str, a: float, taken: bool) -> None:
    values = COMMON | {"operator": operator, "dose_gy": 25.0, "a": a}
    if taken:
        assert GeudObjective(**values).a == a
    else:
        with pytest.raises(Refusal, match="exponent"):
            GeudObjective(**values)


def test_a_mean_objective_has_a_dose_only() -> None:
    assert MeanObjective(**COMMON, dose_gy=26.0).dose_gy == 26.0
    with pytest.raises(Refusal):
        MeanObjective(**COMMON, dose_gy=2600.0)


@pytest.mark.parametrize(
    "curve",
    [
        [(50.0, 10.0)],
        [(50.0, 10.0), (50.0, 20.0)],
        [(20.0, 10.0), (80.0, 20.0)],
        [(80.0, 20.0), (20.0, 10.0)],
        [(80.0, 20.0), (20.0, NAN)],
    ],
)
def test_a_line_refuses_a_curve_that_is_no_dvh(curve: list[tuple[float, float]]) -> None:
    with pytest.raises(Refusal):
        LineObjective(**COMMON, operator="upper", curve=tuple(CurvePoint(v, d) for v, d in curve))


def test_a_line_is_sampled_into_points_that_share_its_priority() -> None:
    line = LineObjective(**COMMON, operator="upper", curve=(CurvePoint(100.0, 0.0), CurvePoint(0.0, 50.0)))
    points = line.sampled((0.0, 20.0, 50.0, 100.0))
    assert [(p.volume_percent, p.dose_gy) for p in points] == [(0.0, 50.0), (20.0, 40.0), (50.0, 25.0)]
    assert [p.priority for p in points] == pytest.approx([7.0 / 3] * 3)
    assert {(p.roi_number, p.roi_name, p.operator) for p in points} == {(5, "Parotid_L", "upper")}


def test_a_normal_tissue_objective_is_automatic_or_whole() -> None:
    assert NormalTissueObjective(80.0).is_automatic
    assert not NormalTissueObjective(80.0, 3.0, 100.0, 50.0, 0.15).is_automatic
    with pytest.raises(Refusal, match="all four"):
        NormalTissueObjective(80.0, distance_mm=3.0)
    with pytest.raises(Refusal):
        NormalTissueObjective(0.0)


def test_an_origin_holds_no_impossible_numbers() -> None:
    with pytest.raises(Refusal):
        Origin("organ-curve", NAN, 0.0, "")
    with pytest.raises(Refusal):
        Origin("organ-curve", 3.0, -1.0, "")
