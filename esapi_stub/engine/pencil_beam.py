"""The dose of all beamlets in all voxels, from what pyRadPlan prepared for each beam, on all cores.

A beamlet's dose at a point is, over the components c of the kernel decomposition,
``sum_c b_c / (b_c - m) (exp(-m r) - exp(-b_c r)) K_c(x, z) (SAD / d)^2`` with the radiological depth r, the distance d
from the source, and the lateral distances x, z from the beamlet's axis scaled to the isocentre plane (Bortfeld,
Schlegel and Rhein, Med Phys 20:311, 1993).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.cores import on_all_cores
from esapi_stub.engine.influence import Matrix

__all__ = ["PreparedBeam", "influence_matrix", "prepare_beam"]

_SLICES = 64
"""Shares of the voxels, each every 64th, that the cores take one after the other: neighbours cost alike."""


@dataclass(frozen=True, eq=False)
class PreparedBeam:
    """One beam as the loop over voxels and beamlets needs it.

    Attributes
    ----------
    points
        Shape ``(voxels, 3)``: positions from the source; the beam goes along the second axis.
    along
        Shape ``(voxels, components)``: what of the dose depends on depth and distance.
    axes, centres
        Shapes ``(beamlets, 3, 3)`` and ``(beamlets, 2)``: rotation of each beamlet's axis onto the beam's, and where it
        meets the isocentre plane.
    kernels, first_mm, step_mm
        Shape ``(n, n, components)``, on a lattice from ``first_mm`` on in steps of ``step_mm``.
    sad_mm, reach_mm
        Distance of the isocentre plane, and how far from its axis in this plane a beamlet's dose is computed.
    """

    points: FloatArray
    along: NDArray[np.float32]
    axes: FloatArray
    centres: FloatArray
    kernels: NDArray[np.float32]
    first_mm: float
    step_mm: float
    sad_mm: float
    reach_mm: float

    @property
    def near_mm(self) -> float:
        """The farthest that a voxel within reach can be from a beamlet in the isocentre plane, for a quick test.

        A plane that a ray meets at an angle is longer than one across it, by one over the squared cosine at the most.
        """
        farthest = float(np.hypot(*self.centres.T).max()) + self.reach_mm
        return self.reach_mm * (1.0 + (farthest / self.sad_mm) ** 2)


def prepare_beam(beam: Mapping[str, Any]) -> PreparedBeam:
    """Take what pyRadPlan's pencil-beam engine prepared: positions of the voxels, depths and kernels."""
    geometry = beam["beam"]
    sad = float(geometry["sad"])
    depth = np.asarray(beam["rad_depths"][0], dtype=np.float64)
    is_traced = np.asarray(beam["valid_coords_all"], dtype=bool)
    kernel = beam["kernel"]
    betas = np.asarray(kernel.kernel_betas, dtype=np.float64)
    r = np.where(is_traced, depth, 0.0)[:, None]
    along = betas / (betas - kernel.m) * (np.exp(-kernel.m * r) - np.exp(-betas * r))
    along *= (sad / np.asarray(beam["geo_depths"][0], dtype=np.float64))[:, None] ** 2
    along[~is_traced] = 0.0
    interpolators = beam["kernel_interpolators"]
    line = np.asarray(interpolators[0].grid[0], dtype=np.float64)
    step = float(line[1] - line[0])
    line = line - _off_centre_mm(float(geometry["bixel_width"]), step)
    reach = float(beam["effective_lateral_cut_off"])
    within = slice(*np.searchsorted(line, [-reach - 2.0 * step, reach + 2.0 * step]))
    kernels = np.stack([np.asarray(one.values)[within, within] for one in interpolators], axis=-1)
    source = np.asarray(geometry["source_point_bev"], dtype=np.float64)
    return PreparedBeam(
        np.ascontiguousarray(beam["bev_coords"], dtype=np.float64),
        np.ascontiguousarray(along, dtype=np.float32),
        _axes([ray["target_point_bev"] for ray in geometry["rays"]], source),
        np.array([[ray["ray_pos_bev"][0], ray["ray_pos_bev"][2]] for ray in geometry["rays"]], dtype=np.float64),
        np.ascontiguousarray(kernels, dtype=np.float32),
        float(line[within][0]), step, sad, reach,
    )  # fmt: skip


