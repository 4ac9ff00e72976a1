"""PlanningItem: what has a dose, and the DVHs of its structures."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bridge.rt.dvh import Dvh
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.volume import Dose as RtDose
from esapi_stub.dose import PlanningItemDose
from esapi_stub.enums import DoseValuePresentation, VolumePresentation
from esapi_stub.structure_set import Structure, StructureSet
from esapi_stub.system import System
from esapi_stub.values import DoseValue, DVHPoint

if TYPE_CHECKING:
    from esapi_stub.application import Course

__all__ = ["DVHData", "PlanningItem", "curve_of"]


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


def curve_of(
    dvh: Dvh, bin_width: float, unit: DoseValue.DoseUnit, per_gray: float, volume: VolumePresentation
) -> tuple[DVHPoint, ...]:
    """Give a DVH at multiples of ``bin_width`` in a unit; not part of ESAPI."""
    bins = np.arange(math.floor(dvh.max_gy * per_gray / bin_width) + 2) * bin_width
    relative = volume is VolumePresentation.Relative
    return tuple(
        DVHPoint(
            DoseValue(float(dose), unit),
            dvh.percent_at_dose(float(dose) / per_gray) if relative else dvh.cc_at_dose(float(dose) / per_gray),
            "%" if relative else "cm3",
        )
        for dose in bins
    )


class PlanningItem(ABC):
    """What may have a dose.

    Parameters
    ----------
    identifier, uid
        Id and SOP Instance UID.
    structure_set
        What it is planned on.
    course
        Whose it is.
    system
        How the planning system is set.
    """

    def __init__(self, identifier: str, uid: str, structure_set: StructureSet, course: Course, system: System) -> None:
        self._id = identifier
        self._uid = uid
        self._structure_set = structure_set
        self._course = course
        self._system = system
        self._presentation = DoseValuePresentation.Absolute

    @property
    def Id(self) -> str:
        """Its id."""
        return self._id

    @property
    def Course(self) -> Course:
        """Whose it is."""
        return self._course

    @property
    def StructureSet(self) -> StructureSet:
        """What it is planned on."""
        return self._structure_set

    @property
    @abstractmethod
    def rt_dose(self) -> RtDose | None:
        """The bridge's dose, total over all fractions, or None; not part of ESAPI."""

    @property
    @abstractmethod
    def prescription_gy(self) -> float:
        """Prescribed dose of all fractions, NaN where there is none; not part of ESAPI."""

    @property
    def Dose(self) -> PlanningItemDose | None:
        """The total dose over all fractions, or None."""
        dose = self.rt_dose
        return None if dose is None else PlanningItemDose(dose, f"{self._uid}.1", self.presented)

    def GetDVHCumulativeData(
        self,
        structure: Structure,
        dosePresentation: DoseValuePresentation,
        volumePresentation: VolumePresentation,
        binWidth: float,
    ) -> DVHData | None:
        """Give the DVH at multiples of ``binWidth`` (in the unit asked for), or None where it is not possible."""
        dvh = self._dvh(structure)
        unit, per_gray = self._scale(dosePresentation)
        if dvh is None or math.isnan(per_gray) or not binWidth > 0:
            return None
        spread = np.average((dvh.dose_gy - dvh.mean_gy) ** 2, weights=dvh.sample_cc)

        def value(dose_gy: float) -> DoseValue:
            return DoseValue(dose_gy * per_gray, unit)

        return DVHData(
            CurveData=curve_of(dvh, binWidth, unit, per_gray, volumePresentation),
            MinDose=value(dvh.min_gy),
            MaxDose=value(dvh.max_gy),
            MeanDose=value(dvh.mean_gy),
            MedianDose=value(dvh.dose_at_percent(50.0)),
            StdDev=math.sqrt(spread) * per_gray,
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
        unit, per_gray = self._scale(requestedDosePresentation)
        if dvh is None:
            return DoseValue.UndefinedDose()
        relative = volumePresentation is VolumePresentation.Relative
        dose_gy = dvh.dose_at_percent(volume) if relative else dvh.dose_at_cc(volume)
        return DoseValue(dose_gy * per_gray, unit)

    def GetVolumeAtDose(
        self, structure: Structure, dose: DoseValue, requestedVolumePresentation: VolumePresentation
    ) -> float:
        """Give the volume that gets at least ``dose``, NaN where there is no dose."""
        dvh = self._dvh(structure)
        if dvh is None:
            return math.nan
        dose_gy = self.gray(dose)
        relative = requestedVolumePresentation is VolumePresentation.Relative
        return dvh.percent_at_dose(dose_gy) if relative else dvh.cc_at_dose(dose_gy)

    def presented(self, dose_gy: float) -> DoseValue:
        """Give a dose as :attr:`DoseValuePresentation` asks for; not part of ESAPI."""
        unit, per_gray = self._scale(self._presentation)
        return DoseValue(dose_gy * per_gray, unit)

    def gray(self, dose: DoseValue) -> float:
        """Give a dose in Gy, in percent of the prescription or in the system's unit; not part of ESAPI.

        Raises
        ------
        ArgumentException
            Another unit.
        """
        if dose.IsRelativeDoseValue:
            return dose.Dose / 100.0 * self.prescription_gy
        return self._system.require_unit(dose)

    def _dvh(self, structure: Structure) -> Dvh | None:
        """Give the bridge's DVH, with the end caps of Eclipse."""
        dose = self.rt_dose
        if dose is None or structure.IsEmpty:
            return None
        dvh = compute_dvh(structure.rt, dose)
        return None if dvh.is_empty else dvh

    def _scale(self, presentation: DoseValuePresentation) -> tuple[DoseValue.DoseUnit, float]:
        """Give the unit asked for, and how many of it 1 Gy is (NaN where a percentage has no prescription)."""
        if presentation is DoseValuePresentation.Absolute:
            return self._system.dose_unit, self._system.per_gray
        return DoseValue.DoseUnit.Percent, 100.0 / self.prescription_gy

    # last in the class, whose other annotations mean the enumeration of the same name
    @property
    def DoseValuePresentation(self) -> DoseValuePresentation:
        """How doses are shown: in the system's unit, or in percent of the prescription."""
        return self._presentation

    @DoseValuePresentation.setter
    def DoseValuePresentation(self, value: DoseValuePresentation) -> None:
        self._presentation = value
