"""What ``Optimize`` and ``CalculateDose`` ask of a dose engine, and what they get back; not part of ESAPI.

Everything here is in the bridge's terms: Gy in total over all fractions, mm in patient coordinates, degrees of
IEC 61217. The stub turns a plan into a :class:`PlanningProblem`; which engine solves it is chosen where the
:class:`~esapi_stub.application.Database` is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol

from bridge.rt.arrays import FloatArray
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume, Dose

__all__ = [
    "QUIET",
    "BeamFluence",
    "GeudObjective",
    "MeanObjective",
    "NormalTissueObjective",
    "Operator",
    "OptimizedPlan",
    "PlannedBeam",
    "PlannedObjective",
    "PlanningEngine",
    "PlanningProblem",
    "PointObjective",
    "Watch",
]

Operator = Literal["upper", "lower", "exact"]
"""At most, at least, or as near as possible; a point is never exact."""


@dataclass(frozen=True)
class PlannedBeam:
    """One beam: a fixed gantry angle, or an arc.

    Attributes
    ----------
    identifier
        Beam id, unique in the plan.
    gantry_deg, collimator_deg, couch_deg
        IEC 61217; the gantry angle of an arc is where it starts.
    isocentre_mm
        Patient coordinates ``(x, y, z)``.
    energy
        As the plan has it (``"6X"``).
    arc_deg
        How far the gantry turns: 0 for a fixed gantry, positive clockwise.
    jaws_mm
        ``(x1, y1, x2, y2)`` in the isocentre plane, or None where the targets decide.
    """

    identifier: str
    gantry_deg: float
    collimator_deg: float
    couch_deg: float
    isocentre_mm: tuple[float, float, float]
    energy: str
    arc_deg: float = 0.0
    jaws_mm: tuple[float, float, float, float] | None = None

    def angles_deg(self, spacing_deg: float) -> tuple[float, ...]:
        """Give gantry angles in [0, 360), equally spaced over the arc, with a half step at its ends; or the one angle.

        Parameters
        ----------
        spacing_deg
            The largest step between two.
        """
        count = max(1, math.ceil(abs(self.arc_deg) / spacing_deg - 1e-9))
        return tuple((self.gantry_deg + self.arc_deg * (n + 0.5) / count) % 360.0 for n in range(count))


@dataclass(frozen=True)
class PointObjective:
    """At most (upper) or at least (lower) ``volume_percent`` of a structure gets ``dose_gy``."""

    roi_number: int
    operator: Operator
    dose_gy: float
    volume_percent: float
    priority: float


@dataclass(frozen=True)
class MeanObjective:
    """The mean dose of a structure is at most ``dose_gy``."""

    roi_number: int
    dose_gy: float
    priority: float


@dataclass(frozen=True)
class GeudObjective:
    """The generalized equivalent uniform dose with parameter ``a`` is at most, at least or exactly ``dose_gy``."""

    roi_number: int
    operator: Operator
    dose_gy: float
    a: float
    priority: float


PlannedObjective = PointObjective | MeanObjective | GeudObjective


@dataclass(frozen=True)
class NormalTissueObjective:
    """A fall-off of the dose outside the targets.

    From ``start_percent`` of the targets' upper objective at ``distance_mm`` from their border it falls to
    ``end_percent`` at a rate of ``fall_off_per_mm``. If ``automatic``, they mean nothing and the engine chooses.
    """

    priority: float
    automatic: bool
    distance_mm: float
    start_percent: float
    end_percent: float
    fall_off_per_mm: float


@dataclass(frozen=True, eq=False)
class PlanningProblem:
    """A plan as an engine sees it.

    Attributes
    ----------
    ct
        The image that it is planned on.
    structures
        All that have contours, each with a number of its own; body and targets are known by their kind.
    beams
        At least one; treatment beams only.
    objectives
        None for a dose calculation; each names a structure by its number.
    normal_tissue
        Or None.
    prescription_gy
        Total dose.
    fractions
        Their number.
    patient_position
        Of the image (``"HFS"``): which way the angles turn.
    """

    ct: CtVolume
    structures: tuple[Structure, ...]
    beams: tuple[PlannedBeam, ...]
    objectives: tuple[PlannedObjective, ...]
    normal_tissue: NormalTissueObjective | None
    prescription_gy: float
    fractions: int
    patient_position: str = "HFS"


@dataclass(frozen=True, eq=False)
class BeamFluence:
    """Fluence of one beam at one gantry angle; an arc has one for each angle that was planned.

    Attributes
    ----------
    beam
        Id of the beam.
    gantry_deg
        IEC 61217.
    x_mm, y_mm
        Shape ``(n,)``: centres of the beamlets in the isocentre plane, along the axes of the collimator.
    weights
        Shape ``(n,)``, not negative; what 1 means is the engine's.
    monitor_units
        Of one fraction.
    """

    beam: str
    gantry_deg: float
    x_mm: FloatArray
    y_mm: FloatArray
    weights: FloatArray
    monitor_units: float


@dataclass(frozen=True, eq=False)
class OptimizedPlan:
    """What an optimization gives.

    Attributes
    ----------
    fluence
        The best that was found.
    dose
        Total dose of that fluence, on the engine's own grid.
    objective_value
        Of that fluence; lower is better, and 0 is everything met.
    objective_values
        The part of each structure that has objectives, by its number.
    iterations
        How many were done.
    is_complete
        False where it was cancelled; the fluence is then the best up to there.
    is_converged
        Whether more iterations would hardly have lowered the objective value; False where they were used up.
    """

    fluence: tuple[BeamFluence, ...]
    dose: Dose
    objective_value: float
    objective_values: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    iterations: int = 0
    is_complete: bool = True
    is_converged: bool = False


def _ignore(_iteration: int, _objective_value: float) -> None:
    """Report nothing."""


def _never() -> bool:
    """Go on."""
    return False


@dataclass(frozen=True)
class Watch:
    """How somebody follows a long calculation, and stops it.

    Attributes
    ----------
    progress
        Called with the number of iterations done and the objective value.
    is_cancelled
        Asked at every iteration.
    """

    progress: Callable[[int, float], None] = _ignore
    is_cancelled: Callable[[], bool] = _never


QUIET = Watch()
"""Nobody follows, nobody stops."""


class PlanningEngine(Protocol):
    """A dose engine with an optimizer."""

    @property
    def name(self) -> str:
        """What the plan shows as its calculation model."""

    def optimize(
        self,
        problem: PlanningProblem,
        *,
        max_iterations: int | None = None,
        start: tuple[BeamFluence, ...] | None = None,
        watch: Watch = QUIET,
    ) -> OptimizedPlan:
        """Find the fluence that meets the objectives best.

        Parameters
        ----------
        problem
            With at least one objective.
        max_iterations
            A bound, or None for the engine's own.
        start
            Fluence of an earlier optimization of the same beams, to go on from; None to start afresh.
        watch
            For progress and cancelling.

        Raises
        ------
        Refusal
            What the engine cannot plan: no target, a beam that misses, a couch angle it does not know.
        """

    def calculate_dose(self, problem: PlanningProblem, fluence: tuple[BeamFluence, ...]) -> Dose:
        """Give the total dose of a fluence that :meth:`optimize` made for the same beams."""
