"""Small anatomies with closed-form distances."""

from __future__ import annotations

import numpy as np

from bridge.rt.case import Anatomy
from bridge.rt.grid import Grid
from bridge.rt.volume import Mask


def grid_of(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Grid:
    return Grid.axial(shape, spacing_mm, (0.0, 0.0, 0.0), "2.25.1")


def box_anatomy(
    targets: dict[str, tuple[float, tuple[slice, slice, slice]]],
    shape: tuple[int, int, int] = (12, 20, 40),
    spacing_mm: tuple[float, float, float] = (3.0, 2.0, 2.5),
    organs: dict[str, tuple[slice, slice, slice]] | None = None,
    body: tuple[slice, slice, slice] = (slice(None), slice(1, -1), slice(1, -1)),
) -> Anatomy:
    """Boxes of voxels: name to (level, box) for targets, name to box for organs."""
    grid = grid_of(shape, spacing_mm)

    def box(where: tuple[slice, slice, slice]) -> Mask:
        values = np.zeros(shape, dtype=np.float32)
        values[where] = 1.0
        return Mask(values, grid)

    masks = {name: box(where) for name, (_, where) in targets.items()}
    masks |= {name: box(where) for name, where in (organs or {}).items()}
    return Anatomy(grid, None, box(body), masks, {name: level for name, (level, _) in targets.items()})
