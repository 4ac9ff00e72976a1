"""Objectives into a plan through the calls of ESAPI, as the Eclipse plug-in makes them; here into esapi_stub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial, reduce

from bridge import __version__
from bridge.rt.prescription import Prescription
from bridge.rt.structure import Structure as RtStructure
from bridge.tps.receipt import Outcome, Receipt
from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.enums import OptimizationObjectiveOperator
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.rules import HostException
from esapi_stub.structure_set import SegmentVolume, Structure
from esapi_stub.values import DoseValue
from objective_extraction.objective_set import DerivedStructure, ObjectiveSet
from objective_extraction.objectives import (
    GeudObjective,
    LineObjective,
    MeanObjective,
    NormalTissueObjective,
    Objective,
    PointObjective,
)

__all__ = ["LINE_VOLUMES_PERCENT", "EsapiPort", "apply_to_esapi", "words"]

LINE_VOLUMES_PERCENT = (0.0, 5.0, 20.0, 40.0, 60.0, 80.0, 95.0)
"""Where a line objective is sampled: ESAPI has no call that adds a line."""

_DERIVED_TYPE = "CONTROL"
"""DICOM type of the structures that the port makes, by which it knows them again."""

_OPERATORS = {"upper": OptimizationObjectiveOperator.Upper, "lower": OptimizationObjectiveOperator.Lower}


class _Refused(Exception):
    """One item that the port itself does not ask for."""


class EsapiPort:
    """One plan that takes objectives.

    Parameters
    ----------
    plan
        Unapproved, of a patient with BeginModifications called, and with a prescription.
    dose_unit
        What the system is set to; objectives are given in it.
    """

    def __init__(self, plan: ExternalPlanSetup, dose_unit: DoseValue.DoseUnit = DoseValue.DoseUnit.Gy) -> None:
        self._plan = plan
        self._dose_unit = dose_unit

    def hand_over(self, objectives: ObjectiveSet) -> Receipt:
        """Replace the plan's objectives by these, one by one; one that is refused does not stop the others.

        Returns
        -------
        Receipt
            What was added, and what was refused and why.
        """
        setup = self._plan.OptimizationSetup
        made: list[Outcome] = []
        added: list[Outcome] = []
        refused: list[Outcome] = []

        def attempt(done: list[Outcome], outcome: Outcome, act: Callable[[], None]) -> None:
            try:
                act()
            except (HostException, _Refused) as error:
                refused.append(outcome.model_copy(update={"reason": str(error)}))
            else:
                done.append(outcome)

        before = setup.Objectives
        for objective in before:
            setup.RemoveObjective(objective)
        for recipe in objectives.derived_structures:
            attempt(made, Outcome(structure=recipe.name, what=f"make {recipe}"[:200]), partial(self._derive, recipe))
        for position, asked in enumerate(objectives.objectives):
            attempt(
                added,
                Outcome(objective=position, structure=asked.roi_name, what=words(asked)),
                partial(self._add, asked, [outcome.structure for outcome in made]),
            )
        if objectives.normal_tissue is not None:
            attempt(
                added,
                Outcome(what="normal tissue objective"),
                partial(self._add_normal_tissue, objectives.normal_tissue),
            )
        return Receipt(
            objectives_sha256=objectives.sha256,
            state="applied",
            taken_by=f"esapi_stub {__version__}",
            plan_uid=self._plan.UID,
            created_utc=datetime.now(UTC),
            made=tuple(outcome.structure for outcome in made),
            added=tuple(added),
            refused=tuple(refused),
            notes=(f"{len(before)} objectives that were in the plan were removed.",) if before else (),
        )

    def _dose(self, dose_gy: float) -> DoseValue:
        return DoseValue(dose_gy if self._dose_unit is DoseValue.DoseUnit.Gy else 100.0 * dose_gy, self._dose_unit)

    def _named(self, name: str) -> Structure:
        found = [structure for structure in self._plan.StructureSet.Structures if structure.Id == name]
        if not found:
            raise _Refused(f"the plan's structure set has no structure {name!r}")
        return min(found, key=lambda structure: structure.IsEmpty)  # of one name, only one can have contours

    def _structure_of(self, objective: Objective, made: Sequence[str]) -> Structure:
        """Find a structure by ROI number, and hold its name against it; a derived one by its name, if it was made."""
        if objective.roi_number is None:
            if objective.roi_name not in made:
                raise _Refused(f"the derived structure {objective.roi_name!r} could not be made")
            return self._named(objective.roi_name)
        found = [s for s in self._plan.StructureSet.Structures if objective.roi_number == s.ROINumber]
        if not found:
            raise _Refused(f"the plan's structure set has no ROI {objective.roi_number}")
        if found[0].Id != objective.roi_name:
            raise _Refused(f"ROI {objective.roi_number} is {found[0].Id!r} here, not {objective.roi_name!r}")
        return found[0]

    def _add(self, objective: Objective, made: Sequence[str]) -> None:
        setup, structure = self._plan.OptimizationSetup, self._structure_of(objective, made)
        match objective:
            case MeanObjective():
                setup.AddMeanDoseObjective(structure, self._dose(objective.dose_gy), objective.priority)
            case GeudObjective():
                operator, dose = _OPERATORS[objective.operator], self._dose(objective.dose_gy)
                setup.AddEUDObjective(structure, operator, dose, objective.a, objective.priority)
            case LineObjective():
                points = objective.sampled(LINE_VOLUMES_PERCENT)
                if not points:
                    raise _Refused(
                        "the line is at 0 Gy wherever it is sampled, and a point at 0 Gy cannot be asked for"
                    )
                for point in points:
                    self._add(point, made)
            case PointObjective():
                operator, dose = _OPERATORS[objective.operator], self._dose(objective.dose_gy)
                setup.AddPointObjective(structure, operator, dose, objective.volume_percent, objective.priority)

    def _add_normal_tissue(self, asked: NormalTissueObjective) -> None:
        setup = self._plan.OptimizationSetup
        if asked.distance_mm is None:
            setup.AddAutomaticNormalTissueObjective(asked.priority)
        else:
            setup.AddNormalTissueObjective(
                asked.priority,
                asked.distance_mm,
                asked.start_dose_percent or 0.0,
                asked.end_dose_percent or 0.0,
                asked.fall_off_per_mm or 0.0,
            )

    def _derive(self, recipe: DerivedStructure) -> None:
        """Make a derived structure, or shape the one that an earlier hand-over made, never one that was drawn."""
        shape = self._shape(recipe)
        structures = self._plan.StructureSet
        present = [structure for structure in structures.Structures if structure.Id == recipe.name]
        drawn = [structure for structure in present if structure.DicomType != _DERIVED_TYPE]
        if drawn:
            raise _Refused(f"{recipe.name!r} is drawn in the structure set, as {drawn[0].DicomType}: rename it")
        structure = present[0] if present else structures.AddStructure(_DERIVED_TYPE, recipe.name)
        structure.SegmentVolume = shape

    def _shape(self, recipe: DerivedStructure) -> SegmentVolume:
        shapes = [self._named(name).SegmentVolume for name in recipe.of]
        if recipe.operation == "subtract":
            cuts = [self._named(name).SegmentVolume.Margin(recipe.margin_mm or 0.0) for name in recipe.minus]
            return reduce(lambda rest, cut: rest.Sub(cut), cuts, shapes[0])
        core = reduce(lambda one, other: one.Or(other), shapes)
        shell = core.Margin(recipe.outer_mm or 0.0).Sub(core.Margin(recipe.inner_mm or 0.0))
        return self._named(recipe.within or "").SegmentVolume.And(shell)


def apply_to_esapi(objectives: ObjectiveSet, structures: Sequence[RtStructure]) -> Receipt:
    """Rehearse a hand-over: apply objectives to a new plan in esapi_stub and say what the host would take.

    Parameters
    ----------
    objectives
        All doses are totals, so a rehearsal does not depend on fractions: where their number is not known, the total
        is prescribed as one, and the receipt says so.
    structures
        The structure set.
    """
    prescription: Prescription = objectives.prescription
    stored = StoredStructureSet("Rehearsal", objectives.case.structure_set_uid, tuple(structures))
    with Application.CreateApplication(Database({"Rehearsal": [stored]})) as application:
        patient = application.OpenPatientById("Rehearsal")
        assert patient is not None  # noqa: S101 - stored two lines above
        patient.BeginModifications()
        plan = patient.AddCourse().AddExternalPlanSetup(patient.StructureSets[0])
        fractions = prescription.fractions or 1
        plan.SetPrescription(fractions, DoseValue(prescription.highest_gy / fractions, DoseValue.DoseUnit.Gy), 1.0)
        receipt = EsapiPort(plan).hand_over(objectives)
        if prescription.fractions is None:
            note = "The number of fractions is not known; the rehearsal prescribed the total dose as one."
            receipt = receipt.model_copy(update={"notes": (*receipt.notes, note)})
        return receipt


def words(objective: Objective) -> str:
    """Say what an objective asks, as receipts and previews do."""
    match objective:
        case MeanObjective():
            return f"mean at most {objective.dose_gy:g} Gy"
        case GeudObjective():
            return f"gEUD (a = {objective.a:g}) {objective.operator} {objective.dose_gy:g} Gy"
        case LineObjective():
            return f"{objective.operator} line of {len(objective.curve)} points, sampled"
        case PointObjective():
            return f"{objective.operator} {objective.dose_gy:g} Gy at {objective.volume_percent:g} %"
