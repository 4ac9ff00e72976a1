from __future__ import annotations

import pytest

from objective_extraction.consistency import Overlap, about_objectives, about_overlap
from objective_extraction.objectives import Objective, PointObjective
from tests.objective_extraction.cases import every_kind, geud, line, mean, point


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        ([("upper", 30.0, 0.0), ("upper", 20.0, 20.0)], []),
        ([("upper", 20.0, 0.0), ("upper", 30.0, 20.0)], ["points-not-monotone"]),
        ([("upper", 30.0, 0.0), ("upper", 30.0, 20.0)], ["points-not-monotone"]),
        ([("lower", 66.5, 98.0), ("lower", 70.0, 95.0)], []),
        ([("lower", 70.0, 98.0), ("lower", 66.5, 95.0)], ["points-not-monotone"]),
        ([("lower", 70.0, 95.0), ("upper", 72.9, 5.0)], []),
        ([("lower", 70.0, 95.0), ("upper", 72.7, 5.0)], ["target-window-narrow"]),
        ([("lower", 70.0, 95.0), ("upper", 70.0, 5.0)], ["target-window-narrow"]),
        ([("lower", 70.0, 95.0), ("upper", 69.0, 5.0)], ["objectives-contradict"]),
        ([("lower", 70.0, 5.0), ("upper", 60.0, 95.0)], []),
        ([("lower", 70.0, 50.0), ("upper", 75.0, 50.0)], []),
        ([("lower", 70.0, 50.0), ("upper", 69.0, 50.0)], ["objectives-contradict"]),
        ([("lower", 70.0, 50.0), ("upper", 70.0, 50.0)], ["objectives-contradict"]),
        ([("upper", 90.0, 0.0), ("lower", 70.0, 50.0), ("upper", 70.0, 50.0)], ["objectives-contradict"]),
    ],
)
def test_a_dvh_never_rises(asked: list[tuple[str, float, float]], codes: list[str]) -> None:
    points = [point("PTV_70", operator, dose, volume) for operator, dose, volume in asked]
    assert [finding.code for finding in about_objectives(points)] == codes


def test_structures_are_held_apart() -> None:
    assert about_objectives(every_kind()) == []


@pytest.mark.parametrize(
    ("asked", "contradicts"),
    [
        # 66.5 Gy to 95 % are 63.175 Gy on average, if the rest gets nothing
        ([point("A", "lower", 66.5, 95.0), mean("A", 63.2)], False),
        ([point("A", "lower", 66.5, 95.0), mean("A", 63.1)], True),
        # 40 Gy to a quarter are a gEUD of 40 sqrt(1/4) = 20 Gy for a = 2, and 10 Gy on average
        ([point("A", "lower", 40.0, 25.0), geud("A", "upper", 20.1, 2.0)], False),
        ([point("A", "lower", 40.0, 25.0), geud("A", "upper", 19.9, 2.0)], True),
        ([point("A", "lower", 40.0, 25.0), mean("A", 10.1)], False),
        # the gEUD grows with its exponent: that of -10 is at most the mean, and the mean at most the maximum
        ([geud("A", "lower", 50.0, -10.0), mean("A", 49.0)], True),
        ([geud("A", "lower", 50.0, -10.0), geud("A", "upper", 49.0, 8.0)], True),
        ([geud("A", "lower", 50.0, -10.0), point("A", "upper", 49.0, 0.0)], True),
        # 49 Gy to all but 5 % are a gEUD of 49 0.95^(-1/10) = 49.25 Gy for a = -10, however hot these are
        ([geud("A", "lower", 49.2, -10.0), point("A", "upper", 49.0, 5.0)], False),
        ([geud("A", "lower", 49.3, -10.0), point("A", "upper", 49.0, 5.0)], True),
        ([geud("A", "lower", 49.3, -10.0), line("A", "upper", (100.0, 0.0), (5.0, 49.0))], True),
        ([geud("A", "lower", 49.3, 1.0), point("A", "upper", 49.0, 5.0)], False),
        ([geud("A", "lower", 49.3, -10.0), point("A", "upper", 49.0, 100.0)], False),
        ([line("A", "lower", (95.0, 66.5), (5.0, 70.0)), mean("A", 63.1)], True),
        ([line("A", "lower", (95.0, 66.5), (5.0, 70.0)), point("A", "upper", 69.0, 2.0)], True),
        ([line("A", "lower", (95.0, 66.5), (5.0, 70.0)), line("A", "upper", (90.0, 60.0), (0.0, 75.0))], True),
        ([line("A", "lower", (95.0, 66.5), (5.0, 70.0)), line("A", "upper", (90.0, 70.0), (0.0, 75.0))], False),
        ([point("A", "lower", 66.5, 95.0), mean("B", 20.0)], False),
    ],
)
def test_no_dose_meets_a_demand_and_a_lower_limit(asked: list[Objective], contradicts: bool) -> None:
    found = about_objectives(asked)
    assert [finding.code for finding in found] == ["objectives-contradict"] * contradicts
    assert all("both cannot be met" in finding.message for finding in found)


def asked(organ_gy: float, organ_percent: float) -> list[PointObjective]:
    return [point("Larynx", "upper", organ_gy, organ_percent), point("PTV_70", "lower", 70.0, 95.0, number=1)]


@pytest.mark.parametrize(
    ("organ_gy", "organ_percent", "shared_cc", "codes"),
    [
        # organ 40 cc, target 100 cc of which 5 cc may be cold
        (60.0, 5.0, 1.9, []),  # 2 cc of the organ may be hot: that holds the shared 1.9 cc
        (60.0, 5.0, 6.9, ["overlap-cold-target"]),  # 2 hot and 4.9 cold cc
        (60.0, 5.0, 7.1, ["overlap-contradicts"]),  # 2 hot and 5 cold cc do not make 7.1
        (70.0, 5.0, 7.1, []),  # no competition: the organ may have the target's dose
        (60.0, 0.0, 0.02, []),  # less than the 0.03 cc that stand for a maximum
        (60.0, 0.0, 0.04, ["overlap-cold-target"]),
    ],
)
def test_who_may_have_the_shared_volume(
    organ_gy: float, organ_percent: float, shared_cc: float, codes: list[str]
) -> None:
    overlap = Overlap("Larynx", "PTV_70", 40.0, 100.0, shared_cc)
    found = about_overlap(overlap, asked(organ_gy, organ_percent))
    assert [finding.code for finding in found] == codes


def test_the_impossible_pair_is_told_before_the_hard_one() -> None:
    objectives = [
        point("Larynx", "upper", 65.0, 0.0),
        point("Larynx", "upper", 60.0, 5.0),
        point("PTV_70", "lower", 66.5, 98.0, number=1),
        point("PTV_70", "lower", 62.0, 99.9, number=1),
    ]
    (told,) = about_overlap(Overlap("Larynx", "PTV_70", 40.0, 100.0, 2.5), objectives)
    # 65 Gy at 0 % against 66.5 Gy at 98 %: 2.47 of 2.5 cc are too many for 2 cold cc
    assert told.code == "overlap-contradicts"
    assert "65 Gy at 0 %" in told.message
    assert "both cannot be met" in told.message


def test_other_structures_have_no_say() -> None:
    objectives = [point("Cord", "upper", 20.0, 0.0), point("PTV_70", "lower", 70.0, 95.0, number=1)]
    assert about_overlap(Overlap("Larynx", "PTV_70", 40.0, 100.0, 9.0), objectives) == []
