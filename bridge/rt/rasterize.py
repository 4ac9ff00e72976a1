"""Masks: the fraction of every voxel of a grid that lies inside a structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from bridge.rt.arrays import VoxelArray
from bridge.rt.coverage import LINES_PER_CELL, region_coverage
from bridge.rt.dvh import EndCaps
from bridge.rt.errors import GeometryRefusal
from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import Mask

__all__ = ["DrawnMask", "mask_of"]


@dataclass(frozen=True, eq=False)
class DrawnMask(Mask):
    """A mask that knows what it was drawn from.

    Attributes
    ----------
    structure, end_caps
        See :func:`mask_of`.
    """

    structure: Structure
    end_caps: EndCaps

    def resampled(self, to: Grid, outside: float = 0.0) -> Self:
        """Rasterise anew: from voxels to voxels every border would be blurred by a voxel.

        Parameters
        ----------
        to
            Grid of :func:`mask_of`.
        outside
            Counts for nothing: the contours tell what lies beyond the grid.
        """
        values = _fractions(self.structure, to, self.end_caps)
        return type(self)(values, to, self.structure, self.end_caps)


def mask_of(structure: Structure, grid: Grid, end_caps: EndCaps = "half_slice") -> DrawnMask:
    """Rasterise a structure with partial volume.

    Parameters
    ----------
    structure
        Any structure; an empty one gives an empty mask.
    grid
        Axial grid of the structure's frame of reference, in any of the eight standard orientations. It may be
        coarser or finer than the contour planes and need not share their z.
    end_caps
        See :meth:`Structure.slab_edges_mm`.

    Raises
    ------
    GeometryRefusal
        The grid is in another frame of reference, or its slices are not axial.
    """
    return DrawnMask(_fractions(structure, grid, end_caps), grid, structure, end_caps)


def _fractions(structure: Structure, grid: Grid, end_caps: EndCaps) -> VoxelArray:
    if structure.frame_of_reference_uid != grid.frame_of_reference_uid:
        raise GeometryRefusal(
            "frame-of-reference",
            f"Structure {structure.name!r} and the grid to rasterise it on are in different frames of reference.",
            roi=structure.name,
        )
    if not grid.is_axial:
        raise GeometryRefusal("grid-not-axial", "Structures are rasterised on axial grids only.")
    values = np.zeros(grid.shape, dtype=np.float64)
    if structure.is_empty:
        return values.astype(np.float32)
    slices, *raster = grid.shape
    for plane, slab in zip(structure.planes, structure.slab_edges_mm(end_caps).tolist(), strict=True):
        ends = grid.indices(np.array([[0.0, 0.0, slab[0]], [0.0, 0.0, slab[1]]]))[:, 0] + 0.5
        bottom, top = float(ends.min()), float(ends.max())
        first, stop = max(0, int(np.floor(bottom))), min(slices, int(np.ceil(top)))
        if first >= stop or not plane.loops:
            continue
        cell = np.arange(first, stop)
        height = np.minimum(top, cell + 1.0) - np.maximum(bottom, cell)
        loops = []
        for loop in plane.loops:
            index = grid.indices(np.column_stack([loop, np.full(len(loop), plane.z_mm)]))
            loops.append(index[:, [2, 1]] + 0.5)
        low = np.floor(np.min([loop.min(axis=0) for loop in loops], axis=0)).astype(int).clip(0)
        high = np.ceil(np.max([loop.max(axis=0) for loop in loops], axis=0)).astype(int).clip(None, raster[::-1])
        if (low >= high).any():
            continue
        rows, columns = int(high[1] - low[1]), int(high[0] - low[0])
        lines = LINES_PER_CELL * max(1, 16 // rows)  # few rows leave few errors to cancel
        covered = region_coverage([loop - low for loop in loops], (rows, columns), lines)
        values[first:stop, low[1] : high[1], low[0] : high[0]] += height[:, None, None] * covered
    return np.clip(values, 0.0, 1.0).astype(np.float32)