def influence_matrix(beams: Sequence[PreparedBeam]) -> Matrix:
    """Compute the dose of all beamlets of all beams.

    Returns
    -------
    Matrix
        Voxels of the body by beamlets, Gy per unit of fluence; the beamlets of the first beam come first.
    """
    voxels = len(beams[0].points)
    counts: NDArray[np.int64] = np.zeros((len(beams), voxels), dtype=np.int64)
    for beam, count in zip(beams, counts, strict=True):
        _count_compiled(beam.points, beam.axes, beam.centres, beam.sad_mm, beam.near_mm, beam.reach_mm, count)
    starts = np.cumsum(counts, axis=0) - counts
    ends = np.cumsum(counts.sum(axis=0))
    indptr = np.concatenate([[0], ends])
    starts += indptr[:-1]
    indices: NDArray[np.int32] = np.empty(indptr[-1], dtype=np.int32)
    data: NDArray[np.float32] = np.empty(indptr[-1], dtype=np.float32)
    first_beamlet = 0
    for beam, start in zip(beams, starts, strict=True):
        _fill_compiled(
            beam.points, beam.along, beam.axes, beam.centres, beam.kernels, beam.first_mm, beam.step_mm, beam.sad_mm,
            beam.near_mm, beam.reach_mm, first_beamlet, start, indices, data,
        )  # fmt: skip
        first_beamlet += len(beam.axes)
    return sparse.csr_array((data, indices, indptr), shape=(voxels, first_beamlet))


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
    points: FloatArray,
    axes: FloatArray,
    centres: FloatArray,
    sad: float,
    near: float,
    reach: float,
    counts: NDArray[np.int64],
) -> None:
    """Count the beamlets within reach of each voxel."""
    near_squared, scaled = near**2, (reach / sad) ** 2
    for share in numba.prange(_SLICES):
        for voxel in range(share, len(points), _SLICES):
            px, py, pz = points[voxel]
            u, v, count = px / py * sad, pz / py * sad, 0
            for ray in range(len(axes)):
                if (u - centres[ray, 0]) ** 2 + (v - centres[ray, 1]) ** 2 <= near_squared:
                    turn = axes[ray]
                    x = px * turn[0, 0] + py * turn[1, 0] + pz * turn[2, 0]
                    y = px * turn[0, 1] + py * turn[1, 1] + pz * turn[2, 1]
                    z = px * turn[0, 2] + py * turn[1, 2] + pz * turn[2, 2]
                    if x * x + z * z <= scaled * y * y:
                        count += 1
            counts[voxel] = count


def _fill(
    points: FloatArray,
    along: NDArray[np.float32],
    axes: FloatArray,
    centres: FloatArray,
    kernels: NDArray[np.float32],
    first: float,
    step: float,
    sad: float,
    near: float,
    reach: float,
    first_beamlet: int,
    starts: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[np.float32],
) -> None:
    """Fill the rows; bilinear interpolation of the kernels."""
    near_squared, scaled = near**2, (reach / sad) ** 2
    for share in numba.prange(_SLICES):
        for voxel in range(share, len(points), _SLICES):
            px, py, pz = points[voxel]
            u, v, entry = px / py * sad, pz / py * sad, starts[voxel]
            for ray in range(len(axes)):
                if (u - centres[ray, 0]) ** 2 + (v - centres[ray, 1]) ** 2 <= near_squared:
                    turn = axes[ray]
                    x = px * turn[0, 0] + py * turn[1, 0] + pz * turn[2, 0]
                    y = px * turn[0, 1] + py * turn[1, 1] + pz * turn[2, 1]
                    z = px * turn[0, 2] + py * turn[1, 2] + pz * turn[2, 2]
                    if x * x + z * z <= scaled * y * y:
                        a, b = (x / y * sad - first) / step, (z / y * sad - first) / step
                        i, j = int(a), int(b)
                        a, b = a - i, b - j
                        dose = 0.0
                        for c in range(kernels.shape[2]):
                            dose += along[voxel, c] * (
                                (1.0 - a) * ((1.0 - b) * kernels[i, j, c] + b * kernels[i, j + 1, c])
                                + a * ((1.0 - b) * kernels[i + 1, j, c] + b * kernels[i + 1, j + 1, c])
                            )
                        indices[entry] = first_beamlet + ray
                        # the Fourier transform that made the kernels leaves negative values of rounding
                        data[entry] = max(dose, 0.0)
                        entry += 1


_count_compiled, _fill_compiled = on_all_cores(_count), on_all_cores(_fill)
