"""Distances from the targets on a voxel grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge.rt.arrays import VoxelArray

__all__ = ["axial_gap_mm", "box_of", "solid_voxels", "surface_distance_mm"]

BoolArray = NDArray[np.bool_]


def solid_voxels(fractions: VoxelArray) -> BoolArray:
    """Turn partial volumes into whole voxels without losing what is thinner than a voxel.

    A voxel counts when at least half of it is inside. Where a part of the structure has no such voxel nearby, as a
    sheet or a thread between voxel centres, its fullest voxels count instead.

    Parameters
    ----------
    fractions
        Axes ``[z, y, x]``, 0 to 1.

    Returns
    -------
    BoolArray
        True somewhere whenever any fraction is above 0.
    """
    solid: BoolArray = fractions >= 0.5
    if not fractions.any():
        return solid
    box = box_of(fractions > 0)
    part, core = fractions[box], solid[box]
    beside_core = ndimage.binary_dilation(core, np.ones((3, 3, 3), dtype=bool)) if core.any() else core
    fullest = part >= ndimage.maximum_filter(part, size=3, mode="constant") - 1e-6
    solid[box] = core | (fullest & ~beside_core & (part > 0))
    return solid


def box_of(voxels: BoolArray) -> tuple[slice, slice, slice]:
    """Give the smallest box that holds all true voxels; there must be one."""
    ends = [np.flatnonzero(voxels.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in range(3)]
    z, y, x = (slice(int(first), int(last) + 1) for first, last in ends)
    return z, y, x


def surface_distance_mm(
    voxels: BoolArray, spacing_mm: tuple[float, float, float], axial_stretch: float, where: BoolArray
) -> VoxelArray:
    """Give distances from a set of voxels: from the boxes of the voxels, so that coarse and fine grids agree.

    Parameters
    ----------
    voxels
        Axes ``[z, y, x]``, at least one of them true.
    spacing_mm
        Voxel spacing ``(z, y, x)``.
    axial_stretch
        Distances along z count that many times.
    where
        Voxels for whose centres the distance is wanted, ``n`` of them, the same axes.

    Returns
    -------
    VoxelArray
        Shape ``(n,)``, 0 inside. It is the distance to the box of the voxel with the nearest centre.
    """
    dz, dy, dx = spacing_mm
    stretched_mm = (dz * axial_stretch, dy, dx)
    nearest = ndimage.distance_transform_edt(
        ~voxels, sampling=stretched_mm, return_distances=False, return_indices=True
    )
    squared = np.zeros(np.count_nonzero(where), dtype=np.float32)
    for axis, (own, step) in enumerate(zip(np.nonzero(where), stretched_mm, strict=True)):
        apart = np.abs(nearest[axis][where] - own).astype(np.float32)
        squared += np.square(np.maximum(apart - np.float32(0.5), np.float32(0.0)) * np.float32(step))
    return np.sqrt(squared)


def axial_gap_mm(voxels: BoolArray, spacing_z_mm: float) -> VoxelArray:
    """Give for each slice how far its centre lies beyond the space of the slices with true voxels, else 0."""
    slices = np.arange(voxels.shape[0])
    occupied = np.flatnonzero(voxels.any(axis=(1, 2)))
    beyond = np.maximum(occupied[0] - slices, slices - occupied[-1]) - 0.5
    return np.asarray(np.maximum(beyond, 0.0) * spacing_z_mm, dtype=np.float32)
