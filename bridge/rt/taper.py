"""Taper: let a prism narrow between its plane and the next ones, as the structure does.

Plain slabs cut a narrowing solid into steps: at 3 mm planes a cylinder lying across them loses 5 % of its volume and
0.3 Gy and more of D99 in 1 Gy/mm. A region is therefore scaled about its centre, axis by axis, to extents read off a
parabola through three planes: the squares of the extents, because those of a sphere, a cone and a lying cylinder are
parabolas in z, and the centres. At either end a narrowing structure goes on to where its extents vanish, if that lies
within one plane spacing, and else half a spacing as a plain slab does, without growing.

Only planes with a single contour, and neighbours like that, are tapered: where contours split, join or have holes,
extents say nothing about the shape between.
"""

from __future__ import annotations

import numpy as np

from bridge.rt.arrays import FloatArray, Points
from bridge.rt.structure import Structure

__all__ = ["Taper"]

_MOST_CHANGE = 4.0
"""Extents that differ by more than a factor of two from plane to plane are two shapes, not one that narrows."""

_MOST_UNEVEN = 1.5
"""A parabola through planes of very different spacing swings out between them; a missing plane is such a case."""


class Taper:
    """How a structure narrows around each of its planes.

    Parameters
    ----------
    structure
        With at least one plane.
    """

    def __init__(self, structure: Structure) -> None:
        self._z = structure.z_mm
        boxes = [
            np.concatenate([plane.loops[0].min(axis=0), plane.loops[0].max(axis=0)])
            if len(plane.loops) == 1
            else np.full(4, np.nan)
            for plane in structure.planes
        ]
        low, high = np.split(np.array(boxes), 2, axis=1)
        self._centre, self._square = (low + high) / 2.0, (high - low) ** 2

    def _triple(self, index: int) -> list[int] | None:
        """Give the plane with its neighbours, or at an end the last three; None where they are not alike."""
        first = min(max(index - 1, 0), len(self._z) - 3)
        triple = [first, first + 1, first + 2]
        if first < 0 or not (self._square[triple] > 0).all():
            return None
        steps = np.diff(self._z[triple])
        if steps.max() > _MOST_UNEVEN * steps.min():
            return None
        change = self._square[triple[1:]] / self._square[triple[:-1]]
        return triple if change.max() < _MOST_CHANGE and change.min() > 1.0 / _MOST_CHANGE else None

    def slab(self, index: int, bottom_mm: float, top_mm: float) -> tuple[float, float]:
        """Give the slab of a plane, drawn out at an end of the structure to where the structure vanishes.

        Only an end that has a cap is moved: a slab that stops at its plane stays.
        """
        triple = self._triple(index)
        if triple is None:
            return bottom_mm, top_mm
        z = self._z[index]
        if index == 0 and bottom_mm < z:
            bottom_mm = self._vanishing(triple, z, z - (self._z[1] - z)) or bottom_mm
        if index == len(self._z) - 1 and top_mm > z:
            top_mm = self._vanishing(triple, z, z + (z - self._z[-2])) or top_mm
        return bottom_mm, top_mm

    def apply(self, index: int, points_mm: Points, sample_cc: FloatArray) -> tuple[Points, FloatArray]:
        """Move the samples of one prism, and scale their volumes, to the extents at their heights."""
        triple = self._triple(index)
        if triple is None:
            return points_mm, sample_cc
        z = points_mm[:, 2]
        square = self._at(z, triple, self._square)
        lowest, limit = self._square[triple].min(axis=0), self._square[triple].max(axis=0)
        beyond = (z < self._z[0]) | (z > self._z[-1])
        limits = np.where(beyond[:, None], self._square[index], limit)
        scale = np.sqrt(np.clip(square, np.where(beyond[:, None], 0.0, lowest), limits) / self._square[index])
        moved = points_mm.copy()
        centres = self._centre[triple]
        centre = self._at(np.clip(z, self._z[0], self._z[-1]), triple, self._centre)
        centre = np.clip(centre, centres.min(axis=0), centres.max(axis=0))
        moved[:, :2] = centre + (points_mm[:, :2] - self._centre[index]) * scale
        volume = sample_cc * scale.prod(axis=1)
        there = volume > 0.0
        return moved[there], volume[there]

    def _at(self, z_mm: FloatArray, triple: list[int], values: FloatArray) -> FloatArray:
        """Read off the parabola through three planes, for x and y at once; shape ``(n, 2)``."""
        weights = []
        for one in triple:
            a, b = (other for other in triple if other != one)
            zs = self._z
            weights.append((z_mm - zs[a]) * (z_mm - zs[b]) / ((zs[one] - zs[a]) * (zs[one] - zs[b])))
        return np.asarray(np.stack(weights, axis=-1) @ values[triple])

    def _vanishing(self, triple: list[int], start_mm: float, end_mm: float) -> float | None:
        """Give the height between two heights at which the first extent reaches zero, or None."""
        # a little beyond: a pole that lies just one spacing away is missed by the rounding of its contours else
        heights = np.linspace(start_mm, end_mm + 0.05 * (end_mm - start_mm), 106)
        gone = np.flatnonzero((self._at(heights, triple, self._square) <= 1e-6).any(axis=1))
        return float(heights[gone[0]]) if len(gone) else None
