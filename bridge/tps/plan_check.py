"""Whether objectives are for a plan: asked of esapi_stub and of a real host alike, before anything is changed.

The Eclipse plug-in makes the same checks in the same order (``PlanCheck.cs``); a refusal has the same code in both.
"""

from __future__ import annotations

from typing import Any

from bridge.rt.errors import ApprovalRefusal, IdentityRefusal, PrescriptionRefusal, Refusal, StructureRefusal
from bridge.tps.plan_content import holds
from esapi_stub.enums import PlanSetupApprovalStatus
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.structure_set import Structure
from esapi_stub.values import DoseValue
from objective_extraction.objective_set import DerivedStructure, ObjectiveSet
from objective_extraction.structure_volume import StructureVolume

__all__ = ["DERIVED_TYPE", "find_named", "find_numbered", "per_gray", "require_fit", "unit_of"]

DERIVED_TYPE = "CONTROL"
"""DICOM type of the structures that a hand-over makes, by which it knows them again."""

_SAME_DOSE_GY = 0.005
_PER_GRAY = {DoseValue.DoseUnit.Gy: 1.0, DoseValue.DoseUnit.cGy: 100.0}


def require_fit(objectives: ObjectiveSet, plan: ExternalPlanSetup) -> None:
    """Refuse objectives that are not for this patient, structure set and plan, or that the plan has already.

    Raises
    ------
    Refusal
        ``other-patient``, ``other-structure-set``, ``other-frame-of-reference``, ``plan-approved``,
        ``no-prescription``, ``unknown-unit``, ``other-prescription``, ``structure-missing``, ``structure-renamed``,
        ``structure-empty``, ``structure-changed``, ``derived-name-taken``, ``structure-locked`` or
        ``already-applied``. Nothing was changed.
    """
    _require_patient(objectives, plan)
    if plan.ApprovalStatus != PlanSetupApprovalStatus.UnApproved:
        raise ApprovalRefusal(
            "plan-approved", f"The plan {plan.Id} is {_shown(plan.ApprovalStatus)}; only an unapproved plan is changed."
        )
    _require_prescription(objectives, plan)
    for needed in objectives.needed_structures:
        _require_drawn(objectives, plan, needed)
    for recipe in objectives.derived_structures:
        _require_name(plan, recipe)
    if objectives.derived_structures:
        _require_unlocked(plan)
    if holds(objectives, plan, per_gray(plan)):
        raise ApprovalRefusal(
            "already-applied", f"The plan {plan.Id} holds exactly these objectives already; nothing was changed."
        )


def unit_of(plan: ExternalPlanSetup) -> DoseValue.DoseUnit:
    """Give the unit that the system is set to, which is that of the plan's doses.

    Raises
    ------
    Refusal
        It is neither Gy nor cGy (``unknown-unit``).
    """
    for unit in _PER_GRAY:
        if plan.TotalDose.Unit == unit:
            return unit
    raise Refusal(
        "unknown-unit", f"The plan's dose is in {_shown(plan.TotalDose.Unit)}; only Gy and cGy are understood."
    )


def per_gray(plan: ExternalPlanSetup) -> float:
    """Give how many of that unit are 1 Gy; raises as :func:`unit_of`."""
    return _PER_GRAY[unit_of(plan)]


def find_numbered(plan: ExternalPlanSetup, number: int) -> Structure | None:
    """Find a structure of the plan by its ROI number."""
    return next((structure for structure in plan.StructureSet.Structures if number == structure.ROINumber), None)


def find_named(objectives: ObjectiveSet, plan: ExternalPlanSetup, name: str) -> Structure | None:
    """Find a structure of the plan by its name, or by the id that stands for a name too long; one with contours."""
    ids = {name, objectives.structure_ids.get(name, name)}
    found = [structure for structure in plan.StructureSet.Structures if structure.Id in ids]
    return min(found, key=lambda structure: structure.IsEmpty, default=None)


