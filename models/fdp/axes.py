"""Arrays of any grid along the patient's own axes, and exact averages and splines between such arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import make_interp_spline

from bridge.rt.arrays import FloatArray, VoxelArray
from bridge.rt.errors import GeometryRefusal
from bridge.rt.grid import Grid

__all__ = ["AlignedAxes", "Axis"]

_TILT = 1e-3
"""Largest part of an axis of the grid that may point along another axis of the patient (0.06 degrees)."""


@dataclass(frozen=True)
class Axis:
    """Voxel centres along one axis of the patient, ascending.

    Attributes
    ----------
    first_mm
        Centre of the first voxel.
    step_mm
        Spacing, positive.
    n
        Number of voxels.
    """

    first_mm: float
    step_mm: float
    n: int

    @property
    def centres_mm(self) -> FloatArray:
        """Give the voxel centres ``(n,)``."""
        return np.asarray(self.first_mm + self.step_mm * np.arange(self.n, dtype=np.float64))

    @property
    def edges_mm(self) -> FloatArray:
        """Give the voxel edges ``(n + 1,)``."""
        return np.asarray(self.first_mm + self.step_mm * (np.arange(self.n + 1, dtype=np.float64) - 0.5))

    def averaging(self, source: Axis) -> VoxelArray:
        """Give the ``(n, source.n)`` parts of each voxel here that each voxel of ``source`` covers."""
        mine, theirs = self.edges_mm, source.edges_mm
        low = np.maximum(mine[:-1, None], theirs[None, :-1])
        high = np.minimum(mine[1:, None], theirs[None, 1:])
        return np.asarray(np.maximum(high - low, 0.0) / self.step_mm, dtype=np.float32)


@dataclass(frozen=True)
class AlignedAxes:
    """How the axes of a grid lie along the patient's: any order, any sign, but no tilt.

    Attributes
    ----------
    axes
        Along z (to superior), y (to posterior) and x (to the patient's left).
    order
        Array axis of the grid for each of these.
    flipped
        Whether that array axis runs the other way.
    """

    axes: tuple[Axis, Axis, Axis]
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @classmethod
    def of(cls, grid: Grid) -> AlignedAxes:
        """Find them for a grid.

        Raises
        ------
        GeometryRefusal
            The grid is tilted against the patient's axes (``grid-tilted``).
        """
        columns = grid.affine[:3, :3]  # of array axes k, j, i, in x, y, z
        unit = columns / np.linalg.norm(columns, axis=0)
        axes, order, flipped = [], [], []
        for row in (2, 1, 0):
            along = int(np.abs(unit[row]).argmax())
            # the part along the other axes: the one along its own is 1 to 5e-7 at that tilt, and tells nothing
            if np.abs(np.delete(unit[:, along], row)).max() > _TILT:
                raise GeometryRefusal(
                    "grid-tilted", "The grid is tilted against the patient's axes; this model needs an untilted one."
                )
            step = float(columns[row, along])
            n = grid.shape[along]
            first = float(grid.affine[row, 3])
            axes.append(Axis(first if step > 0 else first + step * (n - 1), abs(step), n))
            order.append(along)
            flipped.append(step < 0)
        return cls((axes[0], axes[1], axes[2]), (order[0], order[1], order[2]), (flipped[0], flipped[1], flipped[2]))

    def to_patient(self, values: VoxelArray) -> VoxelArray:
        """View an array of the grid with axes ``[z, y, x]``, each ascending."""
        turned = np.transpose(values, self.order)
        return turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]

    def to_grid(self, values: VoxelArray) -> VoxelArray:
        """Undo :meth:`to_patient`."""
        turned = values[tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)]
        return np.ascontiguousarray(np.transpose(turned, np.argsort(self.order)))

    def average(self, values: VoxelArray, to: tuple[Axis, Axis, Axis], outside: float = 0.0) -> VoxelArray:
        """Average an array of the grid over the voxels of other axes; the volume integral is kept.

        Parameters
        ----------
        values
            Shape of the grid, one value for the whole of each voxel.
        to
            Axes ``z, y, x`` of the result.
        outside
            Value beyond the grid.
        """
        result = self.to_patient(values).astype(np.float32, copy=False) - np.float32(outside)
        for number, (target, source) in enumerate(zip(to, self.axes, strict=True)):
            weights = target.averaging(source)
            result = np.moveaxis(np.tensordot(weights, result, axes=(1, number)), 0, number)
        return np.ascontiguousarray(result + np.float32(outside))

    def spline(self, values: VoxelArray, to: tuple[Axis, Axis, Axis]) -> VoxelArray:
        """Interpolate an array of the grid at the centres of other axes by cubic splines; constant beyond the grid."""
        return _spline(self.to_patient(values), self.axes, to)

    def spline_back(self, values: VoxelArray, source: tuple[Axis, Axis, Axis]) -> VoxelArray:
        """Interpolate an array on the axes ``source`` at the voxels of the grid by cubic splines; 0 beyond them."""
        result = _spline(values, source, self.axes)
        for number, (target, axis) in enumerate(zip(self.axes, source, strict=True)):
            beyond = (target.centres_mm < axis.edges_mm[0]) | (target.centres_mm > axis.edges_mm[-1])
            result[(slice(None),) * number + (beyond,)] = 0.0
        return self.to_grid(result)


def _spline(values: VoxelArray, source: tuple[Axis, Axis, Axis], target: tuple[Axis, Axis, Axis]) -> VoxelArray:
    result = values.astype(np.float32)
    for number, (old, new) in enumerate(zip(source, target, strict=True)):
        if old == new:
            continue
        at = np.clip(new.centres_mm, old.centres_mm[0], old.centres_mm[-1])
        # a spline is linear in its values: one matrix for the axis is cheaper than a spline for each line
        weights = make_interp_spline(old.centres_mm, np.eye(old.n), k=min(3, old.n - 1))(at).astype(np.float32)
        result = np.moveaxis(np.tensordot(weights, result, axes=(1, number)), 0, number)
    return np.ascontiguousarray(result)
