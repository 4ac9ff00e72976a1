"""Doses of a library on other voxels than those they were computed on, without the edge at the skin.

The engine computes dose in the body alone. Interpolated as it is, a dose loses up to half of its value in the last
voxel under the skin, where parotids and necks end; so each dose is continued into the air before it is interpolated,
and where dose counts is said apart from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge.rt.arrays import VoxelArray
from bridge.rt.grid import Grid
from bridge.rt.volume import Mask
from models.fdp.axes import AlignedAxes, Axis
from models.library.library import LibraryPlan

__all__ = ["EngineDoses"]

_SURELY = 0.6
"""Part of a voxel in the body with which it has a dose: the engine's limit is a half, of contours; this one, of voxels,
has to be on the safe side of it."""

Axes = tuple[Axis, Axis, Axis]


@dataclass(frozen=True, eq=False)
class EngineDoses:
    """The doses of one patient.

    Attributes
    ----------
    body
        The patient's, on his own voxels.
    grid
        That the doses are on.
    """

    body: Mask
    grid: Grid

    def on(self, plan: LibraryPlan, axes: Axes) -> VoxelArray:
        """Give the dose of a plan in Gy at the voxels of other axes, by cubic splines; it goes on in the air."""
        continued = plan.dose().values[tuple(self._nearest)]
        return np.maximum(AlignedAxes.of(self.grid).spline(continued, axes), 0.0)

    def counted(self, axes: Axes) -> VoxelArray:
        """Give the part of each voxel of other axes that lies in the body and on the dose grid."""
        inside = AlignedAxes.of(self.body.grid).average(self.body.values, axes)
        for number, (own, other) in enumerate(zip(AlignedAxes.of(self.grid).axes, axes, strict=True)):
            beyond = (other.centres_mm < own.edges_mm[0]) | (other.centres_mm > own.edges_mm[-1])
            inside[(slice(None),) * number + (beyond,)] = 0.0
        return inside

    @cached_property
    def _nearest(self) -> NDArray[np.int32]:
        """Give for each voxel of the dose grid the nearest one that has a dose."""
        aligned = AlignedAxes.of(self.grid)
        parts = AlignedAxes.of(self.body.grid).average(self.body.values, aligned.axes)
        found: NDArray[np.int32] = ndimage.distance_transform_edt(
            aligned.to_grid(parts) < _SURELY, self.grid.spacing_mm, return_distances=False, return_indices=True
        )
        return found
