"""Where a structure's surface meets a plane of the patient: axial, coronal or sagittal."""

from __future__ import annotations

import numpy as np

from bridge.report.extra import report_extra
from bridge.rt.arrays import FloatArray
from bridge.rt.structure import Plane, Structure

__all__ = ["axial_outlines", "upright_outlines"]

_STEP_MM = 0.5
_FAR_MM = 20.0
_EDGE_MM = 1e-3


def axial_outlines(structure: Structure, z_mm: float) -> list[FloatArray]:
    """Give the loops ``(n, 2)`` [x, y] of the contour plane that stands for a height; none outside the structure."""
    if structure.is_empty:
        return []
    slabs = structure.slab_edges_mm("half_slice")
    held = np.flatnonzero((slabs[:, 0] - _EDGE_MM <= z_mm) & (z_mm <= slabs[:, 1] + _EDGE_MM))
    if held.size == 0:
        return []
    nearest = held[np.argmin(np.abs(structure.z_mm[held] - z_mm))]
    return list(structure.planes[int(nearest)].loops)


def upright_outlines(structure: Structure, axis: int, position_mm: float) -> list[FloatArray]:
    """Cut a structure with the plane x = position (``axis`` 0, sagittal) or y = position (``axis`` 1, coronal).

    Every contour plane is cut exactly; between planes the distance to the surface is interpolated linearly. The
    structure ends at its first and last plane, and a single plane is one slice high.

    Returns
    -------
    list of FloatArray
        Closed lines ``(n, 2)``: patient coordinate along the cut (y or x) and z, mm.
    """
    if structure.is_empty:
        return []
    with report_extra():
        import contourpy

    low, high = structure.bounds_mm()
    if not low[axis] <= position_mm <= high[axis]:
        return []
    along = 1 - axis
    across = np.arange(low[along] - 2 * _STEP_MM, high[along] + 3 * _STEP_MM, _STEP_MM)
    depths = [_depth_mm(plane, axis, position_mm, across) for plane in structure.planes]
    slabs = structure.slab_edges_mm("none")
    heights, outside = structure.z_mm, np.full_like(across, -_FAR_MM)
    if len(heights) == 1:
        heights, depths = slabs[0], depths * 2
    field = np.vstack([outside, *depths, outside])
    z = np.concatenate([[heights[0] - _EDGE_MM], heights, [heights[-1] + _EDGE_MM]])
    return [np.asarray(line) for line in contourpy.contour_generator(across, z, field).lines(0.0)]


def _depth_mm(plane: Plane, axis: int, position_mm: float, across: FloatArray) -> FloatArray:
    """Give how far points of a cut lie inside (positive) or outside a plane's even-odd region, along the cut."""
    crossings = []
    for loop in plane.loops:
        fixed, free = loop[:, axis] - position_mm, loop[:, 1 - axis]
        fixed_next, free_next = np.roll(fixed, -1), np.roll(free, -1)
        hit = (fixed <= 0) != (fixed_next <= 0)
        part = fixed[hit] / (fixed[hit] - fixed_next[hit])
        crossings.append(free[hit] + part * (free_next[hit] - free[hit]))
    border = np.sort(np.concatenate([*crossings, np.zeros(0)]))
    if border.size == 0:
        return np.full_like(across, -_FAR_MM)
    passed = np.searchsorted(border, across)
    bounded = np.concatenate([[-np.inf], border, [np.inf]])
    distance = np.minimum(across - bounded[passed], bounded[passed + 1] - across)
    return np.asarray(np.where(passed % 2 == 1, 1.0, -1.0) * np.minimum(distance, _FAR_MM))
