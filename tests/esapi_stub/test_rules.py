"""Every rule of the host, broken on purpose: one case for each, and none without a case."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.enums import OptimizationObjectiveOperator, PlanSetupApprovalStatus
from esapi_stub.plan import set_approval_status
from esapi_stub.rules import RULES, ApplicationException, ArgumentException, ArithmeticException, Basis, HostException
from esapi_stub.structure_set import Structure, StructureSet
from esapi_stub.values import DoseValue
from tests.esapi_stub.planning_breaches import PLANNING_BREACHES
from tests.esapi_stub.worlds import SET_UID, World, structures, world

UPPER, LOWER = OptimizationObjectiveOperator.Upper, OptimizationObjectiveOperator.Lower
EXACT, NO_OPERATOR = OptimizationObjectiveOperator.Exact, OptimizationObjectiveOperator.None_
CGY, PERCENT = DoseValue.DoseUnit.cGy, DoseValue.DoseUnit.Percent


def point(
    w: World,
    *,
    structure: str = "Organ",
    dose: DoseValue | None = None,
    volume: float = 50.0,
    priority: float = 80.0,
    operator: OptimizationObjectiveOperator = UPPER,
) -> None:
    w.plan.OptimizationSetup.AddPointObjective(w[structure], operator, dose or w.dose(20.0), volume, priority)


def stranger(w: World) -> Structure:
    """A structure of the same name from another structure set."""
    other = StructureSet("CT", SET_UID, structures(), w.patient.require_modifications)
    return other.Structures[1]


def named(w: World, dicom_type: str, name: str) -> None:
    w.structure_set.AddStructure(dicom_type, name)


def renamed_course(w: World, name: str) -> None:
    w.course.Id = name


def renamed_plan(w: World, name: str) -> None:
    w.plan.Id = name


def after_close(w: World, act: Callable[[World], object]) -> None:
    w.application.ClosePatient()
    act(w)


def approved(w: World, act: Callable[[World], object]) -> None:
    set_approval_status(w.plan, PlanSetupApprovalStatus.PlanningApproved)
    act(w)


def unprescribed(act: Callable[[World], object]) -> None:
    with world(fractions=None) as w:
        act(w)


def second_application(_: World) -> None:
    database = Database({"P": [StoredStructureSet("CT", SET_UID, structures())]})
    with Application.CreateApplication(database):
        Application.CreateApplication(database)


def removed_twice(w: World) -> None:
    point(w)
    (objective,) = w.plan.OptimizationSetup.Objectives
    w.plan.OptimizationSetup.RemoveObjective(objective)
    w.plan.OptimizationSetup.RemoveObjective(objective)


def parameter_removed_twice(w: World) -> None:
    parameter = w.plan.OptimizationSetup.AddAutomaticNormalTissueObjective(100.0)
    w.plan.OptimizationSetup.RemoveParameter(parameter)
    w.plan.OptimizationSetup.RemoveParameter(parameter)


def two_plans_of_one_name(w: World) -> None:
    w.plan.Id = "Twin"
    w.course.AddExternalPlanSetup(w.structure_set).Id = "Twin"


def two_courses_of_one_name(w: World) -> None:
    w.patient.AddCourse().Id = w.course.Id


def eud(w: World, operator: OptimizationObjectiveOperator, a: float) -> None:
    w.plan.OptimizationSetup.AddEUDObjective(w["Organ"], operator, w.dose(20.0), a, 80.0)


def mean(w: World, dose: DoseValue, priority: float = 80.0) -> None:
    w.plan.OptimizationSetup.AddMeanDoseObjective(w["Organ"], dose, priority)


def normal_tissue(w: World, *numbers: float) -> None:
    w.plan.OptimizationSetup.AddNormalTissueObjective(*numbers)


def renamed_set(w: World, name: str) -> None:
    w.structure_set.Id = name


def prescribe(w: World, fractions: float, dose: DoseValue, percentage: float) -> None:
    w.plan.SetPrescription(fractions, dose, percentage)  # type: ignore[arg-type]  # as a script may


BREACHES: list[tuple[str, Callable[[World], object]]] = [
    ("begin-modifications", lambda w: after_close(w, point)),
    ("begin-modifications", lambda w: after_close(w, lambda w: w.patient.AddCourse())),
    ("begin-modifications", lambda w: after_close(w, lambda w: w.course.AddExternalPlanSetup(w.structure_set))),
    ("begin-modifications", lambda w: after_close(w, lambda w: prescribe(w, 35, w.dose(2.0), 1.0))),
    ("begin-modifications", lambda w: after_close(w, lambda w: named(w, "CONTROL", "New"))),
    ("begin-modifications", lambda w: after_close(w, lambda w: renamed_plan(w, "New"))),
    ("begin-modifications", lambda w: after_close(w, lambda w: normal_tissue(w, 100.0, 5.0, 105.0, 60.0, 0.05))),
    ("course-id-length", lambda w: renamed_course(w, "C" * 17)),
    ("course-id-length", lambda w: renamed_course(w, "")),
    ("dicom-type", lambda w: named(w, "BOLUSES", "New")),
    ("dicom-type", lambda w: named(w, "ptv", "New")),
    ("dose-positive", lambda w: point(w, dose=w.dose(0.0))),
    ("dose-positive", lambda w: point(w, dose=w.dose(-1.0))),
    ("dose-positive", lambda w: mean(w, w.dose(math.nan))),
    ("dose-unit", lambda w: point(w, dose=DoseValue(2000.0, CGY))),
    ("dose-unit", lambda w: mean(w, DoseValue(30.0, PERCENT))),
    ("dose-unit", lambda w: mean(w, DoseValue.UndefinedDose())),
    ("dose-unit", lambda w: prescribe(w, 35, DoseValue(200.0, CGY), 1.0)),
    ("dose-unit-mixed", lambda w: w.dose(70.0) < DoseValue(7000.0, CGY)),
    ("eud-operator", lambda w: eud(w, NO_OPERATOR, 1.0)),
    ("eud-parameter", lambda w: eud(w, UPPER, 0.0)),
    ("eud-parameter", lambda w: eud(w, UPPER, math.inf)),
    ("id-unique", lambda w: named(w, "CONTROL", "Organ")),
    ("id-unique", lambda w: named(w, "CONTROL", "organ")),
    ("id-unique", two_plans_of_one_name),
    ("id-unique", two_courses_of_one_name),
    ("margin-range", lambda w: w["PTV"].SegmentVolume.Margin(50.1)),
    ("margin-range", lambda w: w["PTV"].SegmentVolume.Margin(math.nan)),
    ("margin-shrinks", lambda w: w["PTV"].SegmentVolume.Margin(-0.1)),
    ("normal-tissue-range", lambda w: normal_tissue(w, 100.0, -1.0, 105.0, 60.0, 0.05)),
    ("normal-tissue-range", lambda w: normal_tissue(w, 100.0, 5.0, 105.0, 60.0, math.nan)),
    ("one-application", second_application),
    ("one-patient", lambda w: w.application.OpenPatientById("P")),
    ("plan-approved", lambda w: approved(w, point)),
    ("plan-approved", lambda w: approved(w, lambda w: prescribe(w, 35, w.dose(2.0), 1.0))),
    ("plan-approved", lambda w: approved(w, lambda w: renamed_plan(w, "New"))),
    ("plan-id-length", lambda w: renamed_plan(w, "P" * 14)),
    ("plan-id-length", lambda w: renamed_plan(w, "")),
    ("point-operator", lambda w: point(w, operator=EXACT)),
    ("point-operator", lambda w: point(w, operator=NO_OPERATOR)),
    ("prescription-first", lambda _: unprescribed(point)),
    ("prescription-first", lambda _: unprescribed(lambda w: mean(w, w.dose(20.0)))),
    ("prescription-first", lambda _: unprescribed(lambda w: eud(w, UPPER, 4.0))),
    ("prescription-range", lambda w: prescribe(w, 0, w.dose(2.0), 1.0)),
    ("prescription-range", lambda w: prescribe(w, 35, w.dose(0.0), 1.0)),
    ("prescription-range", lambda w: prescribe(w, 35, w.dose(2.0), 0.0)),
    ("prescription-range", lambda w: prescribe(w, 35.5, w.dose(2.0), 1.0)),
    ("prescription-range", lambda w: prescribe(w, math.nan, w.dose(2.0), 1.0)),
    ("prescription-range", lambda w: prescribe(w, 35, w.dose(math.inf), 1.0)),
    ("prescription-range", lambda w: prescribe(w, 35, w.dose(2.0), math.inf)),
    ("priority-positive", lambda w: point(w, priority=0.0)),
    ("priority-positive", lambda w: mean(w, w.dose(20.0), priority=-1.0)),
    ("priority-positive", lambda w: mean(w, w.dose(20.0), priority=math.nan)),
    ("priority-positive", lambda w: normal_tissue(w, 0.0, 5.0, 105.0, 60.0, 0.05)),
    ("structure-empty", lambda w: point(w, structure="NotDrawn")),
    ("structure-id-length", lambda w: named(w, "CONTROL", "S" * 17)),
    ("structure-id-length", lambda w: named(w, "CONTROL", "")),
    ("structure-set-id-length", lambda w: renamed_set(w, "S" * 17)),
    ("structure-set-id-length", lambda w: renamed_set(w, "")),
    (
        "structure-of-plan",
        lambda w: w.plan.OptimizationSetup.AddMeanDoseObjective(stranger(w), w.dose(20.0), 1.0),
    ),
    ("unknown-item", removed_twice),
    ("unknown-item", parameter_removed_twice),
    ("unknown-unit", lambda _: DoseValue(1.0, "Gray")),
    ("volume-range", lambda w: point(w, volume=-0.1)),
    ("volume-range", lambda w: point(w, volume=100.1)),
    ("volume-range", lambda w: point(w, volume=math.nan)),
]


BREACHES += PLANNING_BREACHES


@pytest.mark.parametrize(("rule", "breach"), BREACHES, ids=[f"{n}-{rule}" for n, (rule, _) in enumerate(BREACHES)])
def test_a_breach_is_refused_by_its_rule_and_says_how_the_rule_is_known(
    rule: str, breach: Callable[[World], object]
) -> None:
    with world() as w:
        before = w.plan.OptimizationSetup.Objectives
        with pytest.raises(HostException) as caught:
            breach(w)
        assert caught.value.rule is RULES[rule]
        assert RULES[rule].basis.value in str(caught.value)
        assert w.plan.OptimizationSetup.Objectives == before


def test_every_rule_has_a_breach() -> None:
    assert {rule for rule, _ in BREACHES} == set(RULES)


def test_what_the_vendor_documents_is_told_apart_from_guesses() -> None:
    documented = {name for name, rule in RULES.items() if rule.basis is Basis.DOCUMENTED}
    assert documented == {
        "beam-angle",
        "begin-modifications",
        "dicom-type",
        "dose-unit",
        "dose-unit-mixed",
        "eud-operator",
        "evaluation-dose-beams",
        "evaluation-dose-voxels",
        "fluence-mode",
        "intermediate-dose",
        "margin-range",
        "one-application",
        "one-mlc",
        "one-patient",
        "plan-id-length",
        "point-operator",
        "priority-positive",
        "treatment-percentage",
        "volume-range",
    }
    assert all(name == rule.name for name, rule in RULES.items())


def test_host_errors_are_also_pythons_own_kinds() -> None:
    assert issubclass(ArithmeticException, ArithmeticError)
    assert issubclass(ArgumentException, ValueError)
    assert issubclass(ApplicationException, RuntimeError)


BOUNDARIES: dict[str, Callable[[World], object]] = {
    "volume 0": lambda w: point(w, volume=0.0),
    "volume 100": lambda w: point(w, volume=100.0, operator=LOWER),
    "small priority": lambda w: point(w, priority=1e-6),
    "13 characters": lambda w: renamed_plan(w, "P" * 13),
    "16 characters": lambda w: named(w, "CONTROL", "S" * 16),
    "course of 16": lambda w: renamed_course(w, "C" * 16),
    "50 mm": lambda w: w["PTV"].SegmentVolume.Margin(50.0),
    "exact gEUD": lambda w: eud(w, EXACT, 1.0),
    "negative a": lambda w: eud(w, LOWER, -10.0),
    "80 %": lambda w: prescribe(w, 1, w.dose(2.0), 0.8),
    "automatic NTO off": lambda w: w.plan.OptimizationSetup.AddAutomaticNormalTissueObjective(0.0),
}


@pytest.mark.parametrize("name", BOUNDARIES)
def test_what_lies_just_within_a_rule_is_taken(name: str) -> None:
    with world() as w:
        BOUNDARIES[name](w)
