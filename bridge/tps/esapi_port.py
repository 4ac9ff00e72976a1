"""Objectives into a plan through the calls of ESAPI, as the Eclipse plug-in makes them; here into esapi_stub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial, reduce

from bridge import __version__
from bridge.rt.errors import ApprovalRefusal, Refusal
from bridge.rt.prescription import Prescription
from bridge.rt.short_ids import LONGEST_PLAN_ID, short_id
from bridge.rt.structure import Structure as RtStructure
from bridge.tps.discard_dose import discard_dose
from bridge.tps.plan_check import DERIVED_TYPE, find_named, find_numbered, per_gray, require_fit, unit_of
from bridge.tps.plan_content import OPERATORS, normal_tissue_in
from bridge.tps.receipt import Outcome, Receipt
from bridge.tps.terms import Term, terms, words
from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.optimization import OptimizationObjective
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.rules import HostException
from esapi_stub.structure_set import SegmentVolume, Structure
from esapi_stub.values import DoseValue
from objective_extraction.objective_set import DerivedStructure, ObjectiveSet
from objective_extraction.objectives import GeudObjective, MeanObjective, NormalTissueObjective, Objective

__all__ = ["EsapiPort", "apply_to_esapi", "refused_receipt"]

_LONGEST_REASON = 1000


class _Refused(Exception):
    """One item that the port itself does not ask for."""


class EsapiPort:
    """One plan that takes objectives.

    Parameters
    ----------
    plan
        An external beam plan of the open patient. Doses go in the unit that its prescription has.
    taken_by
        Program and version, for the receipt.
    """

    def __init__(self, plan: ExternalPlanSetup, taken_by: str = f"esapi_stub {__version__}") -> None:
        self._plan = plan
        self._taken_by = taken_by

    def hand_over(self, objectives: ObjectiveSet) -> Receipt:
        """Replace the plan's objectives by these, one by one; one that the host refuses does not stop the others.

        Returns
        -------
        Receipt
            What was added, and what was refused and why. Objectives that are not for this plan are refused as a whole
            (see :func:`bridge.tps.plan_check.require_fit`), before anything is changed.
        """
        try:
            require_fit(objectives, self._plan)
            self._begin()
            notes = discard_dose(self._plan) if objectives.derived_structures and self._plan.IsDoseValid else []
        except Refusal as refusal:
            return refused_receipt(objectives.sha256, refusal, self._taken_by, self._plan.UID)
        return self._replace(objectives, notes)

    def _begin(self) -> None:
        try:
            self._plan.Course.Patient.BeginModifications()
        except HostException as error:
            raise ApprovalRefusal("not-writable", f"The planning system takes no changes: {error}") from error

    def _replace(self, objectives: ObjectiveSet, notes: list[str]) -> Receipt:
        setup = self._plan.OptimizationSetup
        removed: list[Outcome] = []
        made: list[Outcome] = []
        added: list[Outcome] = []
        refused: list[Outcome] = []

        def attempt(done: list[Outcome], outcome: Outcome, act: Callable[[], object]) -> None:
            try:
                act()
            except (HostException, _Refused) as error:
                refused.append(outcome.model_copy(update={"reason": str(error)[:_LONGEST_REASON]}))
            else:
                done.append(outcome)

        for present in setup.Objectives:
            outcome = Outcome(structure=present.StructureId, what="remove an objective that was in the plan")
            attempt(removed, outcome, partial(setup.RemoveObjective, present))
        if removed:
            notes.append(f"{len(removed)} objectives that were in the plan were removed.")
        for recipe in objectives.derived_structures:
            outcome = Outcome(structure=recipe.name, what=f"make {recipe}"[:200])
            attempt(made, outcome, partial(self._derive, objectives, recipe))
        names_made = tuple(outcome.structure for outcome in made)
        for position, asked in enumerate(objectives.objectives):
            outcome = Outcome(objective=position, structure=asked.roi_name, what=words(asked))
            attempt(added, outcome, partial(self._add, asked, names_made))
        if objectives.normal_tissue is not None:
            outcome = Outcome(what="normal tissue objective")
            attempt(added, outcome, partial(self._add_normal_tissue, objectives.normal_tissue))
        elif normal_tissue_in(self._plan) is not None:
            notes.append("The plan's normal tissue objective stays as it was.")
        return Receipt(
            objectives_sha256=objectives.sha256,
            state="applied",
            taken_by=self._taken_by,
            plan_uid=self._plan.UID,
            created_utc=datetime.now(UTC),
            made=names_made,
            added=tuple(added),
            refused=tuple(refused),
            notes=tuple(notes),
            short_ids=objectives.shortened_names,
        )

    def _dose(self, dose_gy: float) -> DoseValue:
        return DoseValue(per_gray(self._plan) * dose_gy, unit_of(self._plan))

    def _structure_of(self, objective: Objective, made: Sequence[str]) -> Structure:
        if objective.roi_number is not None:
            found = find_numbered(self._plan, objective.roi_number)
        elif objective.roi_name in made:
            found = next(s for s in self._plan.StructureSet.Structures if s.Id == objective.roi_name)
        else:
            raise _Refused(f"the derived structure {objective.roi_name} could not be made")
        if found is None:
            raise _Refused(f"the plan's structure set has no ROI {objective.roi_number} any more")
        return found

    def _add(self, objective: Objective, made: Sequence[str]) -> None:
        structure, asked = self._structure_of(objective, made), terms(objective)
        if not asked:
            raise _Refused("the line is at 0 Gy wherever it is sampled, and a point at 0 Gy cannot be asked for")
        landed: list[OptimizationObjective] = []
        try:
            for term in asked:
                landed.append(self._add_term(structure, term))
        except HostException:
            # a line that the receipt calls refused must not be in the plan in part
            for one in landed:
                self._plan.OptimizationSetup.RemoveObjective(one)
            raise

    def _add_term(self, structure: Structure, term: Term) -> OptimizationObjective:
        setup, dose = self._plan.OptimizationSetup, self._dose(term.dose_gy)
        if isinstance(term, MeanObjective):
            return setup.AddMeanDoseObjective(structure, dose, term.priority)
        if isinstance(term, GeudObjective):
            return setup.AddEUDObjective(structure, OPERATORS[term.operator], dose, term.a, term.priority)
        return setup.AddPointObjective(structure, OPERATORS[term.operator], dose, term.volume_percent, term.priority)

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

    def _derive(self, objectives: ObjectiveSet, recipe: DerivedStructure) -> None:
        """Make a derived structure, or shape the one that an earlier hand-over made."""
        shape = self._shape(objectives, recipe)
        structures = self._plan.StructureSet
        present = [structure for structure in structures.Structures if structure.Id == recipe.name]
        structure = present[0] if present else structures.AddStructure(DERIVED_TYPE, recipe.name)
        structure.SegmentVolume = shape

    def _shape(self, objectives: ObjectiveSet, recipe: DerivedStructure) -> SegmentVolume:
        def segment(name: str) -> SegmentVolume:
            found = find_named(objectives, self._plan, name)
            if found is None:  # one that is derived itself and could not be made
                raise _Refused(f"the plan's structure set has no structure {name}")
            return found.SegmentVolume

        shapes = [segment(name) for name in recipe.of]
        if recipe.operation == "subtract":
            cuts = [segment(name).Margin(recipe.margin_mm or 0.0) for name in recipe.minus]
            return reduce(lambda rest, cut: rest.Sub(cut), cuts, shapes[0])
        core = reduce(lambda one, other: one.Or(other), shapes)
        shell = core.Margin(recipe.outer_mm or 0.0).Sub(core.Margin(recipe.inner_mm or 0.0))
        return segment(recipe.within or "").And(shell)


def refused_receipt(objectives_sha256: str, refusal: Refusal, taken_by: str, plan_uid: str | None) -> Receipt:
    """Give the receipt of a hand-over that changed nothing."""
    return Receipt(
        objectives_sha256=objectives_sha256,
        state="refused",
        reason=str(refusal)[:_LONGEST_REASON],
        taken_by=taken_by,
        plan_uid=plan_uid,
        created_utc=datetime.now(UTC),
    )


def apply_to_esapi(objectives: ObjectiveSet, structures: Sequence[RtStructure], plan_id: str = "Rehearsal") -> Receipt:
    """Rehearse a hand-over: apply objectives to a new plan in esapi_stub and say what the host would take.

    Parameters
    ----------
    objectives
        All doses are totals, so a rehearsal does not depend on fractions: where their number is not known, the total
        is prescribed as one, and the receipt says so.
    structures
        The structure set.
    plan_id
        What the plan is called; where that is too long for the host, the receipt says what it is called there.
    """
    prescription: Prescription = objectives.prescription
    stored = [StoredStructureSet("Rehearsal", objectives.case.structure_set_uid, tuple(structures))]
    with Application.CreateApplication(Database({"Rehearsal": stored})) as application:
        patient = application.OpenPatientById("Rehearsal")
        assert patient is not None  # noqa: S101 - stored two lines above
        patient.BeginModifications()
        plan = patient.AddCourse().AddExternalPlanSetup(patient.StructureSets[0])
        plan.Id = short_id(plan_id, LONGEST_PLAN_ID)
        fractions = prescription.fractions or 1
        plan.SetPrescription(fractions, DoseValue(prescription.highest_gy / fractions, DoseValue.DoseUnit.Gy), 1.0)
        receipt = EsapiPort(plan).hand_over(objectives)
        notes: list[str] = []
        renamed: dict[str, str] = {}
        if plan.Id != plan_id:
            renamed[plan_id] = plan.Id
            notes.append(f"The plan {plan_id!r} is called {plan.Id!r}: an id has at most {LONGEST_PLAN_ID} characters.")
        if prescription.fractions is None:
            notes.append("The number of fractions is not known; the rehearsal prescribed the total dose as one.")
        return receipt.model_copy(
            update={"notes": (*receipt.notes, *notes), "short_ids": {**receipt.short_ids, **renamed}}
        )
