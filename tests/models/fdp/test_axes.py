"""Averages and splines between grids against integrals, polynomials and the positions of the voxels themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.rt.errors import GeometryRefusal
from bridge.rt.grid import Grid
from models.fdp.axes import AlignedAxes, Axis
from tests.models.fdp.anatomies import HEAD_FIRST_SUPINE, all_orientations, positions
from tests.solids import FRAME, oriented_grid

SHAPE, SPACING, CENTRE = (5, 6, 7), (3.0, 2.0, 1.5), (-20.0, 35.0, 110.0)
FINE = (Axis(106.1, 1.1, 20), Axis(30.1, 0.9, 12), Axis(-27.0, 1.3, 8))
"""Axes z, y, x that cover the grid to a part, with nothing in common with its voxels."""


def grid_of(steps: np.ndarray) -> Grid:
    return oriented_grid(steps, SHAPE, SPACING, CENTRE)


def cubic(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """A cubic along each axis, with all products."""
    x, y, z = (x + 20.0) / 5.0, (y - 35.0) / 6.0, (z - 110.0) / 7.0
    return (1 + x - 0.5 * x**2 + 0.3 * x**3) * (2 - y + 0.4 * y**3) * (1 + 0.5 * z + 0.2 * z**2 - 0.1 * z**3)


def turned(degrees: float, axis: int) -> np.ndarray:
    """Rotate the head-first supine steps about one axis of the patient."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rotation = np.eye(3)
    one, other = (a for a in range(3) if a != axis)
    rotation[one, one], rotation[one, other], rotation[other, one], rotation[other, other] = c, -s, s, c
    return rotation @ HEAD_FIRST_SUPINE


class TestPlaces:
    @pytest.mark.parametrize("steps", all_orientations())
    def test_every_voxel_is_found_where_the_grid_has_it(self, steps: np.ndarray) -> None:
        """Of all 48 ways to lay an array along the axes: the values are the positions, and so are the centres."""
        grid = grid_of(steps)
        aligned = AlignedAxes.of(grid)
        centres = np.meshgrid(*(axis.centres_mm for axis in aligned.axes), indexing="ij")
        for values, wanted in zip(reversed(positions(grid)), centres, strict=True):
            np.testing.assert_allclose(aligned.to_patient(values), wanted, atol=1e-9)
        assert all(axis.step_mm > 0 for axis in aligned.axes)

    @pytest.mark.parametrize("steps", all_orientations())
    def test_there_and_back_changes_nothing(self, steps: np.ndarray) -> None:
        aligned = AlignedAxes.of(grid_of(steps))
        values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
        back = aligned.to_grid(aligned.to_patient(values))
        np.testing.assert_array_equal(back, values)
        assert back.flags.c_contiguous

    def test_edges_lie_half_a_voxel_beyond_the_centres(self) -> None:
        axis = Axis(10.0, 4.0, 3)
        assert axis.centres_mm.tolist() == [10.0, 14.0, 18.0]
        assert axis.edges_mm.tolist() == [8.0, 12.0, 16.0, 20.0]


class TestTilt:
    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("degrees", [0.1, 0.5, 2.0, 30.0, 45.0, 89.0, -1.0])
    def test_a_tilted_grid_is_refused(self, axis: int, degrees: float) -> None:
        """Two degrees put a voxel 200 mm from the corner 7 mm beside its place."""
        with pytest.raises(GeometryRefusal) as raised:
            AlignedAxes.of(grid_of(turned(degrees, axis)))
        assert raised.value.code == "grid-tilted"

    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("degrees", [0.0, 0.03, -0.03, 90.0, 180.0, 270.0])
    def test_rounded_direction_cosines_and_quarter_turns_are_not_tilted(self, axis: int, degrees: float) -> None:
        grid = grid_of(turned(degrees, axis))
        aligned = AlignedAxes.of(grid)
        z, y, x = np.meshgrid(*(axis.centres_mm for axis in aligned.axes), indexing="ij")
        for values, wanted in zip(positions(grid), (x, y, z), strict=True):
            np.testing.assert_allclose(aligned.to_patient(values), wanted, atol=0.02)


