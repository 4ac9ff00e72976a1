"""PencilBeamEngine: what stands behind a plan's ``Optimize`` and ``CalculateDose``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from bridge.rt.beams import supine_angle_deg
from bridge.rt.errors import GeometryRefusal, ModelRefusal
from bridge.rt.volume import Dose
from esapi_stub.engine.fluence import even_fluence, optimize_fluences
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.monitor_units import monitor_units
from esapi_stub.engine.objectives import dose_function
from esapi_stub.engine.optimizer import StoppingRule
from esapi_stub.engine.patient import PlanningPatient, patient_on_grid
from esapi_stub.engine.radplan import BeamDirection, cached_influence, dose_influence
from esapi_stub.planning import BeamFluence, OptimizedPlan, PlannedBeam, PlanningProblem, Watch

__all__ = ["EngineSettings", "PencilBeamEngine"]

_ENERGIES = ("6X", "6MV")
"""How plans write the one energy that there is a machine for."""

_SAME_PLACE_MM = 0.01


@dataclass(frozen=True)
class EngineSettings:
    """How finely to compute, and for how long.

    Attributes
    ----------
    dose_grid_mm
        Voxel size.
    beamlet_mm
        Width of the beamlets in the isocentre plane.
    arc_spacing_deg
        An arc is planned as fixed beams, this far apart at the most. Leaves, their speed and the dose rate are not
        modelled.
    rule
        When an optimization ends.
    cache
        Folder for dose influences, a few hundred MB each; it may be emptied at any time. None: keep only the last.
    """

    dose_grid_mm: float = 5.0
    beamlet_mm: float = 7.0
    arc_spacing_deg: float = 10.0
    rule: StoppingRule = field(default_factory=StoppingRule)
    cache: Path | None = None


@dataclass(frozen=True, eq=False)
class _Aim:
    """One direction of one beam."""

    beam: PlannedBeam
    gantry_deg: float
    direction: BeamDirection


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A problem's patient and beams as the engine sees them."""

    problem: PlanningProblem
    patient: PlanningPatient
    aims: tuple[_Aim, ...]
    influence: DoseInfluence
    collimator_mm: FloatArray

    def serves(self, problem: PlanningProblem) -> bool:
        """Whether another problem has the same patient and beams."""
        mine = self.problem
        return (
            mine.ct is problem.ct
            and mine.structures == problem.structures
            and mine.beams == problem.beams
            and mine.patient_position == problem.patient_position
        )


class PencilBeamEngine:
    """A :class:`~esapi_stub.planning.PlanningEngine`: pyRadPlan's pencil beam and an optimizer of fluence.

    Fluence is in the machine model's unit and in total over all fractions.

    Parameters
    ----------
    settings
        How finely to compute.
    """

    def __init__(self, settings: EngineSettings = EngineSettings()) -> None:
        self._settings = settings
        self._last: _Prepared | None = None

    @property
    def name(self) -> str:
        """What the plan shows as its calculation model."""
        return "fdp-bridge pencil beam (research)"

    def optimize(
        self,
        problem: PlanningProblem,
        *,
        max_iterations: int | None = None,
        start: tuple[BeamFluence, ...] | None = None,
        watch: Watch = Watch(),  # noqa: B008 - frozen, and has no state
    ) -> OptimizedPlan:
        """Find the fluence that meets the objectives best.

        Parameters
        ----------
        problem
            With at least one objective.
        max_iterations
            A bound, or None for that of the settings.
        start
            Fluence of an earlier optimization of the same beams, to go on from; None for an even one.
        watch
            For progress and cancelling.

        Raises
        ------
        Refusal
            No body, no target, no objective with voxels, an energy or couch angle that the engine does not know, a
            beam that misses the targets, or a start of other beams.
        """
        prepared = self._prepare(problem)
        function = dose_function(prepared.patient, problem.objectives, problem.normal_tissue, problem.prescription_gy)
        influence = prepared.influence
        first = (
            even_fluence(influence, prepared.patient, problem.prescription_gy)
            if start is None
            else _joined(prepared, start)
        )
        rule = self._settings.rule
        if max_iterations is not None:
            rule = replace(rule, max_iterations=max_iterations)
        (found,) = optimize_fluences(influence, [function], first[None], rule, watch.progress, watch.is_cancelled)
        dose = influence.dose(found.fluence)
        parts = function.parts(dose.values.ravel()[influence.voxels[function.voxels]].astype(np.float64))
        return OptimizedPlan(
            fluence=_split(prepared, found.fluence, problem.fractions, self._settings.beamlet_mm),
            dose=dose,
            objective_value=found.value,
            objective_values={number: value for number, value in parts.items() if number is not None},
            iterations=found.iterations,
            is_complete=found.stop != "cancelled",
            is_converged=found.stop == "converged",
        )

    def calculate_dose(self, problem: PlanningProblem, fluence: tuple[BeamFluence, ...]) -> Dose:
        """Give the total dose of a fluence that :meth:`optimize` made for the same beams.

        Raises
        ------
        Refusal
            As :meth:`optimize`; ``fluence-of-other-beams`` where the fluence does not belong to the problem's beams.
        """
        prepared = self._prepare(problem)
        return prepared.influence.dose(_joined(prepared, fluence))

    def _prepare(self, problem: PlanningProblem) -> _Prepared:
        last = self._last  # read once: another thread may put its own patient there
        if last is not None and last.serves(problem):
            return last
        aims = _aims(problem, self._settings.arc_spacing_deg)
        patient = patient_on_grid(problem.ct, problem.structures, self._settings.dose_grid_mm)
        settings, directions = self._settings, [aim.direction for aim in aims]
        if settings.cache is None:
            whole = dose_influence(patient, directions, settings.beamlet_mm)
        else:
            whole = cached_influence(settings.cache, patient, directions, settings.beamlet_mm)
        collimator_mm = _in_collimator(whole, aims, problem.patient_position)
        kept = _within_jaws(whole, aims, collimator_mm)
        influence = whole if kept.all() else whole.only(kept)
        prepared = _Prepared(problem, patient, aims, influence, collimator_mm[kept])
        self._last = prepared
        return prepared


