"""Where the voxels of an image or a dose are, as ESAPI says it; not a class of ESAPI, but a base of two."""

# ruff: noqa: N802 - the names are ESAPI's

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.rt.grid import Grid
from esapi_stub.rules import ArgumentException
from esapi_stub.values import VVector

__all__ = ["IntegerArray", "Raster"]

IntegerArray = NDArray[np.integer]
"""The voxels of one plane, shape ``(XSize, YSize)``: ``int[,]`` of ESAPI, with x first."""


class Raster:
    """Voxels in planes. Columns run along X, rows along Y, planes along Z; the bridge's axes are ``[z, y, x]``.

    Parameters
    ----------
    grid
        The bridge's.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    @property
    def XSize(self) -> int:
        """Voxels along X."""
        return self._grid.shape[2]

    @property
    def YSize(self) -> int:
        """Voxels along Y."""
        return self._grid.shape[1]

    @property
    def ZSize(self) -> int:
        """Planes."""
        return self._grid.shape[0]

    @property
    def XRes(self) -> float:
        """Distance of voxels along X in mm."""
        return self._grid.spacing_mm[2]

    @property
    def YRes(self) -> float:
        """Distance of voxels along Y in mm."""
        return self._grid.spacing_mm[1]

    @property
    def ZRes(self) -> float:
        """Distance of planes in mm."""
        return self._grid.spacing_mm[0]

    @property
    def Origin(self) -> VVector:
        """Centre of the first voxel of the first plane, DICOM patient coordinates."""
        return VVector(*self._grid.affine[:3, 3])

    @property
    def XDirection(self) -> VVector:
        """Unit vector along X."""
        return self._direction(2)

    @property
    def YDirection(self) -> VVector:
        """Unit vector along Y."""
        return self._direction(1)

    @property
    def ZDirection(self) -> VVector:
        """Unit vector along Z."""
        return self._direction(0)

    def _direction(self, axis: int) -> VVector:
        return VVector(*(self._grid.affine[:3, axis] / self._grid.spacing_mm[axis]))

    def require_plane(self, plane_index: int, voxels: IntegerArray) -> None:
        """Raise unless the plane exists and the array fits it; not part of ESAPI."""
        expected = (self.XSize, self.YSize)
        if not 0 <= plane_index < self.ZSize:
            raise ArgumentException("voxel-buffer", f"got plane {plane_index} of {self.ZSize}")
        if voxels.shape != expected or not np.issubdtype(voxels.dtype, np.integer):
            raise ArgumentException("voxel-buffer", f"got {voxels.dtype} {voxels.shape}, expected {expected}")