def _require_patient(objectives: ObjectiveSet, plan: ExternalPlanSetup) -> None:
    case, structures = objectives.case, plan.StructureSet
    if case.structure_set_uid not in [one.UID for one in plan.Course.Patient.StructureSets]:
        raise IdentityRefusal(
            "other-patient",
            f"The objectives are for the structure set {case.structure_set_uid}, which the open patient does not have.",
        )
    if structures is None or case.structure_set_uid != structures.UID:
        raise IdentityRefusal(
            "other-structure-set",
            f"The objectives are for the structure set {case.structure_set_uid}, and the plan {plan.Id} is on another "
            "one of this patient.",
        )
    # a world without CT has no image to compare; a real host always has one
    if structures.Image is not None and case.frame_of_reference_uid != structures.Image.FOR:
        raise IdentityRefusal(
            "other-frame-of-reference",
            f"The objectives are for the frame of reference {case.frame_of_reference_uid}, the plan's image has "
            f"{structures.Image.FOR}.",
        )


def _require_prescription(objectives: ObjectiveSet, plan: ExternalPlanSetup) -> None:
    if plan.NumberOfFractions is None or plan.TotalDose.IsUndefined():
        raise PrescriptionRefusal("no-prescription", f"The plan {plan.Id} has no prescription; prescribe first.")
    total_gy, wanted = plan.TotalDose.Dose / per_gray(plan), objectives.prescription
    if abs(total_gy - wanted.highest_gy) > _SAME_DOSE_GY:
        raise PrescriptionRefusal(
            "other-prescription",
            f"The objectives are for a total dose of {wanted.highest_gy:g} Gy, the plan prescribes {total_gy:g} Gy.",
        )
    if wanted.fractions is not None and wanted.fractions != plan.NumberOfFractions:
        raise PrescriptionRefusal(
            "other-prescription",
            f"The objectives are for {wanted.fractions} fractions, the plan has {plan.NumberOfFractions}.",
        )


def _require_drawn(objectives: ObjectiveSet, plan: ExternalPlanSetup, needed: StructureVolume) -> None:
    """Refuse where a structure is not there as it was: by its number, with its name and contours of its volume."""
    name = needed.roi_name
    wanted = f"ROI {needed.roi_number} ({name})"
    found = find_numbered(plan, needed.roi_number)
    if found is None:
        raise StructureRefusal("structure-missing", f"The plan's structure set has no {wanted}.")
    identifier = objectives.structure_ids[name]
    if found.Id not in (name, identifier):
        expected = "" if identifier == name else f"; rename it to {identifier}, which stands for its long name"
        raise StructureRefusal(
            "structure-renamed", f"{wanted} is called {found.Id} in the plan's structure set{expected}."
        )
    if found.IsEmpty:
        raise StructureRefusal("structure-empty", f"{wanted} has no contours in the plan's structure set.")
    if not needed.fits(found.Volume):
        raise StructureRefusal(
            "structure-changed",
            f"{wanted} has {found.Volume:.2f} cc in the plan's structure set; the objectives were made for "
            f"{needed.volume_cc:.2f} cc, give or take {needed.tolerance_cc:.2f} cc. Its contours are others now: send "
            "the structure set to the bridge and predict anew.",
        )


def _require_name(plan: ExternalPlanSetup, recipe: DerivedStructure) -> None:
    """Refuse where a derived structure would overwrite one that was drawn, or cannot be added."""
    structures = plan.StructureSet
    present = next((structure for structure in structures.Structures if structure.Id == recipe.name), None)
    if present is not None and present.DicomType != DERIVED_TYPE:
        raise StructureRefusal(
            "derived-name-taken",
            f"The structure {recipe.name} is drawn as {present.DicomType}; rename it, so that it is not overwritten.",
        )
    if present is None and not structures.CanAddStructure(DERIVED_TYPE, recipe.name):
        raise StructureRefusal("derived-name-taken", f"No structure {recipe.name} can be added to the structure set.")


def _require_unlocked(plan: ExternalPlanSetup) -> None:
    """Refuse where another plan's dose lies on the structures: it is not for a hand-over to this plan to discard."""
    for course in plan.Course.Patient.Courses:
        for other in course.PlanSetups:
            drawn = other.StructureSet
            if other.UID != plan.UID and other.IsDoseValid and drawn is not None and drawn.UID == plan.StructureSet.UID:
                raise StructureRefusal(
                    "structure-locked",
                    f"Structures have to be made, and the plan {other.Id} in course {course.Id} has a dose on the same "
                    "structure set, which locks it. Clear that dose, or plan on a copy of the structure set.",
                )


def _shown(value: Any) -> str:
    """Give the name of an enumeration's value, of the stub or of .NET."""
    return str(getattr(value, "name", value))
