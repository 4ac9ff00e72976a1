"""The dose engine for one patient and one set of beams: many plans on one dose influence."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_prepared import PreparedDvhs, prepare_dvhs
from bridge.rt.errors import ModelRefusal, StructureRefusal
from bridge.rt.volume import Dose
from bridge.workflow.library.case import HOMOGENEITY_NUMBER, PlanningCase
from bridge.workflow.library.goals import Aim, Goal, objectives_of
from bridge.workflow.library.measuring import measures_of
from esapi_stub.engine.engine import EngineSettings
from esapi_stub.engine.fluence import even_fluence, optimize_fluences
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.objectives import DoseFunction, dose_function
from esapi_stub.engine.patient import PlanningPatient, patient_on_grid
from esapi_stub.engine.radplan import BeamDirection, equispaced_deg
from esapi_stub.planning import MeanObjective, NormalTissueObjective, PlannedObjective, PointObjective
from models.library.manifest import WeightingEntry
from models.library.measures import PlanMeasures
from models.library.plan_file import Beamlets, as_stored

__all__ = ["InfluenceOf", "Planned", "Planner", "PreparedCase", "prepare_case"]

InfluenceOf = Callable[[PlanningPatient, Sequence[BeamDirection], float], DoseInfluence]
"""What computes a dose influence: :func:`esapi_stub.engine.radplan.dose_influence`."""

_HOMOGENEITY_PRIORITY = 10.0
_HOMOGENEOUS = (1.0, 1.02)
"""What the homogeneity objectives ask of all of the highest target, in parts of its prescription: not to be reached."""

_FALL_OFF = NormalTissueObjective(
    priority=1000.0, automatic=False, distance_mm=5.0, start_percent=97.0, end_percent=40.0, fall_off_per_mm=0.05
)
"""97 % of the highest upper goal, which is 110 % of the highest prescription, are the 107 % that targets may have.

The penalty is a mean over all of the body, of which targets are some fiftieth: at this priority a voxel outside them
counts a fiftieth of one that misses a hard goal. At a priority of 1 it counts nothing, and hot spots move outside.
"""


@dataclass(frozen=True, eq=False)
class Planned:
    """One plan as it will be stored: the dose is that of the fluence in half precision, in the steps of its file.

    Attributes
    ----------
    fluence
        Half precision, shape ``(beamlets,)``.
    dose
        On the dose grid.
    dvhs
        By name.
    measures
        In this dose.
    iterations, stop, objective_value, seconds
        Of the optimization.
    """

    fluence: NDArray[np.float16]
    dose: Dose
    dvhs: Mapping[str, Dvh]
    measures: PlanMeasures
    iterations: int
    stop: str
    objective_value: float
    seconds: float


@dataclass(frozen=True, eq=False)
class PreparedCase:
    """A patient on the dose grid: what all sets of beams share.

    Attributes
    ----------
    case, goals
        Whom to plan, and for what.
    patient
        As the engine sees him.
    dvhs
        Targets, organs, and organs outside the targets, ready to be measured.
    """

    case: PlanningCase
    goals: tuple[Goal, ...]
    patient: PlanningPatient
    dvhs: PreparedDvhs

    @cached_property
    def covered_cc(self) -> dict[int, float]:
        """Volume on the dose grid by the structures' numbers."""
        nothing = Dose(np.zeros(self.dvhs.grid.shape, dtype=np.float32), self.dvhs.grid)
        return {dvh.roi_number: dvh.covered_cc for dvh in self.dvhs.dvhs(nothing)}

    def measured(self, dose: Dose) -> tuple[dict[str, Dvh], PlanMeasures]:
        """Measure a dose on the dose grid."""
        dvhs = {dvh.roi_name: dvh for dvh in self.dvhs.dvhs(dose)}
        return dvhs, measures_of(self.case, self.goals, dvhs, dose)


def prepare_case(case: PlanningCase, goals: tuple[Goal, ...], dose_grid_mm: float) -> PreparedCase:
    """Lay a patient on the dose grid.

    Raises
    ------
    StructureRefusal
        A structure has no volume there (``dvh-empty``).
    """
    structures = case.planned_structures()
    patient = patient_on_grid(case.ct, structures, dose_grid_mm)
    measured = [one for one in structures if one.kind != "external" and one.number != HOMOGENEITY_NUMBER]
    prepared = PreparedCase(case, goals, patient, prepare_dvhs(measured, patient.ct.grid, DvhPolicy()))
    for structure in measured:
        if not prepared.covered_cc[structure.number] > 0:
            raise StructureRefusal(
                "dvh-empty", f"Structure {structure.name!r} has no volume on the dose grid.", roi=structure.name
            )
    return prepared


