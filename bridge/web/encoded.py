"""Volumes as whole numbers for the browser: small, and exact to a stated step.

Little-endian, in the array's own order ``[z, y, x]``. A number times ``step`` is the value, to half a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bridge.rt.errors import GeometryRefusal, Refusal
from bridge.rt.grid import Grid
from bridge.rt.volume import CtVolume, Dose, Mask, Volume

__all__ = ["PLANES", "EncodedVolume", "encode_ct", "encode_dose", "encode_mask"]

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Names of the planes, with the patient axis (x, y, z) that each is across."""


@dataclass(frozen=True, eq=False)
class EncodedVolume:
    """A volume as whole numbers.

    Attributes
    ----------
    numbers
        Axes ``[z, y, x]`` of the grid; read-only.
    grid
        Where the voxels are.
    unit
        Of the values.
    step
        Value of one.
    """

    numbers: NDArray[np.integer[Any]]
    grid: Grid
    unit: str
    step: float

    def axis(self, plane: str) -> int:
        """Give the array axis that a plane is across: in a patient who lies on his side, rows are not columns.

        Raises
        ------
        GeometryRefusal
            There is no such plane (``plane-unknown``).
        """
        if plane not in PLANES:
            raise GeometryRefusal("plane-unknown", f"The planes are {', '.join(PLANES)}; got {plane!r}.")
        return int(np.abs(self.grid.affine[PLANES[plane], :3]).argmax())

    def plane_bytes(self, plane: str, index: int) -> bytes:
        """Give one plane, its rows along the earlier of the two other array axes.

        Raises
        ------
        GeometryRefusal
            There is no such plane, or not so many of them (``plane-index``).
        """
        axis = self.axis(plane)
        count = self.grid.shape[axis]
        if not 0 <= index < count:
            raise GeometryRefusal("plane-index", f"There are {count} {plane} planes, numbered from 0; got {index}.")
        return np.ascontiguousarray(np.take(self.numbers, index, axis)).tobytes()

    def as_dict(self) -> dict[str, object]:
        """Say how the bytes are to be read.

        ``affine`` takes ``[k, j, i, 1]`` to patient coordinates ``[x, y, z, 1]`` in mm (LPS).
        """
        return {
            "dtype": self.numbers.dtype.str,
            "shape": list(self.grid.shape),
            "affine": self.grid.affine.tolist(),
            "spacing_mm": list(self.grid.spacing_mm),
            "frame_of_reference_uid": self.grid.frame_of_reference_uid,
            "unit": self.unit,
            "step": self.step,
            "planes": {
                plane: {"axis": self.axis(plane), "count": self.grid.shape[self.axis(plane)]} for plane in PLANES
            },
        }


def encode_ct(ct: CtVolume) -> EncodedVolume:
    """Encode CT numbers as 16 bit HU; refuses what does not fit (``value-range``)."""
    return _encode(ct, "<i2", "HU", 1.0, 1.0)


def encode_dose(dose: Dose) -> EncodedVolume:
    """Encode a dose as 16 bit hundredths of a Gy, so up to 655.35 Gy; refuses what does not fit (``value-range``)."""
    return _encode(dose, "<u2", "Gy", 0.01, 100.0)


def encode_mask(mask: Mask) -> EncodedVolume:
    """Encode fractions of voxels as 8 bit 255ths."""
    return _encode(mask, "|u1", "fraction", 1.0 / 255.0, 255.0)


def _encode(volume: Volume, dtype: DTypeLike, unit: str, step: float, per_unit: float) -> EncodedVolume:
    rounded = np.rint(volume.values.astype(np.float64) * per_unit)
    limits = np.iinfo(dtype)
    low, high = float(rounded.min()), float(rounded.max())
    if low < limits.min or high > limits.max:
        raise Refusal(
            "value-range",
            f"Values from {low * step:g} to {high * step:g} {unit} do not fit into what the viewer takes, "
            f"{limits.min * step:g} to {limits.max * step:g} {unit}.",
        )
    numbers: NDArray[np.integer[Any]] = rounded.astype(dtype)
    numbers.setflags(write=False)
    return EncodedVolume(numbers, volume.grid, unit, step)
