"""Phantoms on the dose grid, and contoured ones; asymmetric where an axis could be mistaken."""

from __future__ import annotations

import os
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.rt.grid import Grid
from bridge.rt.structure import Plane, RoiKind, Structure
from bridge.rt.volume import CtVolume
from esapi_stub.engine.patient import PlanningPatient

needs_pyradplan = pytest.mark.skipif(
    # in continuous integration nothing may be missing: there the tests fail
    find_spec("pyRadPlan") is None and "CI" not in os.environ,
    reason="pyRadPlan (extra planning) is not installed",
)

FRAME = "1.2.826.0.1.3680043.8.498.5"

WATER_HU, AIR_HU = 0.0, -1000.0


def water_patient(
    half_widths_mm: tuple[float, float, float],
    target_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    target_half_mm: float = 10.0,
    spacing_mm: float = 5.0,
    extra_hu: float = 0.0,
) -> PlanningPatient:
    """Give a box of water around the origin, ``(x, y, z)`` half widths, with a target box of number 1 in it.

    The target may be denser.

    The voxel centres lie at multiples of the spacing, so that a box around the origin is symmetric on the grid.
    """
    counts = [round(2.0 * (half + 4.0 * spacing_mm) / spacing_mm) // 2 * 2 + 1 for half in half_widths_mm]
    nx, ny, nz = counts
    origin = tuple(-spacing_mm * (n - 1) / 2.0 for n in counts)
    grid = Grid.axial((nz, ny, nx), (spacing_mm,) * 3, (origin[0], origin[1], origin[2]), FRAME)
    x, y, z = positions(grid)
    body = inside(x, y, z, (0.0, 0.0, 0.0), half_widths_mm)
    target = inside(x, y, z, target_mm, (target_half_mm,) * 3)
    hu = np.where(body, WATER_HU, AIR_HU).astype(np.float32)
    hu[target] += extra_hu
    masks = {1: target.astype(np.float32), 2: (body & ~target).astype(np.float32)}
    return PlanningPatient(CtVolume(hu, grid), body, target, masks)


def positions(grid: Grid) -> tuple[NDArray[np.float64], ...]:
    """Give x, y and z of every voxel, each ``[z, y, x]``."""
    index = np.indices(grid.shape).reshape(3, -1).T.astype(np.float64)
    return tuple(axis.reshape(grid.shape) for axis in grid.positions_mm(index).T)


def inside(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64],
    centre_mm: tuple[float, float, float], half_mm: tuple[float, float, float],
) -> NDArray[np.bool_]:  # fmt: skip
    """Tell which positions lie in a box."""
    offsets = (
        np.abs(axis - middle) <= half + 1e-6 for axis, middle, half in zip((x, y, z), centre_mm, half_mm, strict=True)
    )
    return np.logical_and.reduce(list(offsets))


def box_structure(
    number: int,
    name: str,
    kind: RoiKind,
    centre_mm: tuple[float, float, float],
    half_mm: tuple[float, float, float],
    spacing_mm: float = 5.0,
) -> Structure:
    """Give a contoured box; its planes are a spacing apart."""
    (cx, cy, cz), (hx, hy, hz) = centre_mm, half_mm
    loop = np.array([(cx - hx, cy - hy), (cx + hx, cy - hy), (cx + hx, cy + hy), (cx - hx, cy + hy)])
    count = round(2.0 * hz / spacing_mm)
    heights = cz + spacing_mm * (np.arange(count) - (count - 1) / 2.0)
    planes = tuple(Plane(float(height), (loop,)) for height in heights)
    return Structure(number, name, kind, planes, FRAME, spacing_mm)