def _aims(problem: PlanningProblem, arc_spacing_deg: float) -> tuple[_Aim, ...]:
    """Give every direction that is planned.

    Raises
    ------
    GeometryRefusal
        No beam (``no-beam``), or a couch angle other than 0 (``couch-angle``).
    ModelRefusal
        An energy that there is no machine for (``energy``).
    """
    if not problem.beams:
        raise GeometryRefusal("no-beam", "A plan without a beam has no dose.")
    aims = []
    for beam in problem.beams:
        if beam.couch_deg % 360.0 != 0.0:
            raise GeometryRefusal(
                "couch-angle",
                f"Beam {beam.identifier!r} has the couch at {beam.couch_deg:g} degrees; this engine plans coplanar "
                "beams only.",
            )
        if beam.energy not in _ENERGIES:
            raise ModelRefusal(
                "energy",
                f"Beam {beam.identifier!r} has energy {beam.energy!r}; this engine has one machine, of 6 MV ('6X').",
            )
        for gantry_deg in beam.angles_deg(arc_spacing_deg):
            supine = supine_angle_deg(gantry_deg, problem.patient_position)
            aims.append(_Aim(beam, gantry_deg, BeamDirection(supine, beam.isocentre_mm)))
    return tuple(aims)


def _in_collimator(influence: DoseInfluence, aims: Sequence[_Aim], patient_position: str) -> FloatArray:
    """Give the beamlets' positions ``(n, 2)`` along the axes x and y of the collimator (IEC 61217)."""
    # of a patient who lies feet first, the gantry is at the feet: both axes turn by 180 degrees
    towards_gantry = -1.0 if patient_position.startswith("FF") else 1.0
    angles = np.deg2rad([aim.beam.collimator_deg for aim in aims])[influence.direction]
    x, y = towards_gantry * influence.position_mm.T
    return np.column_stack([np.cos(angles) * x + np.sin(angles) * y, np.cos(angles) * y - np.sin(angles) * x])


def _within_jaws(influence: DoseInfluence, aims: Sequence[_Aim], collimator_mm: FloatArray) -> NDArray[np.bool_]:
    """Tell which beamlets have their centres between the jaws.

    Raises
    ------
    GeometryRefusal
        The jaws of a beam leave none (``beam-misses``).
    """
    kept = np.ones(len(collimator_mm), dtype=bool)
    for number, aim in enumerate(aims):
        mine = influence.direction == number
        if aim.beam.jaws_mm is not None:
            x1, y1, x2, y2 = aim.beam.jaws_mm
            x, y = collimator_mm[mine].T
            kept[mine] = (x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2)
        if not kept[mine].any():
            raise GeometryRefusal(
                "beam-misses", f"Nothing of the targets lies between the jaws of beam {aim.beam.identifier!r}."
            )
    return kept


def _split(prepared: _Prepared, fluence: FloatArray, fractions: int, beamlet_mm: float) -> tuple[BeamFluence, ...]:
    """Cut a fluence into its directions."""
    parts = []
    for number, aim in enumerate(prepared.aims):
        mine = prepared.influence.direction == number
        x, y = prepared.influence.position_mm[mine].T  # leaves are taken to travel as at collimator 0
        units = monitor_units(x, y, fluence[mine], beamlet_mm) / fractions
        x_mm, y_mm = prepared.collimator_mm[mine].T
        parts.append(BeamFluence(aim.beam.identifier, aim.gantry_deg, x_mm, y_mm, fluence[mine], units))
    return tuple(parts)


def _joined(prepared: _Prepared, parts: Sequence[BeamFluence]) -> FloatArray:
    """Put the fluence of all directions together.

    Raises
    ------
    ModelRefusal
        It belongs to other beams or beamlets (``fluence-of-other-beams``).
    """
    fits = len(parts) == len(prepared.aims)
    for number, (aim, part) in enumerate(zip(prepared.aims, parts, strict=False)):
        place = prepared.collimator_mm[prepared.influence.direction == number]
        given = np.column_stack([part.x_mm, part.y_mm])
        fits = fits and (part.beam, part.gantry_deg) == (aim.beam.identifier, aim.gantry_deg)
        fits = fits and given.shape == place.shape and bool(np.abs(given - place).max() <= _SAME_PLACE_MM)
    if not fits:
        raise ModelRefusal(
            "fluence-of-other-beams", "The fluence was made for other beams, or with other targets: optimize again."
        )
    return np.concatenate([np.asarray(part.weights, dtype=np.float64) for part in parts])
