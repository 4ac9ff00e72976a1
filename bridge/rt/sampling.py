"""Sampling: a structure as points in space, each standing for a known volume.

A structure is a stack of right prisms: the even-odd region of each plane, from the middle towards the plane below to
the middle towards the plane above. Each prism is cut into cells, and each cell counts with the exact part of its area
inside the contours and one point in it. The points are spread through their cells by a low-discrepancy sequence: at
the centres, a dose that rises along an axis would come in steps of a cell, and the DVH parameters with it (up to
0.25 Gy off on the analytic solids in 1 Gy/mm, instead of 0.07 Gy).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bridge.rt.arrays import FloatArray, Points
from bridge.rt.coverage import region_coverage
from bridge.rt.dvh import DvhPolicy
from bridge.rt.structure import Plane, Structure, loop_area_mm2
from bridge.rt.taper import Taper

__all__ = ["StructureSamples", "sample_structure"]

_TARGET_SAMPLES = 60_000
"""More change no count of the analytic benchmark; fewer would thin out the near-maximum of large structures."""

_SPREAD = 1.2207440846057596 ** -np.arange(1.0, 4.0)
"""Steps of the sequence along the three axes: powers of 1/g, where g is the root of x⁴ = x + 1 (Roberts' R3)."""

_FINEST_MM, _COARSEST_MM = 0.25, 4.0
"""Finer than 0.25 mm changes no DVH parameter by 0.1 Gy in 1 Gy/mm. Only a body of more than 4,000 cc meets the upper
end; there 4 mm instead of 2.5 mm moves no dose by more than 0.01 Gy."""


@dataclass(frozen=True, eq=False)
class StructureSamples:
    """Points of a structure and their volumes.

    Attributes
    ----------
    points_mm
        Patient positions ``(n, 3)``.
    sample_cc
        Volume of each ``(n,)``; together the structure's volume.
    policy
        With the sampling that was used.
    """

    points_mm: Points
    sample_cc: FloatArray
    policy: DvhPolicy


def sample_structure(structure: Structure, policy: DvhPolicy) -> StructureSamples:
    """Cut a structure into samples; one without contours has none.

    Parameters
    ----------
    policy
        End caps, shape between planes, and the distance of samples or None to choose it from the size.
    """
    if structure.is_empty:
        return StructureSamples(np.zeros((0, 3)), np.zeros(0), policy)
    sample_mm = policy.sample_mm or _sampling_mm(structure)
    points: list[Points] = []
    volumes: list[FloatArray] = []
    count = 0
    taper = Taper(structure) if policy.between_planes == "tapered" else None
    for index, (bottom, top) in enumerate(structure.slab_edges_mm(policy.end_caps).tolist()):
        plane = structure.planes[index]
        if not plane.loops:
            continue
        if taper is None:
            xyz, cell_cc = _prism_samples(plane, bottom, top, sample_mm, count)
        else:
            xyz, cell_cc = _prism_samples(plane, *taper.slab(index, bottom, top), sample_mm, count)
            xyz, cell_cc = taper.apply(index, xyz, cell_cc)
        points.append(xyz)
        volumes.append(cell_cc)
        count += len(xyz)
    return StructureSamples(np.concatenate(points), np.concatenate(volumes), replace(policy, sample_mm=sample_mm))


def _sampling_mm(structure: Structure) -> float:
    """Choose the sample distance that gives about 60,000 samples, between 0.25 and 4 mm."""
    slabs = structure.slab_edges_mm("half_slice")
    area = [sum(loop_area_mm2(loop) for loop in plane.loops) for plane in structure.planes]
    volume_mm3 = float(np.dot(area, slabs[:, 1] - slabs[:, 0]))
    return float(np.clip((volume_mm3 / _TARGET_SAMPLES) ** (1 / 3), _FINEST_MM, _COARSEST_MM))


def _prism_samples(
    plane: Plane, bottom_mm: float, top_mm: float, sample_mm: float, samples_before: int
) -> tuple[Points, FloatArray]:
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
