"""The beams of a plan: a part of ExternalPlanSetup."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from esapi_stub.beams import Beam, BeamGeometry, ExternalBeamMachineParameters, LeafPositions
from esapi_stub.enums import GantryDirection, MLCPlanType
from esapi_stub.plan_setup import PlanSetup
from esapi_stub.planning import BeamFluence
from esapi_stub.rules import ArgumentException
from esapi_stub.values import VRect, VVector

__all__ = ["PlanWithBeams"]


class PlanWithBeams(PlanSetup):
    """What ExternalPlanSetup has of beams; not a class of ESAPI. A change of beams discards what was calculated."""

    _fluence: tuple[BeamFluence, ...] = ()

    @property
    def fluence(self) -> tuple[BeamFluence, ...]:
        """What the last optimization found, before normalization; not part of ESAPI."""
        return self._fluence

    def AddStaticBeam(
        self,
        machineParameters: ExternalBeamMachineParameters,
        jawPositions: VRect[float],
        collimatorAngle: float,
        gantryAngle: float,
        patientSupportAngle: float,
        isocenter: VVector,
    ) -> Beam:
        """Add an open field at one gantry angle. It has no MLC until it is optimized with one."""
        return self._add(
            machineParameters,
            BeamGeometry(
                collimatorAngle,
                gantryAngle,
                patientSupportAngle,
                _position(isocenter),
                MLCPlanType.NotDefined,
                jaws=jawPositions,
            ),
        )

    def AddMLCBeam(
        self,
        machineParameters: ExternalBeamMachineParameters,
        leafPositions: LeafPositions,
        jawPositions: VRect[float],
        collimatorAngle: float,
        gantryAngle: float,
        patientSupportAngle: float,
        isocenter: VVector,
    ) -> Beam:
        """Add a field at one gantry angle that an MLC shapes."""
        return self._add(
            machineParameters,
            BeamGeometry(
                collimatorAngle,
                gantryAngle,
                patientSupportAngle,
                _position(isocenter),
                MLCPlanType.Static,
                jaws=jawPositions,
                leaves=np.array(leafPositions, dtype=np.float32),
            ),
        )

    def AddMultipleStaticSegmentBeam(
        self,
        machineParameters: ExternalBeamMachineParameters,
        metersetWeights: Iterable[float],
        collimatorAngle: float,
        gantryAngle: float,
        patientSupportAngle: float,
        isocenter: VVector,
    ) -> Beam:
        """Add a beam of static segments at one gantry angle."""
        return self.AddSlidingWindowBeam(
            machineParameters, metersetWeights, collimatorAngle, gantryAngle, patientSupportAngle, isocenter
        )

    def AddSlidingWindowBeam(
        self,
        machineParameters: ExternalBeamMachineParameters,
        metersetWeights: Iterable[float],
        collimatorAngle: float,
        gantryAngle: float,
        patientSupportAngle: float,
        isocenter: VVector,
    ) -> Beam:
        """Add a beam at one gantry angle through which the leaves slide."""
        return self._add(
            machineParameters,
            BeamGeometry(
                collimatorAngle,
                gantryAngle,
                patientSupportAngle,
                _position(isocenter),
                MLCPlanType.DoseDynamic,
                weights=tuple(metersetWeights),
            ),
        )

    def AddVMATBeam(
        self,
        machineParameters: ExternalBeamMachineParameters,
        metersetWeights: Iterable[float],
        collimatorAngle: float,
        gantryAngle: float,
        gantryStop: float,
        gantryDirection: GantryDirection,
        patientSupportAngle: float,
        isocenter: VVector,
    ) -> Beam:
        """Add an arc for OptimizeVMAT."""
        return self._add(
            machineParameters,
            BeamGeometry(
                collimatorAngle,
                gantryAngle,
                patientSupportAngle,
                _position(isocenter),
                MLCPlanType.VMAT,
                gantryStop,
                gantryDirection,
                tuple(metersetWeights),
            ),
        )

    def AddArcBeam(
        self,
        machineParameters: ExternalBeamMachineParameters,
        jawPositions: VRect[float],
        collimatorAngle: float,
        gantryAngle: float,
        gantryStop: float,
        gantryDirection: GantryDirection,
        patientSupportAngle: float,
        isocenter: VVector,
    ) -> Beam:
        """Add an arc of an open field."""
        return self._add(
            machineParameters,
            BeamGeometry(
                collimatorAngle,
                gantryAngle,
                patientSupportAngle,
                _position(isocenter),
                MLCPlanType.NotDefined,
                gantryStop,
                gantryDirection,
                jaws=jawPositions,
            ),
        )

    def AddMLCArcBeam(
        self,
        machineParameters: ExternalBeamMachineParameters,
        leafPositions: LeafPositions,
        jawPositions: VRect[float],
        collimatorAngle: float,
        gantryAngle: float,
        gantryStop: float,
        gantryDirection: GantryDirection,
        patientSupportAngle: float,
        isocenter: VVector,
    ) -> Beam:
        """Add an arc of one MLC shape."""
        return self._add(
            machineParameters,
            BeamGeometry(
                collimatorAngle,
                gantryAngle,
                patientSupportAngle,
                _position(isocenter),
                MLCPlanType.Static,
                gantryStop,
                gantryDirection,
                jaws=jawPositions,
                leaves=np.array(leafPositions, dtype=np.float32),
            ),
        )

    def AddConformalArcBeam(
        self,
        machineParameters: ExternalBeamMachineParameters,
        collimatorAngle: float,
        controlPointCount: int,
        gantryAngle: float,
        gantryStop: float,
        gantryDirection: GantryDirection,
        patientSupportAngle: float,
        isocenter: VVector,
    ) -> Beam:
        """Add an arc whose leaves follow the target."""
        return self._add(
            machineParameters,
            BeamGeometry(
                collimatorAngle,
                gantryAngle,
                patientSupportAngle,
                _position(isocenter),
                MLCPlanType.ArcDynamic,
                gantryStop,
                gantryDirection,
                tuple(np.linspace(0.0, 1.0, max(controlPointCount, 0)).tolist()),
            ),
        )

    def RemoveBeam(self, beam: Beam) -> None:
        """Take a beam out."""
        self.require_change()
        if beam not in self._beams:
            raise ArgumentException("unknown-item", f"got beam {beam.Id!r}")
        self.discard_calculation()
        self._beams = tuple(other for other in self._beams if other is not beam)

    def monitor_units(self, beam_id: str) -> float:
        """Give a beam's monitor units of one fraction, normalized, or NaN; not part of ESAPI."""
        units = [part.monitor_units for part in self._fluence if part.beam == beam_id]
        return sum(units) * self.normalization_factor if units else math.nan

    def discard_calculation(self) -> None:
        """Forget dose and fluence, because the plan is another now; not part of ESAPI."""
        super().discard_calculation()
        self._fluence = ()

    def _add(self, machine: ExternalBeamMachineParameters, geometry: BeamGeometry) -> Beam:
        self.require_change()
        taken = {beam.Id for beam in self._beams}
        next_number = max((beam.BeamNumber for beam in self._beams), default=0) + 1
        number = next(n for n in range(next_number, next_number + len(taken) + 1) if f"Field {n}" not in taken)
        beam = Beam(self, number, machine, geometry)
        self.discard_calculation()
        self._beams = (*self._beams, beam)
        return beam


def _position(vector: VVector) -> tuple[float, float, float]:
    return vector.x, vector.y, vector.z
