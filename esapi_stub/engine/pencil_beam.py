"""The dose of all beamlets of one beam, from what pyRadPlan prepared for it, on all cores.

A beamlet's dose at a point is, over the components c of the kernel decomposition,
``sum_c b_c / (b_c - m) (exp(-m r) - exp(-b_c r)) K_c(x, z) (SAD / d)^2`` with the radiological depth r, the distance d
from the source, and the lateral distances x, z from the beamlet's axis scaled to the isocentre plane (Bortfeld,
Schlegel and Rhein, Med Phys 20:311, 1993).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bridge.rt.arrays import FloatArray

__all__ = ["beam_influence"]


def beam_influence(beam: Mapping[str, Any]) -> sparse.csc_array[np.float32]:
    """Compute the influence of one beam.

    Parameters
    ----------
    beam
        What pyRadPlan's pencil-beam engine prepared: positions of the voxels from the source, depths and kernels.

    Returns
    -------
    csc_array
        Voxels of the body by beamlets, Gy per unit of fluence.
    """
    geometry = beam["beam"]
    sad = float(geometry["sad"])
    points = np.ascontiguousarray(beam["bev_coords"], dtype=np.float64)
    depth = np.asarray(beam["rad_depths"][0], dtype=np.float64)
    is_traced = np.asarray(beam["valid_coords_all"], dtype=bool)
    kernel = beam["kernel"]
    betas = np.asarray(kernel.kernel_betas, dtype=np.float64)[:, None]
    r = np.where(is_traced, depth, 0.0)[None]
    along = betas / (betas - kernel.m) * (np.exp(-kernel.m * r) - np.exp(-betas * r))
    along *= (sad / np.asarray(beam["geo_depths"][0], dtype=np.float64)) ** 2
    along[:, ~is_traced] = 0.0
    interpolators = beam["kernel_interpolators"]
    line = np.asarray(interpolators[0].grid[0], dtype=np.float64)
    kernels = np.stack([np.asarray(one.values, dtype=np.float64) for one in interpolators])
    axes = _axes([ray["target_point_bev"] for ray in geometry["rays"]], geometry["source_point_bev"])
    reach = float(beam["effective_lateral_cut_off"])
    step = line[1] - line[0]
    first = line[0] - _off_centre_mm(float(geometry["bixel_width"]), step)
    counts = np.zeros(len(axes), dtype=np.int64)
    _count_compiled(points, is_traced, axes, (reach / sad) ** 2, counts)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    indices: NDArray[np.int32] = np.empty(indptr[-1], dtype=np.int32)
    data: NDArray[np.float32] = np.empty(indptr[-1], dtype=np.float32)
    _fill_compiled(
        points, is_traced, axes, (reach / sad) ** 2, sad, np.ascontiguousarray(along.T), kernels, first, step,
        indptr, indices, data,
    )  # fmt: skip
    return sparse.csc_array((data, indices, indptr), shape=(len(points), len(axes)))


def _off_centre_mm(beamlet_mm: float, step_mm: float) -> float:
    """Give where the middle of pyRadPlan's kernels lies on the lattice that it gives them.

    It convolves a beamlet of ``floor(width / step)`` samples, whose middle is between samples or on one, and then
    takes the sample at ``ceil(width / 2 step)`` for the middle.
    """
    return step_mm * ((math.floor(beamlet_mm / step_mm) - 1) / 2.0 - math.ceil(beamlet_mm / (2.0 * step_mm)))


def _axes(targets_mm: list[FloatArray], source_mm: FloatArray) -> FloatArray:
    """Give the rotation of each beamlet's axis onto the beam's (Rodrigues), shape ``(beamlets, 3, 3)``.

    A row vector of a position from the source, times this, has its lateral distances at 0 and 2 and the way along the
    axis at 1.
    """
    central = -np.asarray(source_mm, dtype=np.float64)
    central /= np.linalg.norm(central)
    axes = np.tile(np.eye(3), (len(targets_mm), 1, 1))
    for number, target in enumerate(targets_mm):
        along = np.asarray(target, dtype=np.float64) - source_mm
        along /= np.linalg.norm(along)
        x, y, z = np.cross(central, along)
        turn = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        axes[number] += turn + turn @ turn / (1.0 + float(central @ along))
    return axes


def _count(
    points: FloatArray, is_traced: NDArray[np.bool_], axes: FloatArray, reach_squared: float, counts: NDArray[np.int64]
) -> None:
    """Count the voxels within reach of each beamlet."""
    for ray in numba.prange(len(axes)):
        turn, count = axes[ray], 0
        for voxel in range(len(points)):
            if is_traced[voxel]:
                px, py, pz = points[voxel]
                x = px * turn[0, 0] + py * turn[1, 0] + pz * turn[2, 0]
                y = px * turn[0, 1] + py * turn[1, 1] + pz * turn[2, 1]
                z = px * turn[0, 2] + py * turn[1, 2] + pz * turn[2, 2]
                if x * x + z * z <= reach_squared * y * y:
                    count += 1
        counts[ray] = count


def _fill(
    points: FloatArray,
    is_traced: NDArray[np.bool_],
    axes: FloatArray,
    reach_squared: float,
    sad: float,
    along: FloatArray,
    kernels: FloatArray,
    first: float,
    step: float,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[np.float32],
) -> None:
    """Fill the columns; bilinear interpolation of the kernels."""
    for ray in numba.prange(len(axes)):
        turn, entry = axes[ray], indptr[ray]
        for voxel in range(len(points)):
            if is_traced[voxel]:
                px, py, pz = points[voxel]
                x = px * turn[0, 0] + py * turn[1, 0] + pz * turn[2, 0]
                y = px * turn[0, 1] + py * turn[1, 1] + pz * turn[2, 1]
                z = px * turn[0, 2] + py * turn[1, 2] + pz * turn[2, 2]
                if x * x + z * z <= reach_squared * y * y:
                    u, v = (x / y * sad - first) / step, (z / y * sad - first) / step
                    i, j = int(u), int(v)
                    u, v = u - i, v - j
                    dose = 0.0
                    for c in range(len(kernels)):
                        plane = kernels[c]
                        dose += along[voxel, c] * (
                            (1.0 - u) * ((1.0 - v) * plane[i, j] + v * plane[i, j + 1])
                            + u * ((1.0 - v) * plane[i + 1, j] + v * plane[i + 1, j + 1])
                        )
                    indices[entry] = voxel
                    # the Fourier transform that made the kernels leaves negative values of rounding
                    data[entry] = max(dose, 0.0)
                    entry += 1


_count_compiled: Callable[..., None] = numba.njit(parallel=True, nogil=True, cache=True)(_count)
_fill_compiled: Callable[..., None] = numba.njit(parallel=True, nogil=True, cache=True)(_fill)
