"""Image: the CT that a structure set was drawn on."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

import numpy as np

from bridge.rt.volume import CtVolume
from esapi_stub.raster import IntegerArray, Raster

__all__ = ["Image"]

_OFFSET_HU = 1024
"""Voxels are not negative; how the host stores them is not known."""


class Image(Raster):
    """A CT.

    Parameters
    ----------
    identifier
        Its id.
    ct
        The bridge's volume.
    patient_position
        Patient Position (0018,5100), such as ``"HFS"``.
    """

    def __init__(self, identifier: str, ct: CtVolume, patient_position: str) -> None:
        super().__init__(ct.grid)
        self._id = identifier
        self._ct = ct
        self._patient_position = patient_position

    @property
    def Id(self) -> str:
        """Image id."""
        return self._id

    @property
    def FOR(self) -> str:
        """Frame of Reference UID."""
        return self._grid.frame_of_reference_uid

    @property
    def ct(self) -> CtVolume:
        """The bridge's volume behind it; not part of ESAPI."""
        return self._ct

    @property
    def patient_position(self) -> str:
        """How the patient lies; not part of ESAPI, where it is an enumeration."""
        return self._patient_position

    def GetVoxels(self, planeIndex: int, preallocatedBuffer: IntegerArray) -> None:
        """Write the voxels of a plane into an array ``[x, y]``."""
        self.require_plane(planeIndex, preallocatedBuffer)
        preallocatedBuffer[:] = np.rint(self._ct.values[planeIndex].T).astype(np.int64) + _OFFSET_HU

    def VoxelToDisplayValue(self, voxelValue: int) -> float:
        """Give the CT number in HU of a voxel."""
        return float(voxelValue - _OFFSET_HU)
