"""Dose, PlanningItemDose and EvaluationDose: voxels as whole numbers, and what they mean."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bridge.rt.volume import Dose as RtDose
from esapi_stub.raster import IntegerArray, Raster
from esapi_stub.rules import ArgumentException
from esapi_stub.values import DoseValue, VVector

__all__ = ["Dose", "EvaluationDose", "PlanningItemDose"]

_CALCULATED_GY = 1e-4
_EVALUATION_GY = 2e-4
"""What 1 in a voxel means. The host's scales are its own, and those of two doses differ, so these do too: a script
that copies numbers from one dose to the other without asking what they mean is found out here."""


class Dose(Raster):
    """A dose.

    Parameters
    ----------
    dose
        Total dose on its grid.
    uid
        SOP Instance UID.
    presented
        Gives a dose in Gy in the unit in which the plan shows it.
    """

    _gy_per_unit = _CALCULATED_GY

    def __init__(self, dose: RtDose, uid: str, presented: Callable[[float], DoseValue]) -> None:
        super().__init__(dose.grid)
        self._dose = dose
        self._uid = uid
        self._presented = presented

    @property
    def rt(self) -> RtDose:
        """The bridge's dose behind it, in Gy; not part of ESAPI."""
        return self._dose

    @property
    def Id(self) -> str:
        """Dose id."""
        return "Dose"

    @property
    def UID(self) -> str:
        """SOP Instance UID."""
        return self._uid

    @property
    def DoseMax3D(self) -> DoseValue:
        """The highest voxel, as the plan presents doses."""
        return self._presented(self.rt.maximum_gy)

    @property
    def DoseMax3DLocation(self) -> VVector:
        """Centre of the highest voxel."""
        index = np.unravel_index(int(np.argmax(self.rt.values)), self.rt.values.shape)
        return VVector(*self._grid.positions_mm(np.array([index], dtype=np.float64))[0])

    def GetVoxels(self, planeIndex: int, preallocatedBuffer: IntegerArray) -> None:
        """Write the voxels of a plane into an array ``[x, y]``; :meth:`VoxelToDoseValue` says what they mean."""
        self.require_plane(planeIndex, preallocatedBuffer)
        preallocatedBuffer[:] = np.rint(self.rt.values[planeIndex].T.astype(np.float64) / self._gy_per_unit)

    def VoxelToDoseValue(self, voxelValue: int) -> DoseValue:
        """Give the dose of a voxel, as the plan presents doses."""
        return self._presented(float(voxelValue) * self._gy_per_unit)

    def GetDoseToPoint(self, at: VVector) -> DoseValue:
        """Give the interpolated dose at a position, NaN outside the grid."""
        return self._presented(float(self.rt.at(np.array([[at.x, at.y, at.z]]))[0]))


class PlanningItemDose(Dose):
    """The dose of a plan: the total over all fractions."""


class EvaluationDose(Dose):
    """A dose whose voxels a script sets.

    Parameters
    ----------
    dose, uid, presented
        As of :class:`Dose`; the dose is where it starts.
    gray
        Gives a dose value in Gy.
    require_change
        Raises unless the plan may be changed.
    """

    _gy_per_unit = _EVALUATION_GY

    def __init__(
        self,
        dose: RtDose,
        uid: str,
        presented: Callable[[float], DoseValue],
        gray: Callable[[DoseValue], float],
        require_change: Callable[[], None],
    ) -> None:
        super().__init__(dose, uid, presented)
        self._gray = gray
        self._require_change = require_change
        self._is_set = False

    @property
    def is_set(self) -> bool:
        """Whether any voxel was set; not part of ESAPI."""
        return self._is_set

    def DoseValueToVoxel(self, doseValue: DoseValue) -> int:
        """Give the number that stands for a dose."""
        return round(self._gray(doseValue) / self._gy_per_unit)

    def SetVoxels(self, planeIndex: int, values: IntegerArray) -> None:
        """Set the voxels of a plane from an array ``[x, y]``."""
        self._require_change()
        self.require_plane(planeIndex, values)
        if values.min() < 0:
            raise ArgumentException("voxel-buffer", f"got {values.min()}, expected 0 or more")
        changed = self._dose.values.copy()
        changed[planeIndex] = values.T * self._gy_per_unit
        self._dose = RtDose(changed, self._dose.grid)
        self._is_set = True
