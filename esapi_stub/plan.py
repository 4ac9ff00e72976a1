"""ExternalPlanSetup: prescription, optimization setup, and the DVHs of a dose that was given to it."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bridge.rt.dvh import Dvh
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.volume import Dose
from esapi_stub.enums import DoseValuePresentation, PlanSetupApprovalStatus, PlanType, VolumePresentation
from esapi_stub.optimization import OptimizationSetup
from esapi_stub.rules import ApplicationException, ArgumentException
from esapi_stub.structure_set import Structure, StructureSet
from esapi_stub.values import DoseValue, DVHPoint

__all__ = ["DVHData", "ExternalPlanSetup", "attach_dose"]

_LONGEST_ID = 13


@dataclass(frozen=True, eq=False)
class DVHData:
    """A cumulative DVH and its statistics; ``Volume`` in cc, ``Coverage`` 0 to 1."""

    CurveData: tuple[DVHPoint, ...]
    MinDose: DoseValue
    MaxDose: DoseValue
    MeanDose: DoseValue
    MedianDose: DoseValue
    StdDev: float
    Volume: float
    Coverage: float
    SamplingCoverage: float


class ExternalPlanSetup:
    """A plan for external beams. It has a dose once :func:`attach_dose` gave it one: nothing here computes any.

    Parameters
    ----------
    identifier, uid
        Plan id and UID.
    structure_set
        What it is planned on.
    dose_unit
        What the system is set to.
    require_modifications
        Raises unless the patient may be changed.
    require_new_id
        Raises unless the plan may get this id.
    """

    def __init__(
        self,
        identifier: str,
        uid: str,
        structure_set: StructureSet,
        dose_unit: DoseValue.DoseUnit,
        require_modifications: Callable[[], None],
        require_new_id: Callable[[str], None],
    ) -> None:
        self._id = identifier
        self.UID = uid
        self._structure_set = structure_set
        self._dose_unit = dose_unit
        self._require_modifications = require_modifications
        self._require_new_id = require_new_id
        self._fractions: int | None = None
        self._per_fraction = DoseValue.UndefinedDose()
        self._treatment_percentage = math.nan
        self._dose: Dose | None = None
        self.ApprovalStatus = PlanSetupApprovalStatus.UnApproved
        self.DoseValuePresentation = DoseValuePresentation.Absolute
        self._setup = OptimizationSetup(
            structure_set, dose_unit, self.require_change, lambda: self._fractions is not None
        )

    @property
    def Id(self) -> str:
        """Plan id, 1 to 13 characters."""
        return self._id

    @Id.setter
    def Id(self, value: str) -> None:
        self.require_change()
        if not 1 <= len(value) <= _LONGEST_ID:
            raise ArgumentException("plan-id-length", f"got {value!r}")
        self._require_new_id(value)
        self._id = value

    @property
    def StructureSet(self) -> StructureSet:
        """What it is planned on."""
        return self._structure_set

    @property
    def OptimizationSetup(self) -> OptimizationSetup:
        """Objectives and parameters."""
        return self._setup

    @property
    def PlanType(self) -> PlanType:
        """Always external beam."""
        return PlanType.ExternalBeam

    @property
    def NumberOfFractions(self) -> int | None:
        """Number of fractions, or None before SetPrescription."""
        return self._fractions

    @property
    def DosePerFraction(self) -> DoseValue:
        """Prescribed dose of a fraction, undefined before SetPrescription."""
        return self._per_fraction

    @property
    def TotalDose(self) -> DoseValue:
        """Prescribed dose of all fractions, undefined before SetPrescription."""
        return self._per_fraction if self._fractions is None else self._per_fraction * self._fractions

    @property
    def TreatmentPercentage(self) -> float:
        """Part of the prescription that is prescribed to, 1.0 for 100 %."""
        return self._treatment_percentage

    def SetPrescription(self, numberOfFractions: int, dosePerFraction: DoseValue, treatmentPercentage: float) -> None:
        """Prescribe; ``treatmentPercentage`` is a fraction (1.0 is 100 %)."""
        self.require_change()
        if dosePerFraction.Unit is not self._dose_unit:
            raise ArgumentException("dose-unit", f"it is set to {self._dose_unit.name}, got {dosePerFraction}")
        if numberOfFractions < 1 or not dosePerFraction.Dose > 0 or not treatmentPercentage > 0:
            found = f"got {numberOfFractions} x {dosePerFraction} at {treatmentPercentage}"
            raise ArgumentException("prescription-range", found)
        self._fractions = numberOfFractions
        self._per_fraction = dosePerFraction
        self._treatment_percentage = treatmentPercentage

    @property
    def Dose(self) -> Dose | None:
        """The bridge's dose, None where there is none; ESAPI has a Dose object of its own."""
        return self._dose

    @property
    def IsDoseValid(self) -> bool:
        """Whether there is a dose."""
        return self._dose is not None

    def GetDVHCumulativeData(
        self,
        structure: Structure,
        dosePresentation: DoseValuePresentation,
        volumePresentation: VolumePresentation,
        binWidth: float,
    ) -> DVHData | None:
        """Give the DVH at multiples of ``binWidth`` (in the unit asked for), or None where it is not possible."""
        dvh = self._dvh(structure)
        unit, per_gy = self._presentation(dosePresentation)
        if dvh is None or math.isnan(per_gy) or not binWidth > 0:
            return None
        bins = np.arange(math.floor(dvh.max_gy * per_gy / binWidth) + 2) * binWidth
        relative = volumePresentation is VolumePresentation.Relative
        curve = tuple(
            DVHPoint(
                DoseValue(float(dose), unit),
                dvh.percent_at_dose(float(dose) / per_gy) if relative else dvh.cc_at_dose(float(dose) / per_gy),
                "%" if relative else "cm3",
            )
            for dose in bins
        )
        spread = np.average((dvh.dose_gy - dvh.mean_gy) ** 2, weights=dvh.sample_cc)

        def value(dose_gy: float) -> DoseValue:
            return DoseValue(dose_gy * per_gy, unit)

        return DVHData(
            CurveData=curve,
            MinDose=value(dvh.min_gy),
            MaxDose=value(dvh.max_gy),
            MeanDose=value(dvh.mean_gy),
            MedianDose=value(dvh.dose_at_percent(50.0)),
            StdDev=math.sqrt(spread) * per_gy,
            Volume=dvh.volume_cc,
            Coverage=dvh.coverage,
            SamplingCoverage=1.0,
        )

    def GetDoseAtVolume(
        self,
        structure: Structure,
        volume: float,
        volumePresentation: VolumePresentation,
        requestedDosePresentation: DoseValuePresentation,
    ) -> DoseValue:
        """Give the least dose of the hottest ``volume``, undefined where there is none."""
        dvh = self._dvh(structure)
        unit, per_gy = self._presentation(requestedDosePresentation)
        if dvh is None:
            return DoseValue.UndefinedDose()
        relative = volumePresentation is VolumePresentation.Relative
        dose_gy = dvh.dose_at_percent(volume) if relative else dvh.dose_at_cc(volume)
        return DoseValue(dose_gy * per_gy, unit)

    def GetVolumeAtDose(
        self, structure: Structure, dose: DoseValue, requestedVolumePresentation: VolumePresentation
    ) -> float:
        """Give the volume that gets at least ``dose``, NaN where there is no dose."""
        dvh = self._dvh(structure)
        if dvh is None:
            return math.nan
        absolute = DoseValuePresentation.Relative if dose.IsRelativeDoseValue else DoseValuePresentation.Absolute
        unit, per_gy = self._presentation(absolute)
        if dose.Unit is not unit:
            raise ArgumentException("dose-unit", f"it is set to {self._dose_unit.name}, got {dose}")
        dose_gy = dose.Dose / per_gy
        relative = requestedVolumePresentation is VolumePresentation.Relative
        return dvh.percent_at_dose(dose_gy) if relative else dvh.cc_at_dose(dose_gy)

    def _dvh(self, structure: Structure) -> Dvh | None:
        """Give the bridge's DVH, with the end caps of Eclipse."""
        if self._dose is None or structure.IsEmpty:
            return None
        dvh = compute_dvh(structure.rt, self._dose)
        return None if dvh.is_empty else dvh

    def _presentation(self, presentation: DoseValuePresentation) -> tuple[DoseValue.DoseUnit, float]:
        """Give the unit asked for, and how many of it 1 Gy is (NaN where a percentage has no prescription)."""
        gray = 1.0 if self._dose_unit is DoseValue.DoseUnit.Gy else 100.0
        if presentation is DoseValuePresentation.Absolute:
            return self._dose_unit, gray
        return DoseValue.DoseUnit.Percent, 100.0 * gray / self.TotalDose.Dose

    def require_change(self) -> None:
        """Raise unless the plan may be changed; not part of ESAPI."""
        self._require_modifications()
        if self.ApprovalStatus is not PlanSetupApprovalStatus.UnApproved:
            raise ApplicationException("plan-approved", f"its status is {self.ApprovalStatus.name}")


def attach_dose(plan: ExternalPlanSetup, dose: Dose | None) -> None:
    """Give a plan a dose, as an import would; not part of ESAPI."""
    plan._dose = dose