class TestAverage:
    @settings(deadline=None, derandomize=True)
    @given(st.floats(-20, 20), st.floats(0.3, 9.0), st.integers(1, 12), st.floats(-20, 20), st.floats(0.3, 9.0))
    def test_parts_are_lengths_of_overlap(
        self, first: float, step: float, n: int, other_first: float, other_step: float
    ) -> None:
        mine, theirs = Axis(first, step, n), Axis(other_first, other_step, 9)
        parts = mine.averaging(theirs)
        assert parts.shape == (n, 9)
        for (i, j), part in np.ndenumerate(parts):
            here, there = first + i * step, other_first + j * other_step
            # two intervals overlap by half the sum of their lengths less their distance, or by the shorter
            overlap = min(step, other_step, max(0.0, (step + other_step) / 2 - abs(here - there)))
            assert part == pytest.approx(overlap / step, abs=1e-5)

    @pytest.mark.parametrize("steps", all_orientations()[::7])
    def test_the_integral_is_kept_where_the_other_axes_hold_the_grid(self, steps: np.ndarray) -> None:
        grid = grid_of(steps)
        values = np.random.default_rng(0).random(SHAPE, dtype=np.float32)
        around = (Axis(80.0, 2.7, 30), Axis(20.0, 4.1, 10), Axis(-40.0, 1.3, 33))
        got = AlignedAxes.of(grid).average(values, around)
        voxel_cc = np.prod([axis.step_mm for axis in around]) / 1000
        assert got.sum() * voxel_cc == pytest.approx(values.sum() * grid.voxel_cc, rel=1e-5)

    @pytest.mark.parametrize("steps", all_orientations()[::7])
    def test_the_average_is_that_of_quarter_millimetre_cubes(self, steps: np.ndarray) -> None:
        """All faces lie on whole quarters of a millimetre: count such cubes of the grid into the other voxels."""
        grid = grid_of(steps)
        values = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
        across = (Axis(107.25, 2.5, 4), Axis(30.5, 4.0, 3), Axis(-27.25, 3.5, 5))
        x, y, z = positions(oriented_grid(steps, (60, 48, 42), (0.25, 0.25, 0.25), CENTRE))
        cubes = values.repeat(12, axis=0).repeat(8, axis=1).repeat(6, axis=2)
        places = np.stack([z.ravel(), y.ravel(), x.ravel()], axis=1)
        sums, _ = np.histogramdd(places, bins=[axis.edges_mm for axis in across], weights=cubes.ravel())
        wanted = sums * 0.25**3 / np.prod([axis.step_mm for axis in across])
        got = AlignedAxes.of(grid).average(values, across)
        np.testing.assert_allclose(got, wanted, atol=1e-5)

    def test_beyond_the_grid_the_outside_value_fills_what_is_missing(self) -> None:
        grid = Grid.axial((1, 1, 4), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), FRAME)
        values = np.full(grid.shape, 40.0, dtype=np.float32)
        one = Axis(0.0, 2.0, 1)
        # voxels from -5 to -2, -2 to 1, 1 to 4, 4 to 7 and 7 to 10 mm against a grid from -1 to 7 mm
        got = AlignedAxes.of(grid).average(values, (one, one, Axis(-3.5, 3.0, 5)), outside=-1000.0)
        np.testing.assert_allclose(got[0, 0], [-1000, (2 * 40 - 1000) / 3, 40, 40, -1000], rtol=1e-6)

    def test_the_same_axes_give_the_same_values(self) -> None:
        grid = grid_of(HEAD_FIRST_SUPINE)
        values = np.random.default_rng(2).random(SHAPE, dtype=np.float32)
        aligned = AlignedAxes.of(grid)
        np.testing.assert_allclose(aligned.average(values, aligned.axes), values, rtol=1e-6)


