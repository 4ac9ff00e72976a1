"""What is refused as a whole, and leaves the plan as it was: the same of esapi_stub and of a host behind PyESAPI.

``tests/eclipse_plugin/test_refusals.py`` holds the plug-in to the same codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bridge.rt.structure import Structure
from bridge.tps.esapi_port import EsapiPort
from bridge.tps.pyesapi_script import hand_over
from bridge.tps.receipt import Receipt
from esapi_stub.application import StoredStructureSet
from esapi_stub.enums import PlanSetupApprovalStatus
from esapi_stub.plan import ExternalPlanSetup, set_approval_status
from esapi_stub.values import DoseValue
from objective_extraction.objective_set import DerivedStructure, ObjectiveSet
from objective_extraction.objectives import NormalTissueObjective, Objective
from tests.solids import OTHER_FRAME, empty, prism, rectangle
from tests.tps.objective_sets import PLANES_MM, SET_UID, asked, geud, line, mean, point, structures
from tests.tps.worlds import CGY, GY, TYPES, Foreign, ForeignDoseUnit, ForeignDoseValue, give_dose, plan_on

RING = DerivedStructure("Ring_PTV", "ring", ("PTV70",), within="BODY", inner_mm=3.0, outer_mm=20.0)
OBJECTIVES = asked(
    point(1, "PTV70", 69.5, 98.0, "lower"),
    mean(3, "Parotid links", 26.0),
    geud(4, "Cord", 40.0, 12.0),
    line(4, "Cord", (80.0, 0.0), (0.0, 40.0)),
    point(None, "Ring_PTV", 45.0, 0.0),
    derived=[RING],
    normal_tissue=NormalTissueObjective(90.0, 5.0, 105.0, 60.0, 0.05),
)
LONG = "Parotid gland superficial left"

HandOver = Callable[[ObjectiveSet, ExternalPlanSetup], Receipt]


def into_the_stub(objectives: ObjectiveSet, plan: ExternalPlanSetup) -> Receipt:
    return EsapiPort(plan).hand_over(objectives)


def through_pyesapi(objectives: ObjectiveSet, plan: ExternalPlanSetup, **changes: Any) -> Receipt:
    return hand_over(objectives, Foreign(plan, **changes), TYPES)


both = pytest.mark.parametrize("port", [into_the_stub, through_pyesapi])


def without(number: int) -> list[Structure]:
    return [structure for structure in structures() if structure.number != number]


def renamed(number: int, name: str) -> list[Structure]:
    return [replace(s, name=name) if s.number == number else s for s in structures()]


def redrawn(number: int, right_mm: float) -> list[Structure]:
    """The structures with one box that ends at another x."""
    low, high = structures()[number - 1].bounds_mm()
    again = prism([rectangle((low[0], right_mm), (low[1], high[1]))], PLANES_MM, number=number)
    return [replace(s, planes=again.planes) if s.number == number else s for s in structures()]


def drawn_too(name: str) -> list[Structure]:
    return [*structures(), replace(structures()[3], number=9, name=name)]


def approve(plan: ExternalPlanSetup) -> None:
    set_approval_status(plan, PlanSetupApprovalStatus.PlanningApproved)


def plan_with_dose_beside(plan: ExternalPlanSetup) -> None:
    give_dose(plan.Course.Patient.AddCourse().AddExternalPlanSetup(plan.StructureSet))


def nothing(_: ExternalPlanSetup) -> None:
    """Leave the plan as it is."""


CASES: dict[str, tuple[str, dict[str, Any], Callable[[ExternalPlanSetup], None]]] = {
    "another patient": ("other-patient", {"uid": "2.25.9"}, nothing),
    "another frame of reference": ("other-frame-of-reference", {"frame": OTHER_FRAME}, nothing),
    "an approved plan": ("plan-approved", {}, approve),
    "no prescription": ("no-prescription", {"fractions": None}, nothing),
    "fewer fractions": ("other-prescription", {"fractions": 30}, nothing),
    "more fractions": ("other-prescription", {"fractions": 40}, nothing),
    "a missing structure": ("structure-missing", {"drawn": without(3)}, nothing),
    "a missing source of a derived structure": ("structure-missing", {"drawn": without(5)}, nothing),
    "another name": ("structure-renamed", {"drawn": renamed(3, "Parotis links")}, nothing),
    "no contours": ("structure-empty", {"drawn": [*without(3), empty(3, "Parotid links")]}, nothing),
    "contours drawn wider": ("structure-changed", {"drawn": redrawn(3, 44.0)}, nothing),
    "contours drawn narrower": ("structure-changed", {"drawn": redrawn(3, 36.0)}, nothing),
    "a source of a derived structure drawn anew": ("structure-changed", {"drawn": redrawn(5, 50.0)}, nothing),
    "a derived name that is drawn": ("derived-name-taken", {"drawn": drawn_too("Ring_PTV")}, nothing),
    "the same in other case": ("derived-name-taken", {"drawn": drawn_too("RING_ptv")}, nothing),
    "a dose of another plan": ("structure-locked", {}, plan_with_dose_beside),
}


def state(plan: ExternalPlanSetup) -> tuple[object, ...]:
    setup = plan.OptimizationSetup
    shapes = tuple((structure.Id, structure.Volume) for structure in plan.StructureSet.Structures)
    return setup.Objectives, setup.Parameters, shapes, plan.IsDoseValid, plan.ApprovalStatus


def require_refusal(receipt: Receipt, code: str, objectives: ObjectiveSet = OBJECTIVES) -> None:
    assert (receipt.state, receipt.objectives_sha256) == ("refused", objectives.sha256)
    assert receipt.reason.endswith(f"[{code}]")
    assert (receipt.made, receipt.added, receipt.refused) == ((), (), ())


@both
@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_refused_as_a_whole_and_changes_nothing(port: HandOver, case: str) -> None:
    code, world, change = CASES[case]
    with plan_on(**{"drawn": structures(), **world}) as plan:
        change(plan)
        before = state(plan)
        require_refusal(port(OBJECTIVES, plan), code)
        assert state(plan) == before


@both
def test_a_plan_on_another_structure_set_of_the_patient_is_refused(port: HandOver) -> None:
    with plan_on(structures(), uid="2.25.1001", others=[StoredStructureSet("CT2", SET_UID, structures())]) as plan:
        require_refusal(port(OBJECTIVES, plan), "other-structure-set")


@both
@pytest.mark.parametrize("unit", [GY, CGY])
@pytest.mark.parametrize("fraction_gy", [1.8, 1.9998, 2.0002, 200.0, 0.02])
def test_another_total_dose_is_refused(port: HandOver, unit: DoseValue.DoseUnit, fraction_gy: float) -> None:
    """Also one that is 0.007 Gy off, or off by cGy taken for Gy."""
    with plan_on(structures(), unit) as plan:
        plan.SetPrescription(35, DoseValue(fraction_gy * (100.0 if unit is CGY else 1.0), unit), 1.0)
        require_refusal(port(OBJECTIVES, plan), "other-prescription")


@both
def test_a_refusal_of_edited_contours_names_the_structure_and_both_volumes(port: HandOver) -> None:
    """The box of 20 x 20 x 60 mm is 24 mm wide now."""
    with plan_on(redrawn(3, 44.0)) as plan:
        receipt = port(OBJECTIVES, plan)
    assert "ROI 3 (Parotid links) has 28.80 cc in the plan's structure set" in receipt.reason
    assert "were made for 24.00 cc, give or take 1.69 cc" in receipt.reason


@both
@pytest.mark.parametrize("drawn", [redrawn(3, 41.0), redrawn(2, 40.0)], ids=["within tolerance", "not needed"])
def test_what_a_planning_system_may_count_otherwise_and_what_is_not_needed_is_taken(
    port: HandOver, drawn: list[Structure]
) -> None:
    with plan_on(drawn) as plan:
        receipt = port(OBJECTIVES, plan)
    assert (receipt.state, receipt.refused) == ("applied", ())


def test_a_unit_that_is_neither_gy_nor_cgy_is_refused() -> None:
    with plan_on(structures()) as plan:
        percent = ForeignDoseValue(100.0, ForeignDoseUnit.Percent)
        require_refusal(through_pyesapi(OBJECTIVES, plan, TotalDose=percent), "unknown-unit")
        assert plan.OptimizationSetup.Objectives == ()


def test_a_system_that_takes_no_changes_is_refused() -> None:
    def refuse() -> None:
        raise LookupError("no licence")

    with plan_on(structures()) as plan:
        patient = Foreign(plan.Course.Patient, BeginModifications=refuse)
        receipt = through_pyesapi(OBJECTIVES, plan, Course=SimpleCourse(patient))
        require_refusal(receipt, "not-writable")
        assert "no licence" in receipt.reason
        assert plan.OptimizationSetup.Objectives == ()


class SimpleCourse:
    """A course with nothing but its patient."""

    def __init__(self, patient: Foreign) -> None:
        self.Patient = patient


@both
@pytest.mark.parametrize("unit", [DoseValue.DoseUnit.Gy, CGY])
def test_a_second_run_of_the_same_objectives_is_refused(port: HandOver, unit: DoseValue.DoseUnit) -> None:
    with plan_on(structures(), unit) as plan:
        assert port(OBJECTIVES, plan).state == "applied"
        before = state(plan)
        require_refusal(port(OBJECTIVES, plan), "already-applied")
        assert state(plan) == before


def asked_otherwise(position: int, objective: Objective) -> ObjectiveSet:
    given = OBJECTIVES.objectives
    return replace(OBJECTIVES, objectives=(*given[:position], objective, *given[position + 1 :]))


@both
@pytest.mark.parametrize(
    "other",
    [
        replace(OBJECTIVES, objectives=OBJECTIVES.objectives[:-1]),
        replace(OBJECTIVES, objectives=(*OBJECTIVES.objectives, point(4, "Cord", 45.0, 0.0))),
        asked_otherwise(0, point(1, "PTV70", 69.6, 98.0, "lower")),
        asked_otherwise(0, point(1, "PTV70", 69.5, 97.0, "lower")),
        asked_otherwise(0, point(1, "PTV70", 69.5, 98.0)),
        asked_otherwise(0, replace(OBJECTIVES.objectives[0], priority=81.0)),
        asked_otherwise(0, point(2, "PTV56", 69.5, 98.0, "lower")),
        asked_otherwise(1, geud(3, "Parotid links", 26.0, 1.0)),
        asked_otherwise(2, geud(4, "Cord", 40.0, 11.0)),
        replace(OBJECTIVES, normal_tissue=NormalTissueObjective(90.0)),
        replace(OBJECTIVES, normal_tissue=NormalTissueObjective(90.0, 6.0, 105.0, 60.0, 0.05)),
        replace(OBJECTIVES, normal_tissue=NormalTissueObjective(90.0, 5.0, 105.0, 60.0, 0.06)),
    ],
)
def test_other_objectives_are_no_second_run(port: HandOver, other: ObjectiveSet) -> None:
    with plan_on(structures()) as plan:
        port(OBJECTIVES, plan)
        receipt = port(other, plan)
    assert (receipt.state, receipt.refused) == ("applied", ())


@both
def test_a_structure_of_a_long_name_is_found_under_its_short_id(port: HandOver) -> None:
    with plan_on(renamed(3, LONG)) as plan:
        wanted = asked(mean(3, LONG, 26.0))
        (identifier,) = wanted.shortened_names.values()
        receipt = port(wanted, plan)
        (landed,) = plan.OptimizationSetup.Objectives
    assert (landed.StructureId, len(identifier) <= 16, identifier[-2:]) == (identifier, True, "_L")
    assert (receipt.added[0].structure, receipt.short_ids) == (LONG, {LONG: identifier})


@both
def test_a_long_name_that_was_cut_otherwise_is_refused_with_the_id_that_is_expected(port: HandOver) -> None:
    """The cut name is the same for left and right, and a ROI number alone is not enough."""
    with plan_on(renamed(3, LONG[:16])) as plan:
        wanted = asked(mean(3, LONG, 26.0))
        receipt = port(wanted, plan)
    require_refusal(receipt, "structure-renamed", wanted)
    assert f"rename it to {wanted.shortened_names[LONG]}" in receipt.reason
