"""Radiological depth against geometry."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.arrays import FloatArray
from bridge.rt.grid import Grid
from esapi_stub.engine.depth import radiological_depth_mm
from tests.esapi_stub.engine.phantoms import FRAME, positions

GRID = Grid.axial((9, 21, 25), (4.0, 5.0, 3.0), (-36.0, -50.0, -16.0), FRAME)
SOURCES = [
    (0.0, -1000.0, 0.0),  # along an axis, through the middle of voxels
    (1.5, -1000.0, 2.0),  # along their borders
    (700.0, -700.0, 30.0),
    (-300.0, 950.0, -120.0),
    (-1000.0, 0.0, 500.0),
]


def box_entry(source: FloatArray, targets: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Part of the way from the source at which each ray enters a box that its end lies in (slab method)."""
    way = targets - source
    with np.errstate(divide="ignore", invalid="ignore"):
        planes = np.where(way > 0, low - source, high - source) / way
    return np.where(way == 0, -np.inf, planes).max(axis=1)


@pytest.mark.parametrize("source", SOURCES)
def test_in_water_it_is_the_way_from_the_surface_to_the_centre(source: tuple[float, float, float]) -> None:
    x, y, z = positions(GRID)
    water = (np.abs(x) <= 24.0) & (np.abs(y) <= 35.0) & (np.abs(z) <= 12.0)
    voxels = np.flatnonzero(water)
    targets = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)[voxels]
    half = np.array([3.0, 5.0, 4.0]) / 2.0
    entry = box_entry(np.array(source), targets, targets.min(axis=0) - half, targets.max(axis=0) + half)
    expected = (1.0 - entry) * np.linalg.norm(targets - source, axis=1)
    found = radiological_depth_mm(water.astype(np.float32), GRID, voxels, np.array(source))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_densities_on_the_way_are_added_up() -> None:
    random = np.random.default_rng(4)
    density = random.uniform(0.1, 2.0, GRID.shape).astype(np.float32)
    voxels = np.sort(random.choice(density.size, 40, replace=False))
    source = np.array([400.0, -800.0, 150.0])
    targets = np.stack([axis.ravel()[voxels] for axis in positions(GRID)], axis=1)
    found = radiological_depth_mm(density, GRID, voxels, source)
    steps = (np.arange(400_000) + 0.5) / 400_000
    for target, depth in zip(targets, found, strict=True):
        # the last 200 mm hold the whole grid
        length = float(np.linalg.norm(target - source))
        along = source + (1.0 - steps[:, None] * 200.0 / length) * (target - source)
        index = np.rint(GRID.indices(along)).astype(int)
        inside = ((index >= 0) & (index < GRID.shape)).all(axis=1)
        total = density[tuple(index[inside].T)].sum(dtype=np.float64) * 200.0 / len(steps)
        assert depth == pytest.approx(total, abs=0.02)


def test_a_source_inside_the_grid_counts_from_there() -> None:
    voxel = np.ravel_multi_index((4, 10, 20), GRID.shape)
    depth = radiological_depth_mm(
        np.ones(GRID.shape), GRID, np.array([voxel]), GRID.positions_mm(np.array([[4.0, 10.0, 5.0]]))[0]
    )
    assert depth[0] == pytest.approx(45.0)
