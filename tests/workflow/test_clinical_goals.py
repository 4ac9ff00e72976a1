"""Goals of a protocol for a case: each target's own, those of the highest prescription, and of organs that it has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.rt.case import PatientCase
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.workflow.clinical_goals import clinical_goals, goal_outcomes
from bridge.workflow.library.goals import Goal
from config.protocol import load_protocol
from tests.objective_extraction.cases import ramp_dvh

MEAN = Goal(3, "Larynx", "upper", 45.0, None, hard=False)
NEAR_MAXIMUM = Goal(3, "Larynx", "upper", 45.0, 0.0)


def structure(number: int, name: str, standard: str | None, is_empty: bool = False) -> Any:
    return SimpleNamespace(number=number, name=name, standard_name=standard, is_empty=is_empty)


def case(*structures: Any) -> PatientCase:
    levels = (TargetLevel(1, "PTV 70", 70.0, "target_name"), TargetLevel(2, "PTV 56", 56.0, "target_name"))
    return cast(PatientCase, SimpleNamespace(prescription=Prescription(levels, 35), structures=structures))


def test_a_lower_target_is_held_to_its_own_prescription_and_its_maximum_to_the_highest() -> None:
    goals = clinical_goals(load_protocol("head_and_neck"), case())
    said = {(goal.roi_name, goal.what) for goal in goals}
    assert {("PTV 56", "D95% >= 56.00 Gy"), ("PTV 56", "D2% <= 74.90 Gy"), ("PTV 70", "D2% <= 74.90 Gy")} <= said
    assert [goal.roi_number for goal in goals] == [1] * 5 + [2] * 5


def test_organs_are_asked_for_by_their_standard_names_where_they_are_drawn() -> None:
    organs = (
        structure(3, "brain stem", "Brainstem"),
        structure(4, "Brainstem", None),
        structure(5, "Cord", "SpinalCord", is_empty=True),
    )
    goals = clinical_goals(load_protocol("head_and_neck"), case(*organs))[10:]
    assert [(goal.roi_number, goal.roi_name, goal.what) for goal in goals] == [(3, "brain stem", "D0.1cc <= 50.00 Gy")]


def test_a_goal_without_dose_is_not_met() -> None:
    (first, *_) = goal_outcomes(clinical_goals(load_protocol("head_and_neck"), case()), [])
    assert (first["reached_gy"], first["excess_gy"], first["is_met"]) == (None, None, False)


@pytest.mark.parametrize("goal", [MEAN, NEAR_MAXIMUM, Goal(3, "Larynx", "upper", 45.0, 0.1, "cc")])
def test_a_structure_that_gets_no_dose_is_not_spared_but_not_evaluable(goal: Goal) -> None:
    """One that is drawn outside the body has 0 Gy everywhere, which is nothing that a plan did."""
    for dvhs in ([ramp_dvh(3, "Larynx", 0.0, 0.0)], []):
        (said,) = goal_outcomes([goal], dvhs)
        assert (said["reached_gy"], said["excess_gy"], said["is_met"]) == (None, None, False)


def test_a_structure_with_a_little_dose_is_evaluated() -> None:
    (said,) = goal_outcomes([MEAN], [ramp_dvh(3, "Larynx", 0.0, 0.5)])
    assert (said["reached_gy"], said["is_met"]) == (pytest.approx(0.25), True)


def test_a_target_without_dose_misses_what_it_was_to_get() -> None:
    (said,) = goal_outcomes([Goal(1, "PTV70", "lower", 70.0, 95.0)], [ramp_dvh(1, "PTV70", 0.0, 0.0)])
    assert (said["reached_gy"], said["excess_gy"], said["is_met"]) == (0.0, 70.0, False)
