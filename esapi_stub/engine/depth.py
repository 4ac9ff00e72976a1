"""Radiological depth: how much water lies on the straight way from the source to the centre of a voxel."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from bridge.rt.grid import Grid
from esapi_stub.engine.cores import on_all_cores

__all__ = ["radiological_depth_mm"]


def radiological_depth_mm(
    density: NDArray[np.floating], grid: Grid, voxels: NDArray[np.int64], source_mm: FloatArray
) -> FloatArray:
    """Add up the density along the ray to each voxel's centre, plane by plane (Siddon, Med Phys 12:252, 1985).

    Parameters
    ----------
    density
        ``[z, y, x]``, relative to water, 0 outside the body.
    grid
        Of the density; its axes z, y, x point along the patient's +z, +y, +x.
    voxels
        Shape ``(n,)``: flat indices.
    source_mm
        Patient coordinates ``(x, y, z)``.

    Returns
    -------
    FloatArray
        Shape ``(n,)``, mm of water.
    """
    index = np.stack(np.unravel_index(voxels, grid.shape), axis=1).astype(np.float64)
    depth: FloatArray = np.empty(len(voxels))
    source = grid.indices(np.asarray(source_mm, dtype=np.float64)[None])[0]
    _trace_compiled(np.ascontiguousarray(density, dtype=np.float32), np.array(grid.spacing_mm), source, index, depth)
    return depth


def _trace(
    density: NDArray[np.float32], spacing: FloatArray, source: FloatArray, index: FloatArray, depth: FloatArray
) -> None:
    """Trace in units of voxels, whose borders lie half way between whole numbers."""
    for voxel in numba.prange(len(index)):
        way = index[voxel] - source
        entry, length = 0.0, 0.0
        for axis in range(3):
            length += (way[axis] * spacing[axis]) ** 2
            if way[axis] != 0.0:
                border = -0.5 if way[axis] > 0.0 else density.shape[axis] - 0.5
                entry = max(entry, (border - source[axis]) / way[axis])
        length = math.sqrt(length)
        # from where the ray enters the grid (0 at the source, 1 at the voxel's centre)
        place, step, crossing = np.empty(3, np.int64), np.empty(3, np.int64), np.empty(3)
        for axis in range(3):
            at = source[axis] + entry * way[axis]
            place[axis] = min(max(math.floor(at + 0.5), 0), density.shape[axis] - 1)
            step[axis] = 1 if way[axis] > 0.0 else -1
            crossing[axis] = np.inf
            if way[axis] != 0.0:
                crossing[axis] = (place[axis] + 0.5 * step[axis] - source[axis]) / way[axis]
        water, here = 0.0, entry
        while here < 1.0:
            axis = 0
            if crossing[1] < crossing[axis]:
                axis = 1
            if crossing[2] < crossing[axis]:
                axis = 2
            there = min(crossing[axis], 1.0)
            if there > here:
                water += (there - here) * density[place[0], place[1], place[2]]
                here = there
            place[axis] += step[axis]
            if place[axis] < 0 or place[axis] >= density.shape[axis]:
                break
            crossing[axis] += step[axis] / way[axis]
        depth[voxel] = water * length


_trace_compiled = on_all_cores(_trace)
