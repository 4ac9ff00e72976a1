"""Objectives into the engine, and what came out measured against what was asked.

The engine is given a ``PlanningProblem`` and not an ESAPI plan: the objectives are the same one by one
(``test_conversion`` holds the two ways to the same dose), but a plan makes its derived structures anew for every set,
and the engine would have to lay the patient on its grid again for each of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_prepared import PreparedDvhs, prepare_dvhs
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from bridge.workflow.cohort.engine_terms import engine_objectives, shaped
from esapi_stub.engine.engine import PencilBeamEngine
from esapi_stub.planning import (
    BeamFluence,
    OptimizedPlan,
    PlannedObjective,
    PlanningProblem,
)
from objective_extraction.objective_set import DerivedStructure, ObjectiveSet
from tests.benchmarks.conversion_case import ConversionCase

POLICY = DvhPolicy()
VOLUMES_PERCENT: FloatArray = np.arange(1.0, 100.0)
FIRST_DERIVED_NUMBER = 1000


class Planner:
    """One patient in the engine, with every structure that objectives have asked for so far."""

    def __init__(self, case: ConversionCase, engine: PencilBeamEngine) -> None:
        self.case = case
        self._engine = engine
        self._derived: dict[DerivedStructure, Structure] = {}
        self._prepared: PreparedDvhs | None = None
        self._prepared_count = 0

    def optimize(
        self,
        objectives: Sequence[PlannedObjective],
        start: tuple[BeamFluence, ...] | None = None,
    ) -> tuple[OptimizedPlan, float]:
        """Optimize, and give the seconds that it took."""
        prescription = self.case.prescription
        assert prescription.fractions is not None
        problem = PlanningProblem(
            self.case.ct, self._structures, self.case.beams, tuple(objectives), None,
            prescription.highest_gy, prescription.fractions,
        )  # fmt: skip
        begun = time.perf_counter()
        return self._engine.optimize(problem, start=start), time.perf_counter() - begun

    def planned(self, objectives: ObjectiveSet) -> tuple[PlannedObjective, ...]:
        """Give a set of objectives as the engine takes them; for new derived structures it lays its grid anew."""
        for recipe in objectives.derived_structures:
            if recipe not in self._derived:
                self._derived[recipe] = shaped(recipe, self._named, FIRST_DERIVED_NUMBER + len(self._derived))
        derived = {recipe.name: self._derived[recipe].number for recipe in objectives.derived_structures}
        return engine_objectives(objectives, derived)

    def dvhs(self, dose: Dose, derived: Sequence[DerivedStructure] = ()) -> dict[str, Dvh]:
        """Give the DVHs in a dose of the engine by name: of the case's own structures, and of some derived ones."""
        if self._prepared is None or self._prepared_count < len(self._structures):
            self._prepared = prepare_dvhs(self._structures, dose.grid, POLICY)
            self._prepared_count = len(self._structures)
        own = {structure.number for structure in self.case.structures}
        wanted = own | {self._derived[recipe].number for recipe in derived}
        return {dvh.roi_name: dvh for dvh in self._prepared.dvhs(dose) if dvh.roi_number in wanted}

    @property
    def _structures(self) -> tuple[Structure, ...]:
        return (*self.case.structures, *self._derived.values())

    @cached_property
    def _by_name(self) -> dict[str, Structure]:
        return {structure.name: structure for structure in self.case.structures}

    def _named(self, name: str) -> Structure:
        return self._by_name[name]


@dataclass(frozen=True)
class OrganDifference:
    """Optimized less requested over one organ, Gy: means over its DVH at 1 to 99 %.

    Attributes
    ----------
    absolute
        Misfit and sparing together.
    misfit
        What came out above the request.
    sparing
        What came out below it.
    mean_dose, near_maximum
        Signed differences of mean dose and D0.03cc.
    """

    absolute: float
    misfit: float
    sparing: float
    mean_dose: float
    near_maximum: float


def organ_difference(requested: Dvh, optimized: Dvh) -> OrganDifference:
    """Compare an organ's DVHs."""
    difference = optimized.curve(VOLUMES_PERCENT) - requested.curve(VOLUMES_PERCENT)
    return OrganDifference(
        absolute=float(np.abs(difference).mean()),
        misfit=float(np.maximum(difference, 0.0).mean()),
        sparing=float(np.maximum(-difference, 0.0).mean()),
        mean_dose=optimized.mean_gy - requested.mean_gy,
        near_maximum=optimized.dose_at_cc(0.03) - requested.dose_at_cc(0.03),
    )


def target_difference(requested: Dvh, optimized: Dvh) -> Mapping[str, float]:
    """Give the differences of D98%, D95% and D2%, and what D95% came to."""
    found = {f"d{v}": optimized.dose_at_percent(v) - requested.dose_at_percent(v) for v in (98, 95, 2)}
    return {**found, "optimized_d95": optimized.dose_at_percent(95)}
