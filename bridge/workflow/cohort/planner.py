"""The dose engine for one patient of a study: one dose influence for all promises, each optimized by itself.

Plans of one patient could be optimized in one batch, which shares passes over the influence. They are not: what is in a
batch with a plan moves it by rounding, and a plan must be the same whatever it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from bridge.rt.dvh import Dvh
from bridge.rt.dvh_prepared import prepare_dvhs
from bridge.rt.errors import Failure, ModelRefusal
from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from bridge.workflow.cohort.engine_terms import engine_fall_off, engine_objectives, shaped
from bridge.workflow.cohort.study import POLICY, Normalisation
from bridge.workflow.library.case import PlanningCase
from bridge.workflow.library.planner import InfluenceOf
from esapi_stub.engine.engine import EngineSettings
from esapi_stub.engine.fluence import even_fluence, optimize_fluences
from esapi_stub.engine.objectives import dose_function
from esapi_stub.engine.patient import patient_on_grid
from esapi_stub.engine.radplan import BeamDirection, equispaced_deg
from objective_extraction.objective_set import DerivedStructure, ObjectiveSet

__all__ = ["Achieved", "CohortPlanner", "one_thread"]

_FIRST_DERIVED = 3000
"""Number of the first derived structure; the case's own and its organs outside targets have lower ones."""


@dataclass(frozen=True, eq=False)
class Achieved:
    """What an optimization made of a promise.

    Attributes
    ----------
    dose
        Normalized as the study says.
    factor
        By which the optimized dose was scaled to that.
    dvhs
        By name: of everything the case has, and of the structures that the objectives needed.
    iterations, stop, objective_value
        Of the optimization; the value is that before scaling.
    """

    dose: Dose
    factor: float
    dvhs: dict[str, Dvh]
    iterations: int
    stop: str
    objective_value: float


class CohortPlanner:
    """One patient with the structures that any of his promises needs.

    Parameters
    ----------
    case
        The patient.
    asked
        All objective sets to come.
    beams, settings, normalisation
        Of the study.
    influence_of
        Computes the dose influence, once.
    """

    def __init__(
        self,
        case: PlanningCase,
        asked: Sequence[ObjectiveSet],
        beams: int,
        settings: EngineSettings,
        normalisation: Normalisation,
        influence_of: InfluenceOf,
    ) -> None:
        self._case = case
        self._rule = settings.rule
        self._normalisation = normalisation
        self._derived = _derived(case, asked)
        structures = (*case.structures, *case.outside.values(), *self._derived.values())
        self._patient = patient_on_grid(case.ct, structures, settings.dose_grid_mm)
        directions = [BeamDirection(angle, case.isocentre_mm) for angle in equispaced_deg(beams)]
        self._influence = influence_of(self._patient, directions, settings.beamlet_mm)
        grid = _beyond_ends(self._patient.ct.grid)
        self._own = prepare_dvhs((*case.structures, *case.outside.values()), grid, POLICY)
        self._made = prepare_dvhs(tuple(self._derived.values()), grid, POLICY)

    def optimize(self, objectives: ObjectiveSet) -> Achieved:
        """Plan for objectives, from an even fluence.

        Raises
        ------
        StructureRefusal
            A structure with objectives has no voxel on the dose grid.
        ModelRefusal
            The optimization ended without a dose in the targets (``cohort-optimization``).
        """
        patient, highest_gy = self._patient, self._case.prescription.highest_gy
        numbers = {recipe.name: self._derived[recipe].number for recipe in objectives.derived_structures}
        function = dose_function(
            patient, engine_objectives(objectives, numbers), engine_fall_off(objectives), highest_gy
        )
        start = even_fluence(self._influence, patient, highest_gy)
        (found,) = optimize_fluences(
            self._influence, [function], start[None], self._rule, lambda *_: None, lambda: False
        )
        dose = _held_beyond_ends(self._influence.dose(found.fluence))
        factor = self._factor(dose)
        if factor != 1.0:
            dose = Dose(dose.values * dose.values.dtype.type(factor), dose.grid)
        dvhs = {dvh.roi_name: dvh for dvh in self._own.dvhs(dose)}
        dvhs |= {
            dvh.roi_name: dvh for dvh in self._made.dvhs(dose) if dvh.roi_number in numbers.values()
        }  # fmt: skip
        return Achieved(dose, factor, dvhs, found.iterations, found.stop, found.value)

    def _factor(self, dose: Dose) -> float:
        level = self._case.prescription.levels[0]
        d95_gy = next(dvh for dvh in self._own.dvhs(dose) if dvh.roi_number == level.roi_number).dose_at_percent(95)
        if not d95_gy > 0.0:
            raise ModelRefusal(
                "cohort-optimization",
                f"The optimization ended with no dose in 95 % of {level.roi_name!r}.",
                roi=level.roi_name,
            )
        return 1.0 if self._normalisation == "none" else level.dose_gy / d95_gy


def _beyond_ends(grid: Grid) -> Grid:
    """Give the dose grid with one more slice at both ends.

    It ends with the planes of the body, and an organ that goes on where the scan ends has half a slice beyond them.
    """
    affine = grid.affine.copy()
    affine[:3, 3] = grid.positions_mm(np.array([[-1.0, 0.0, 0.0]]))[0]
    slices, rows, columns = grid.shape
    return Grid((slices + 2, rows, columns), affine, grid.frame_of_reference_uid)


def _held_beyond_ends(dose: Dose) -> Dose:
    """Let the dose of the first and the last slice go on beyond them."""
    values = np.pad(dose.values, ((1, 1), (0, 0), (0, 0)), mode="edge")
    return Dose(values, _beyond_ends(dose.grid))


def _derived(case: PlanningCase, asked: Sequence[ObjectiveSet]) -> dict[DerivedStructure, Structure]:
    """Make every structure that is derived in any of the sets, once; equal recipes are one structure."""
    named = {structure.name: structure for structure in case.structures}
    recipes = dict.fromkeys(recipe for objectives in asked for recipe in objectives.derived_structures)
    return {recipe: shaped(recipe, named.__getitem__, _FIRST_DERIVED + place) for place, recipe in enumerate(recipes)}


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the engine use one thread: its sums are cut by their number, and an optimization makes much of rounding.

    Patients are worked on side by side instead, so that nothing is lost, and every machine finds the same numbers.

    Raises
    ------
    Failure
        numba is not installed (``planning-not-installed``).
    """
    try:
        numba = import_module("numba")
    except ImportError as error:
        raise Failure(
            "planning-not-installed", "Planning needs the dose engine: pip install 'fdp-bridge[planning]'."
        ) from error
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
