"""Volumes: an array with its grid. CT numbers, doses and masks are volumes of their own type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import ndimage

from bridge.rt.arrays import FloatArray, Points, VoxelArray
from bridge.rt.errors import GeometryRefusal, ModelRefusal
from bridge.rt.grid import Grid

__all__ = ["CtVolume", "Dose", "Mask", "Volume"]

_EDGE_TOLERANCE = 1e-6
"""Voxels by which a position may lie beyond the outermost voxel centres by rounding alone."""


@dataclass(frozen=True, eq=False)
class Volume:
    """Values on a grid.

    Attributes
    ----------
    values
        float32, axes ``[z, y, x]``, finite, read-only. The unit is that of the subclass.
    grid
        Where the voxels are.

    Raises
    ------
    GeometryRefusal
        The array's shape is not the grid's, or a value is not finite.
    """

    values: VoxelArray
    grid: Grid

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float32, order="C")
        if values.shape != self.grid.shape:
            raise GeometryRefusal(
                "volume-shape", f"An array of shape {values.shape} does not fit a grid of shape {self.grid.shape}."
            )
        if not np.isfinite(values).all():
            raise GeometryRefusal("volume-not-finite", "A volume holds values that are not finite numbers.")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    def at(self, positions_mm: Points, outside: float = np.nan) -> FloatArray:
        """Interpolate trilinearly between voxel centres.

        Parameters
        ----------
        positions_mm
            Shape ``(n, 3)``, patient coordinates.
        outside
            Value for positions outside the box spanned by the voxel centres (no extrapolation).

        Returns
        -------
        FloatArray
            Shape ``(n,)``.
        """
        index = self.grid.indices(positions_mm)
        last = np.array(self.grid.shape) - 1.0
        inside = ((index >= -_EDGE_TOLERANCE) & (index <= last + _EDGE_TOLERANCE)).all(axis=1)
        clipped = np.clip(index, 0.0, last)
        values = ndimage.map_coordinates(
            self.values, clipped.T, order=1, mode="nearest", output=np.float64, prefilter=False
        )
        return np.where(inside, values, outside)

    def resampled(self, to: Grid, outside: float) -> Self:
        """Interpolate onto another grid of the same frame of reference, with ``outside`` beyond this one.

        Raises
        ------
        GeometryRefusal
            The frames of reference differ.
        """
        self.grid.require_same_frame(to)
        if self.grid.matches(to):
            return type(self)(self.values, to)
        step = np.linalg.inv(self.grid.affine) @ to.affine
        # affine_transform does the same arithmetic as `at` without making all positions; what is outside is decided
        # here, with the tolerance of `at`, because it drops faces that rounding moves out by 1e-14
        values = ndimage.affine_transform(
            self.values, step[:3, :3], offset=step[:3, 3], output_shape=to.shape, order=1, mode="nearest",
            prefilter=False,
        )  # fmt: skip
        k, j, i = np.ogrid[tuple(slice(n) for n in to.shape)]
        for axis, voxels in enumerate(self.grid.shape):
            index = step[axis, 0] * k + step[axis, 1] * j + step[axis, 2] * i + step[axis, 3]
            values[(index < -_EDGE_TOLERANCE) | (index > voxels - 1 + _EDGE_TOLERANCE)] = outside
        return type(self)(values, to)


class CtVolume(Volume):
    """CT numbers in HU."""


class Mask(Volume):
    """Fraction of each voxel that is inside a structure, from 0 to 1.

    Raises
    ------
    GeometryRefusal
        A fraction outside 0 to 1.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.values.min() < 0.0 or self.values.max() > 1.0:
            raise GeometryRefusal("mask-range", "Mask fractions must lie between 0 and 1.")

    @property
    def volume_cc(self) -> float:
        """Volume of the structure as the mask has it."""
        return float(self.values.sum(dtype=np.float64)) * self.grid.voxel_cc


class Dose(Volume):
    """Total physical dose over all fractions, in Gy, never negative.

    Raises
    ------
    ModelRefusal
        A negative dose (``dose-negative``): an unsigned DICOM pixel would turn it into a huge one.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.values.min() < 0.0:
            raise ModelRefusal(
                "dose-negative", f"A dose holds negative values, down to {float(self.values.min()):.3f} Gy."
            )

    @property
    def maximum_gy(self) -> float:
        """Largest voxel dose."""
        return float(self.values.max())
