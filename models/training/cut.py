"""Which part of a patient a box of training is, and how it is seen: the same for CT, structures, beams and dose."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["STEP", "Box", "Cut", "body_in", "turned"]

Box = tuple[slice, slice, slice]
"""Voxels along z, y and x."""

STEP = 8
"""Sides of a box are multiples of this: three times the network halves the resolution."""


@dataclass(frozen=True)
class Cut:
    """A part of a patient's arrays, perhaps seen in the mirror and then turned about z.

    Attributes
    ----------
    box
        Voxels of the patient's arrays.
    mirrored
        Whether left and right change places.
    turned_rad
        Turn about the middle of the box, in the axial plane.
    roomy
        Whether the box is put into a square that holds it at every angle before it is turned; else corners are lost.
    kept
        What is kept of all that in the end, None for everything.
    """

    box: Box
    mirrored: bool = False
    turned_rad: float = 0.0
    roomy: bool = False
    kept: Box | None = None

    @property
    def starts(self) -> tuple[int, int, int]:
        """First voxel of the box in the patient's arrays."""
        return self.box[0].start, self.box[1].start, self.box[2].start

    def of(self, values: NDArray[Any]) -> Tensor:
        """Cut ``(n, z, y, x)`` of a patient; zero where a turn brings in what is outside the box."""
        part = torch.from_numpy(values[(slice(None), *self.box)].astype(np.float32))
        if self.mirrored:
            part = part.flip(-1)
        if self.turned_rad:
            part = turned(_in_square(part) if self.roomy else part, self.turned_rad)
        return part if self.kept is None else part[(slice(None), *self.kept)].contiguous()

    def beams_deg(self, gantry_deg: Sequence[float]) -> list[float]:
        """Give the gantry angles of beams as they come into what is seen: mirrored and turned as the patient is."""
        side = -1.0 if self.mirrored else 1.0
        return [side * angle - math.degrees(self.turned_rad) for angle in gantry_deg]


def turned(values: Tensor, angle_rad: float) -> Tensor:
    """Turn ``(n, z, y, x)`` about the middle of the box, in the axial plane; voxels there are square."""
    ny, nx = values.shape[-2:]
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    theta = torch.tensor([[[cos, -sin * ny / nx, 0.0], [sin * nx / ny, cos, 0.0]]], dtype=torch.float32)
    lattice = torch.nn.functional.affine_grid(theta, [1, 1, ny, nx], align_corners=False)
    slices = values.transpose(0, 1)  # the cores share a batch, not the channels
    lattices = lattice.expand(len(slices), -1, -1, -1)
    return torch.nn.functional.grid_sample(slices, lattices, align_corners=False).transpose(0, 1).contiguous()


def body_in(body: Tensor, rng: np.random.Generator | None) -> Box:
    """Find the box around a body ``(z, y, x)``, with sides in steps of :data:`STEP`.

    Where there is room for more than one such box, chance chooses, or it is the middle one.
    """
    inside = body > 0.0
    kept = []
    for axis, n in enumerate(body.shape):
        others = tuple(other for other in range(3) if other != axis)
        filled = torch.nonzero(inside.amax(dim=others)).flatten()
        low, high = int(filled[0]), int(filled[-1]) + 1
        length = -(-(high - low) // STEP) * STEP
        first, last = max(0, high - length), min(low, n - length)
        start = (first + last) // 2 if rng is None else int(rng.integers(first, last + 1))
        kept.append(slice(start, start + length))
    z, y, x = kept
    return z, y, x


def _in_square(values: Tensor) -> Tensor:
    ny, nx = values.shape[-2:]
    side = STEP * math.ceil(math.hypot(ny, nx) / STEP)
    y, x = (side - ny) // 2, (side - nx) // 2
    return torch.nn.functional.pad(values, (x, side - nx - x, y, side - ny - y))
