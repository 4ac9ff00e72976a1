"""Beam and its control points, and the machine parameters that make one."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from esapi_stub.enums import DosimeterUnit, GantryDirection, MLCPlanType
from esapi_stub.planning import PlannedBeam
from esapi_stub.rules import ArgumentException
from esapi_stub.values import MetersetValue, VRect, VVector

if TYPE_CHECKING:
    from esapi_stub.plan_beams import PlanWithBeams

__all__ = [
    "MLC",
    "Beam",
    "BeamGeometry",
    "ControlPoint",
    "ControlPointCollection",
    "ExternalBeamMachineParameters",
    "LeafPositions",
]

LeafPositions = NDArray[np.float32]
"""``float[,]`` of ESAPI: two banks, shape ``(2, leaf pairs)``, mm."""

_LONGEST_ID = 16
_FLUENCE_MODES = (None, "", "SRS", "FFF")
_UNKNOWN_JAWS = VRect(math.nan, math.nan, math.nan, math.nan)


@dataclass(init=False)
class ExternalBeamMachineParameters:
    """What a beam is delivered with; the technique is usually STATIC or ARC."""

    MachineId: str
    EnergyModeId: str
    DoseRate: int
    TechniqueId: str
    PrimaryFluenceModeId: str | None

    def __init__(
        self, machineId: str, energyModeId: str, doseRate: int, techniqueId: str, primaryFluenceModeId: str | None
    ) -> None:
        self.MachineId = machineId
        self.EnergyModeId = energyModeId
        self.DoseRate = doseRate
        self.TechniqueId = techniqueId
        self.PrimaryFluenceModeId = primaryFluenceModeId


@dataclass(frozen=True, eq=False)
class BeamGeometry:
    """How a beam goes; not part of ESAPI, whose calls give these one by one.

    Attributes
    ----------
    collimator_deg, gantry_deg, couch_deg
        IEC 61217, in [0, 360).
    isocentre_mm
        Patient coordinates ``(x, y, z)``.
    plan_type
        What the leaves do.
    stop_deg, direction
        Of an arc.
    weights
        Cumulative meterset weights of the control points.
    jaws, leaves
        Where the call gives them.

    Raises
    ------
    ArgumentException
        An angle out of range, an arc that does not turn, fewer than two control points, or leaves of other than two
        banks.
    """

    collimator_deg: float
    gantry_deg: float
    couch_deg: float
    isocentre_mm: tuple[float, float, float]
    plan_type: MLCPlanType
    stop_deg: float | None = None
    direction: GantryDirection = GantryDirection.None_
    weights: tuple[float, ...] = (0.0, 1.0)
    jaws: VRect[float] | None = None
    leaves: LeafPositions | None = None

    def __post_init__(self) -> None:
        for angle in (self.collimator_deg, self.gantry_deg, self.couch_deg, self.stop_deg or 0.0):
            if not 0.0 <= angle < 360.0:
                raise ArgumentException("beam-angle", f"got {angle!r}")
        if self.stop_deg is not None and (self.direction is GantryDirection.None_ or self.arc_deg == 0.0):
            raise ArgumentException(
                "arc-angles", f"got {self.direction.name} from {self.gantry_deg!r} to {self.stop_deg!r}"
            )
        steps = np.diff(self.weights)
        if len(self.weights) < 2 or not (np.all(steps >= 0) and self.weights[0] == 0.0 and self.weights[-1] == 1.0):
            raise ArgumentException("control-points", f"got {len(self.weights)}, of weights {self.weights[:3]} ...")
        if self.leaves is not None:
            shape = self.leaves.shape
            if len(shape) != 2 or shape[0] != 2 or not np.isfinite(self.leaves).all():
                raise ArgumentException("leaf-positions", f"got an array of shape {shape}")

    @property
    def is_arc(self) -> bool:
        """Whether the gantry turns."""
        return self.stop_deg is not None

    @property
    def arc_deg(self) -> float:
        """How far the gantry turns, positive clockwise."""
        if self.stop_deg is None:
            return 0.0
        clockwise = (self.stop_deg - self.gantry_deg) % 360.0
        return clockwise if self.direction is GantryDirection.Clockwise or clockwise == 0 else clockwise - 360.0


@dataclass(frozen=True, eq=False)
class MLC:
    """A multileaf collimator, known by its id alone."""

    Id: str


@dataclass(frozen=True, eq=False)
class ControlPoint:
    """The machine at one moment of a beam. Jaws are NaN, and leaves none, where nothing has set them."""

    Beam: Beam
    Index: int
    CollimatorAngle: float
    GantryAngle: float
    PatientSupportAngle: float
    MetersetWeight: float
    JawPositions: VRect[float]
    LeafPositions: NDArray[np.float32]


class ControlPointCollection(Sequence[ControlPoint]):
    """A beam's control points, in order."""

    def __init__(self, points: tuple[ControlPoint, ...]) -> None:
        self._points = points

    @property
    def Count(self) -> int:
        """How many."""
        return len(self._points)

    def __len__(self) -> int:
        return len(self._points)

    @overload
    def __getitem__(self, index: int) -> ControlPoint: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ControlPoint]: ...
    def __getitem__(self, index: int | slice) -> ControlPoint | Sequence[ControlPoint]:
        return self._points[index]


