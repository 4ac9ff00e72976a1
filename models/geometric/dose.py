"""Expected dose from geometry alone.

At a distance ``r`` from the surface of the targets of level ``Rx``, ``dz`` beyond the last slice with any target::

    D = scale Rx (w exp(-r / near) + (1 - w) exp(-r / far)) exp(-(dz / axial)^2)

The largest over the levels counts, times the sparing of the organ that the voxel lies in. In ``r`` distances along z
count ``axial_stretch`` times. The form is that of an expected-dose descriptor in knowledge-based planning: a short
fall-off for penumbra and conformality, a long one for the beams on their way through the patient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.rt.arrays import VoxelArray
from models.geometric.parameters import GeometricParameters

__all__ = ["expected_dose_gy"]


def expected_dose_gy(
    levels_gy: Sequence[float],
    distances_mm: Sequence[VoxelArray],
    gap_mm: VoxelArray,
    parameters: GeometricParameters,
) -> VoxelArray:
    """Give the expected dose of some voxels, before the sparing of organs.

    Parameters
    ----------
    levels_gy
        Prescribed dose of each level.
    distances_mm
        For each level the distance ``(n,)`` of each voxel from the surface of its targets, 0 inside.
    gap_mm
        Distance ``(n,)`` of each voxel along z beyond the slices with targets.
    parameters
        Numbers of the model.

    Returns
    -------
    VoxelArray
        Gy, shape ``(n,)``.
    """
    p = parameters
    strongest = np.zeros_like(gap_mm)
    for level_gy, r in zip(levels_gy, distances_mm, strict=True):
        fall_off = p.near_weight * np.exp(-r / p.near_mm) + (1.0 - p.near_weight) * np.exp(-r / p.far_mm)
        np.maximum(strongest, level_gy * fall_off, out=strongest)
    return np.asarray(p.scale * strongest * np.exp(-np.square(gap_mm / p.axial_mm)), dtype=np.float32)
