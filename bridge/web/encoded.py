"""Volumes as whole numbers for the browser: small, and exact to a stated step.

Little-endian, in the array's own order ``[z, y, x]``. A number times ``step`` is the value, to half a step. They travel
as differences along the last axis, which are small where a volume is smooth, and compressed.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bridge.rt.errors import Refusal
from bridge.rt.grid import Grid
from bridge.rt.volume import CtVolume, Dose, Volume

__all__ = ["EncodedVolume", "encode_ct", "encode_dose"]

_QUICK = 1
"""Of gzip's nine levels: the slower ones save a tenth of the bytes and take ten times as long."""


@dataclass(frozen=True, eq=False)
class EncodedVolume:
    """A volume as whole numbers.

    Attributes
    ----------
    numbers
        16 bits, axes ``[z, y, x]`` of the grid; read-only.
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

    @cached_property
    def packed(self) -> bytes:
        """The differences along the last axis, each less the one before it modulo 2^16, in gzip."""
        unsigned = self.numbers.view("<u2")
        differences = unsigned.copy()
        differences[..., 1:] -= unsigned[..., :-1]
        return gzip.compress(differences.tobytes(), _QUICK, mtime=0)

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
        }


def encode_ct(ct: CtVolume) -> EncodedVolume:
    """Encode CT numbers as 16 bit HU; refuses what does not fit (``value-range``)."""
    return _encode(ct, "<i2", "HU", 1.0, 1.0)


def encode_dose(dose: Dose) -> EncodedVolume:
    """Encode a dose as 16 bit hundredths of a Gy, so up to 655.35 Gy; refuses what does not fit (``value-range``)."""
    return _encode(dose, "<u2", "Gy", 0.01, 100.0)


def _encode(volume: Volume, dtype: DTypeLike, unit: str, step: float, per_unit: float) -> EncodedVolume:
    rounded = np.multiply(volume.values, per_unit, dtype=np.float64)
    np.rint(rounded, out=rounded)  # in place: with every preview some million voxels wait for this
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
