from __future__ import annotations

import pytest

from objective_extraction.consistency import Overlap, about_objectives, about_overlap
from objective_extraction.objectives import PointObjective
from tests.objective_extraction.cases import every_kind, point


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


def test_structures_are_held_apart_and_other_kinds_left_alone() -> None:
    assert about_objectives(every_kind()) == []


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
