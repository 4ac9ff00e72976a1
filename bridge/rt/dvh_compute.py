"""From contours and a dose to a DVH.

A structure is a stack of right prisms: the even-odd region of each plane, from the middle towards the plane below to
the middle towards the plane above. Each prism is cut into cells, each cell counts with the exact part of its area
inside the contours, and the dose is interpolated trilinearly at one point in it. The points are spread through their
cells by a low-discrepancy sequence: at the centres, a dose that rises along an axis would come in steps of a cell, and
the DVH parameters with it (up to 0.25 Gy off on the analytic solids in 1 Gy/mm, instead of 0.07 Gy).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.coverage import region_coverage
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import GeometryRefusal
from bridge.rt.structure import Plane, Structure, loop_area_mm2
from bridge.rt.volume import Dose

__all__ = ["compute_dvh"]

_TARGET_SAMPLES = 100_000
_DOSE_DECIMALS = 5
"""Interpolation and float32 scatter a uniform dose by a few 1e-6 Gy; V100% of it is 100 % only when rounded."""

_SPREAD = 1.2207440846057596 ** -np.arange(1.0, 4.0)
"""Steps of the sequence along the three axes: powers of 1/g, where g is the root of x⁴ = x + 1 (Roberts' R3)."""

_FINEST_MM, _COARSEST_MM = 0.25, 2.5
"""Finer than 0.25 mm changes no DVH parameter by 0.1 Gy in 1 Gy/mm; coarser than a dose voxel would skip dose."""


def compute_dvh(structure: Structure, dose: Dose, policy: DvhPolicy | None = None) -> Dvh:
    """Compute the cumulative DVH of a structure.

    Parameters
    ----------
    structure
        Any structure. One without contours gives an empty DVH.
    dose
        Dose in the structure's frame of reference, on any grid.
    policy
        End caps and sampling; by default no end caps and a sampling chosen from the size.

    Returns
    -------
    Dvh
        With the policy as used. What lies outside the dose grid counts in ``volume_cc`` and lowers ``coverage``.

    Raises
    ------
    GeometryRefusal
        Structure and dose are in different frames of reference.
    """
    policy = policy or DvhPolicy()
    if structure.frame_of_reference_uid != dose.grid.frame_of_reference_uid:
        raise GeometryRefusal(
            "frame-of-reference",
            f"Structure {structure.name!r} and the dose are in different frames of reference; no DVH can be made.",
            roi=structure.name,
        )
    nothing = np.zeros(0)
    if structure.is_empty:
        return Dvh(structure.number, structure.name, nothing, nothing, 0.0, policy)
    policy = replace(policy, sample_mm=policy.sample_mm or _sampling_mm(structure))
    doses, volumes, total_cc, samples = [], [], 0.0, 0
    for plane, slab in zip(structure.planes, structure.slab_edges_mm(policy.end_caps), strict=True):
        if not plane.loops:
            continue
        points, cell_cc = _prism_samples(plane, float(slab[0]), float(slab[1]), policy.sample_mm or 1.0, samples)
        total_cc += float(cell_cc.sum())
        samples += len(points)
        at_points = dose.at(points)
        inside = np.isfinite(at_points)
        doses.append(np.round(at_points[inside], _DOSE_DECIMALS))
        volumes.append(cell_cc[inside])
    dose_gy, sample_cc = np.concatenate(doses), np.concatenate(volumes)
    order = np.argsort(dose_gy, kind="stable")
    return Dvh(structure.number, structure.name, dose_gy[order], sample_cc[order], total_cc, policy)


def _sampling_mm(structure: Structure) -> float:
    """Choose the sample distance that gives about 100,000 samples, between 0.25 and 2.5 mm."""
    slabs = structure.slab_edges_mm("half_slice")
    area = [sum(loop_area_mm2(loop) for loop in plane.loops) for plane in structure.planes]
    volume_mm3 = float(np.dot(area, slabs[:, 1] - slabs[:, 0]))
    return float(np.clip((volume_mm3 / _TARGET_SAMPLES) ** (1 / 3), _FINEST_MM, _COARSEST_MM))


def _prism_samples(
    plane: Plane, bottom_mm: float, top_mm: float, sample_mm: float, samples_before: int
) -> tuple[FloatArray, FloatArray]:
    """Cut the prism over one plane into cells; give a point in each ``(n, 3)`` and its volume ``(n,)`` in cc."""
    points = np.concatenate(plane.loops)
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    columns, rows = np.maximum(np.ceil(extent / sample_mm), 1).astype(int)
    layers = max(1, round((top_mm - bottom_mm) / sample_mm))
    step = np.array([*np.maximum(extent, 1e-9), top_mm - bottom_mm]) / (columns, rows, layers)
    covered = region_coverage([(loop - low) / step[:2] for loop in plane.loops], (int(rows), int(columns)))
    row, column = np.nonzero(covered)
    cell = np.column_stack([np.tile(column, layers), np.tile(row, layers), np.repeat(np.arange(layers), len(row))])
    part = np.tile(covered[row, column], layers)
    sequence = samples_before + np.arange(len(part), dtype=np.float64)
    offset = np.mod(0.5 + sequence[:, None] * _SPREAD, 1.0) - 0.5
    offset[:, :2] *= part[:, None]  # a cell cut by a contour is sampled near its centre, not far outside
    xyz = np.array([*low, bottom_mm]) + (cell + 0.5 + offset) * step
    return xyz, part * float(np.prod(step)) / 1000.0