class Beam:
    """A treatment beam of a plan; ``AddStaticBeam`` and its like make them.

    Parameters
    ----------
    plan
        Whose beam it is.
    number
        Beam number, from 1; the id is made of it until it is set.
    machine
        What it is delivered with.
    geometry
        How it goes.

    Raises
    ------
    ArgumentException
        A technique that does not fit, or a fluence mode that there is none of.
    """

    def __init__(
        self, plan: PlanWithBeams, number: int, machine: ExternalBeamMachineParameters, geometry: BeamGeometry
    ) -> None:
        if machine.TechniqueId.split()[-1:] != ["ARC" if geometry.is_arc else "STATIC"]:
            raise ArgumentException("technique", f"got {machine.TechniqueId!r}")
        if machine.PrimaryFluenceModeId not in _FLUENCE_MODES:
            raise ArgumentException("fluence-mode", f"got {machine.PrimaryFluenceModeId!r}")
        self._plan = plan
        self._id = f"Field {number}"
        self._number = number
        self._dose_rate = machine.DoseRate
        self._energy = "-".join(filter(None, (machine.EnergyModeId, machine.PrimaryFluenceModeId)))
        self._geometry = geometry
        self._mlc = None if geometry.plan_type is MLCPlanType.NotDefined else MLC("MLC")

    @property
    def Id(self) -> str:
        """Beam id; setting it needs BeginModifications."""
        return self._id

    @Id.setter
    def Id(self, value: str) -> None:
        self._plan.require_change()
        if not 1 <= len(value) <= _LONGEST_ID:
            raise ArgumentException("beam-id-length", f"got {value!r}")
        if any(beam.Id == value for beam in self._plan.Beams if beam is not self):
            raise ArgumentException("id-unique", f"there is a beam {value!r} already")
        self._plan.discard_calculation()
        self._id = value

    @property
    def BeamNumber(self) -> int:
        """Beam number, unique in the plan."""
        return self._number

    @property
    def Plan(self) -> PlanWithBeams:
        """Whose beam it is."""
        return self._plan

    @property
    def DoseRate(self) -> int:
        """MU per minute."""
        return self._dose_rate

    @property
    def EnergyModeDisplayName(self) -> str:
        """Energy with its fluence mode, such as 6X-FFF."""
        return self._energy

    @property
    def IsSetupField(self) -> bool:
        """Never: the stub has treatment beams only."""
        return False

    @property
    def IsocenterPosition(self) -> VVector:
        """Isocentre."""
        return VVector(*self._geometry.isocentre_mm)

    @property
    def GantryDirection(self) -> GantryDirection:
        """How the gantry turns."""
        return self._geometry.direction

    @property
    def ArcLength(self) -> float:
        """How far the gantry turns in degrees."""
        return abs(self._geometry.arc_deg)

    @property
    def MLC(self) -> MLC | None:
        """Multileaf collimator; None for an open field. Every machine of the stub has the same."""
        return self._mlc

    @property
    def MLCPlanType(self) -> MLCPlanType:
        """What the leaves do."""
        return self._geometry.plan_type

    @property
    def Meterset(self) -> MetersetValue:
        """Monitor units of one fraction, NaN before there is a fluence."""
        return MetersetValue(self._plan.monitor_units(self._id), DosimeterUnit.MU)

    @property
    def ControlPoints(self) -> ControlPointCollection:
        """Control points, equally spaced over an arc."""
        geometry, count = self._geometry, len(self._geometry.weights)
        leaves = np.empty((2, 0), dtype=np.float32) if geometry.leaves is None else geometry.leaves
        return ControlPointCollection(
            tuple(
                ControlPoint(
                    Beam=self,
                    Index=index,
                    CollimatorAngle=geometry.collimator_deg,
                    GantryAngle=(geometry.gantry_deg + geometry.arc_deg * index / (count - 1)) % 360.0,
                    PatientSupportAngle=geometry.couch_deg,
                    MetersetWeight=weight,
                    JawPositions=geometry.jaws or _UNKNOWN_JAWS,
                    LeafPositions=leaves,
                )
                for index, weight in enumerate(geometry.weights)
            )
        )

    @property
    def is_arc(self) -> bool:
        """Whether the gantry turns; not part of ESAPI."""
        return self._geometry.is_arc

    def planned(self) -> PlannedBeam:
        """Give the beam as an engine sees it; not part of ESAPI."""
        geometry = self._geometry
        jaws = geometry.jaws
        return PlannedBeam(
            identifier=self._id,
            gantry_deg=geometry.gantry_deg,
            collimator_deg=geometry.collimator_deg,
            couch_deg=geometry.couch_deg,
            isocentre_mm=geometry.isocentre_mm,
            energy=self._energy,
            arc_deg=geometry.arc_deg,
            jaws_mm=None if jaws is None else (jaws.X1, jaws.Y1, jaws.X2, jaws.Y2),
        )
