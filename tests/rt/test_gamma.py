"""Gamma of doses that differ by a known dose, or by a known distance."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import GeometryRefusal
from bridge.rt.gamma import gamma_index
from bridge.rt.grid import Grid
from bridge.rt.volume import Dose
from tests.solids import FRAME, OTHER_FRAME

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:numba", "ignore::DeprecationWarning:llvmlite")

GRID = Grid.axial((9, 13, 15), (3.0, 2.5, 2.0), (-14.0, -15.0, -12.0), FRAME)


def bell(grid: Grid, shift_mm: float = 0.0, factor: float = 1.0) -> Dose:
    """60 Gy at the origin, falling off by about 3 Gy/mm at 8 mm."""
    x, y, z = grid.positions_mm(np.indices(grid.shape).reshape(3, -1).T.astype(np.float64)).T
    distance = (x - shift_mm) ** 2 + y**2 + z**2
    return Dose((factor * 60.0 * np.exp(-distance / 128.0)).reshape(grid.shape).astype(np.float32), grid)


def test_a_dose_passes_against_itself() -> None:
    found = gamma_index(bell(GRID), bell(GRID))
    assert found.pass_percent == 100.0
    assert found.points == int((bell(GRID).values >= 0.1 * bell(GRID).maximum_gy).sum())


@pytest.mark.parametrize(("factor", "passes"), [(1.02, True), (1.10, False)])
def test_a_scaled_dose_passes_within_three_percent(factor: float, passes: bool) -> None:
    found = gamma_index(bell(GRID), bell(GRID, factor=factor), distance_mm=0.5)
    assert (found.pass_percent == 100.0) is passes


@pytest.mark.parametrize(("shift_mm", "passes"), [(1.5, True), (6.0, False)])
def test_a_shifted_dose_passes_within_the_distance(shift_mm: float, passes: bool) -> None:
    found = gamma_index(bell(GRID), bell(GRID, shift_mm), dose_percent=2.0, distance_mm=2.0, cutoff_percent=30.0)
    assert (found.pass_percent > 99.0) is passes


@pytest.mark.parametrize("reversed_axes", [(2,), (1,), (1, 2), (0,)], ids=["x", "y", "x and y", "z"])
def test_grids_in_any_orientation_are_compared_where_they_lie(reversed_axes: tuple[int, ...]) -> None:
    """A dose shifted to one side passes only if it is read as lying on that side."""
    turned = Grid(GRID.shape, _reversed(GRID, reversed_axes), FRAME)
    assert gamma_index(bell(GRID, 4.0), bell(turned, 4.0)).pass_percent == 100.0
    assert gamma_index(bell(GRID, 4.0), bell(turned, -4.0), distance_mm=2.0).pass_percent < 90.0


def _reversed(grid: Grid, axes: tuple[int, ...]) -> FloatArray:
    """Run some array axes the other way over the same voxels."""
    affine = np.array(grid.affine)
    for axis in axes:
        affine[:3, 3] += affine[:3, axis] * (grid.shape[axis] - 1)
        affine[:3, axis] *= -1
    return affine


def test_doses_of_other_frames_are_refused() -> None:
    other = Grid(GRID.shape, GRID.affine, OTHER_FRAME)
    with pytest.raises(GeometryRefusal):
        gamma_index(bell(GRID), bell(other))