class Planner:
    """Plans of one patient with one set of beams.

    Parameters
    ----------
    prepared
        The patient.
    beams
        How many, at equal distances.
    settings
        Of the engine.
    influence_of
        Computes the dose influence, once.
    """

    def __init__(self, prepared: PreparedCase, beams: int, settings: EngineSettings, influence_of: InfluenceOf) -> None:
        self.prepared = prepared
        self.gantry_deg = equispaced_deg(beams)
        self._rule = settings.rule
        directions = [BeamDirection(angle, prepared.case.isocentre_mm) for angle in self.gantry_deg]
        begun = time.perf_counter()
        self._influence = influence_of(prepared.patient, directions, settings.beamlet_mm)
        self.influence_s = time.perf_counter() - begun

    @property
    def beamlets(self) -> Beamlets:
        """Where the beamlets are."""
        return Beamlets(self._influence.direction.astype(np.uint8), self._influence.position_mm)

    def function(self, aims: tuple[Aim, ...], pressing: float) -> DoseFunction:
        """Give the objective function of the reference weighting.

        Goals, a fall-off outside the targets, and two things that never come to rest: the homogeneity of the highest
        target, and the mean dose of every organ outside the targets, squared.

        Parameters
        ----------
        aims
            How the goals are asked for.
        pressing
            Priority of the organs' means.
        """
        case = self.prepared.case
        highest_gy = case.prescription.highest_gy
        low_gy, high_gy = (part * highest_gy for part in _HOMOGENEOUS)
        objectives: list[PlannedObjective] = [
            *objectives_of(aims, self.prepared.covered_cc),
            PointObjective(HOMOGENEITY_NUMBER, "lower", low_gy, 100.0, _HOMOGENEITY_PRIORITY),
            PointObjective(HOMOGENEITY_NUMBER, "upper", high_gy, 0.0, _HOMOGENEITY_PRIORITY),
            *(MeanObjective(outside.number, 0.0, pressing) for outside in case.outside.values()),
        ]
        return dose_function(self.prepared.patient, objectives, _FALL_OFF, highest_gy)

    def weighted(self, function: DoseFunction, weighting: WeightingEntry) -> DoseFunction:
        """Weigh a function of :meth:`function` anew."""
        outside = self.prepared.case.outside
        factors: dict[int | None, float] = {
            outside[organ].number: factor for organ, factor in weighting.organs.items() if organ in outside
        }
        return function.weighted({**factors, HOMOGENEITY_NUMBER: weighting.homogeneity})

    def optimize(
        self, functions: Sequence[DoseFunction], start: NDArray[np.float16] | None = None
    ) -> tuple[Planned, ...]:
        """Optimize several functions together.

        Parameters
        ----------
        functions
            One for each plan.
        start
            Fluence to begin from; None for an even one.

        Raises
        ------
        ModelRefusal
            An optimization ended without a plan (``library-optimization``).
        """
        influence, prepared = self._influence, self.prepared
        first: FloatArray = (
            even_fluence(influence, prepared.patient, prepared.case.prescription.highest_gy)
            if start is None
            else start.astype(np.float64)
        )
        begun = time.perf_counter()
        found = optimize_fluences(
            influence, functions, np.tile(first, (len(functions), 1)), self._rule, lambda *_: None, lambda: False
        )
        seconds = (time.perf_counter() - begun) / len(functions)
        plans = []
        for minimum in found:
            fluence = minimum.fluence.astype(np.float16)
            if not (np.isfinite(minimum.value) and np.isfinite(fluence).all() and fluence.any()):
                raise ModelRefusal(
                    "library-optimization",
                    f"The optimization ended with an objective value of {minimum.value} and no fluence.",
                )
            dose = self.dose(fluence)
            dvhs, measures = prepared.measured(dose)
            plans.append(
                Planned(fluence, dose, dvhs, measures, minimum.iterations, minimum.stop, minimum.value, seconds)
            )
        return tuple(plans)

    def dose(self, fluence: NDArray[np.float16]) -> Dose:
        """Give the dose of a stored fluence, as it is stored.

        Raises
        ------
        ModelRefusal
            The fluence is of other beamlets (``library-beamlets``).
        """
        if fluence.shape != self._influence.direction.shape:
            raise ModelRefusal(
                "library-beamlets",
                f"The stored fluence has {len(fluence)} beamlets, the beams have {len(self._influence.direction)}.",
            )
        dose = self._influence.dose(fluence.astype(np.float64))
        return Dose(as_stored(dose.values), dose.grid)