class TestSpline:
    @pytest.mark.parametrize("steps", all_orientations())
    def test_a_cubic_comes_back(self, steps: np.ndarray) -> None:
        grid = grid_of(steps)
        aligned = AlignedAxes.of(grid)
        inner = tuple(Axis(axis.first_mm + 0.3, axis.step_mm / 3.7, 3 * axis.n) for axis in aligned.axes)
        got = aligned.spline(cubic(*positions(grid)).astype(np.float32), (inner[0], inner[1], inner[2]))
        z, y, x = np.meshgrid(*(axis.centres_mm for axis in inner), indexing="ij")
        np.testing.assert_allclose(got, cubic(x, y, z), atol=1e-4)

    @pytest.mark.parametrize("steps", all_orientations())
    def test_a_cubic_comes_back_to_the_grid(self, steps: np.ndarray) -> None:
        grid = grid_of(steps)
        axes = (Axis(95.0, 4.0, 9), Axis(24.0, 3.0, 8), Axis(-32.0, 5.0, 6))
        z, y, x = np.meshgrid(*(axis.centres_mm for axis in axes), indexing="ij")
        got = AlignedAxes.of(grid).spline_back(cubic(x, y, z).astype(np.float32), axes)
        assert got.shape == SHAPE
        np.testing.assert_allclose(got, cubic(*positions(grid)), atol=2e-3)

    def test_beyond_the_grid_the_last_value_goes_on(self) -> None:
        grid = Grid.axial((1, 1, 5), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), FRAME)
        values = np.arange(5, dtype=np.float32).reshape(grid.shape)
        one = Axis(0.0, 2.0, 1)
        got = AlignedAxes.of(grid).spline(values, (one, one, Axis(-6.0, 5.0, 5)))
        np.testing.assert_allclose(got[0, 0], [0.0, 0.0, 2.0, 4.0, 4.0], atol=1e-6)

    @pytest.mark.parametrize("steps", all_orientations()[::7])
    def test_back_on_the_grid_there_is_nothing_beyond_the_other_axes(self, steps: np.ndarray) -> None:
        """0 where the voxel's centre lies beyond the outer faces, and the value itself up to there."""
        grid = grid_of(steps)
        got = AlignedAxes.of(grid).spline_back(np.full((20, 12, 8), 3.0, dtype=np.float32), FINE)
        inside = np.ones(SHAPE, dtype=bool)
        for axis, place in zip(FINE, reversed(positions(grid)), strict=True):
            inside &= np.abs(place - (axis.first_mm + (axis.n - 1) / 2 * axis.step_mm)) < axis.n * axis.step_mm / 2
        assert 0 < inside.sum() < inside.size
        np.testing.assert_allclose(got, np.where(inside, 3.0, 0.0), atol=1e-5)

    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_few_slices_are_no_obstacle(self, n: int) -> None:
        """With n slices a polynomial of degree n - 1 is reproduced."""
        grid = Grid.axial((n, 4, 4), (3.0, 2.0, 2.0), (0.0, 0.0, 0.0), FRAME)
        aligned = AlignedAxes.of(grid)
        z = positions(grid)[2]
        between = Axis(0.0, (n - 1) * 3.0 / 10 or 1.0, 11 if n > 1 else 1)
        got = aligned.spline((1 + z ** (n - 1)).astype(np.float32), (between, *aligned.axes[1:]))
        np.testing.assert_allclose(got[:, 0, 0], 1 + between.centres_mm ** (n - 1), rtol=1e-5)

    def test_neither_way_changes_what_it_was_given(self) -> None:
        grid = grid_of(HEAD_FIRST_SUPINE)
        aligned = AlignedAxes.of(grid)
        values = np.ones(SHAPE, dtype=np.float32)
        values.setflags(write=False)
        for got in (aligned.spline(values, aligned.axes), aligned.spline_back(values, aligned.axes)):
            np.testing.assert_array_equal(got, values)
