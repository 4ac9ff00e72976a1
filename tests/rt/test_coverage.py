from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.rt.coverage import region_coverage
from tests.solids import circle, keyhole, rectangle


def overlap(low: float, high: float, cells: int) -> np.ndarray:
    """Length of the interval in every unit cell."""
    edge = np.arange(cells)
    return np.clip(np.minimum(high, edge + 1.0) - np.maximum(low, edge), 0.0, 1.0)


def exact_coverage(region: shapely.Geometry, shape: tuple[int, int]) -> np.ndarray:
    """Area of the region in every cell by polygon intersection: another algorithm, in another library."""
    rows, columns = np.indices(shape)
    return np.asarray(shapely.area(shapely.intersection(shapely.box(columns, rows, columns + 1, rows + 1), region)))


class TestClosedForms:
    def test_along_a_line_coverage_is_exact(self) -> None:
        covered = region_coverage([rectangle((1.3, 6.77), (2.0, 5.0))], (8, 9))
        np.testing.assert_allclose(covered, np.outer(overlap(2.0, 5.0, 8), overlap(1.3, 6.77, 9)), atol=1e-9)

    def test_across_lines_it_is_exact_at_eighths_of_a_row(self) -> None:
        covered = region_coverage([rectangle((1.3, 6.77), (2.125, 5.875))], (8, 9))
        np.testing.assert_allclose(covered, np.outer(overlap(2.125, 5.875, 8), overlap(1.3, 6.77, 9)), atol=1e-9)

    @pytest.mark.parametrize("y", np.linspace(1.0, 2.0, 23))
    def test_and_within_half_a_line_elsewhere(self, y: float) -> None:
        covered = region_coverage([rectangle((0.0, 4.0), (y, 5.0))], (6, 4))
        error = np.abs(covered - np.outer(overlap(y, 5.0, 6), np.ones(4))).max()
        assert error <= 1.0 / 16.0 + 1e-9

    def test_more_lines_make_less_error(self) -> None:
        loop = rectangle((0.0, 4.0), (1.03, 5.0))
        exact = np.outer(overlap(1.03, 5.0, 6), np.ones(4))
        assert np.abs(region_coverage([loop], (6, 4), lines_per_cell=64) - exact).max() <= 1.0 / 128.0 + 1e-9

    def test_a_right_triangle(self) -> None:
        covered = region_coverage([np.array([(0.0, 0.0), (4.0, 0.0), (0.0, 4.0)])], (4, 4))
        row, column = np.indices((4, 4))
        np.testing.assert_allclose(covered, np.where(row + column < 3, 1.0, np.where(row + column == 3, 0.5, 0.0)))

    @pytest.mark.parametrize("centre", [(20.0, 20.0), (20.5, 20.5), (19.37, 20.81)])
    def test_a_circle_has_its_area_and_centre(self, centre: tuple[float, float]) -> None:
        covered = region_coverage([circle(12.0, centre)], (40, 40))
        assert covered.sum() == pytest.approx(144.0 * np.pi, rel=1e-3)
        middle = np.arange(40) + 0.5
        assert (covered.sum(axis=0) @ middle) / covered.sum() == pytest.approx(centre[0], abs=2e-3)
        assert (covered.sum(axis=1) @ middle) / covered.sum() == pytest.approx(centre[1], abs=2e-2)

    def test_columns_are_x_and_rows_are_y(self) -> None:
        covered = region_coverage([rectangle((1.0, 5.0), (2.0, 3.0))], (4, 7))
        assert np.argwhere(covered == 1.0).tolist() == [[2, 1], [2, 2], [2, 3], [2, 4]]
        assert covered.sum() == 4.0


class TestEvenOdd:
    outer, inner = circle(10.0, (15.0, 15.0)), circle(4.0, (16.0, 14.0))

    def test_a_loop_in_a_loop_is_a_hole_and_nothing_is_left_in_it(self) -> None:
        covered = region_coverage([self.outer, self.inner], (30, 30))
        exact = exact_coverage(shapely.Polygon(self.outer, [self.inner]), (30, 30))
        np.testing.assert_allclose(covered, exact, atol=0.07)
        assert covered.sum() == pytest.approx(84.0 * np.pi, rel=1e-3)
        assert (covered[exact == 0.0] == 0.0).all()
        assert (covered[exact > 1.0 - 1e-12] == 1.0).all()

    @pytest.mark.parametrize("scale", [1.0, 3.7, 9.3])
    def test_holes_and_surroundings_are_exactly_zero(self, scale: float) -> None:
        """Not 1e-16: a dose there would become a structure's maximum."""
        cells = int(30 * scale) + 1
        covered = region_coverage([self.outer * scale, self.inner * scale], (cells, cells))
        y, x = np.indices(covered.shape) + 0.5
        hole = np.hypot(x - 16.0 * scale, y - 14.0 * scale) < 4.0 * scale - 1.0
        beyond = np.hypot(x - 15.0 * scale, y - 15.0 * scale) > 10.0 * scale + 1.0
        assert hole.sum() > 20
        assert (covered[hole | beyond] == 0.0).all()

    def test_an_island_in_a_hole(self) -> None:
        covered = region_coverage([circle(r, (15.0, 15.0)) for r in (12.0, 8.0, 4.0)], (30, 30))
        assert covered.sum() == pytest.approx((144.0 - 64.0 + 16.0) * np.pi, rel=2e-3)
        assert covered[15, 15] == 1.0
        assert covered[15, 21] == 0.0

    def test_a_keyhole_is_the_hole_it_cuts(self) -> None:
        as_keyhole = region_coverage([keyhole(self.outer, self.inner)], (30, 30))
        np.testing.assert_allclose(as_keyhole, region_coverage([self.outer, self.inner], (30, 30)), atol=1e-9)

    def test_a_loop_drawn_twice_cancels(self) -> None:
        assert (region_coverage([self.outer, self.outer], (30, 30)) == 0.0).all()
        assert (region_coverage([self.outer, self.outer[::-1]], (30, 30)) == 0.0).all()

    def test_overlapping_islands_leave_out_what_they_share(self) -> None:
        covered = region_coverage([rectangle((0.0, 6.0), (0.0, 4.0)), rectangle((4.0, 9.0), (2.0, 6.0))], (6, 9))
        expected = np.zeros((6, 9))
        expected[0:4, 0:6] = 1.0
        expected[2:6, 4:9] = 1.0 - expected[2:6, 4:9]
        np.testing.assert_allclose(covered, expected, atol=1e-9)

    def test_neither_sense_nor_start_nor_order_matters(self) -> None:
        expected = region_coverage([self.outer, self.inner], (30, 30))
        turned = region_coverage([self.inner[::-1], np.roll(self.outer, 77, axis=0)], (30, 30))
        np.testing.assert_allclose(turned, expected, atol=1e-9)


class TestRasterEdges:
    @pytest.mark.parametrize("shift", [(-7.5, 0.0), (7.25, 0.0), (0.0, -7.5), (0.0, 7.25), (-6.0, 6.5)])
    def test_what_is_beyond_is_cut_off(self, shift: tuple[float, float]) -> None:
        loop = circle(5.0, (6.0, 6.0)) + np.array(shift)
        covered = region_coverage([loop], (12, 12))
        np.testing.assert_allclose(covered, exact_coverage(shapely.Polygon(loop), (12, 12)), atol=0.07)
        assert covered.sum() < 60.0

    @pytest.mark.parametrize("centre", [(-20.0, 6.0), (32.0, 6.0), (6.0, -20.0), (6.0, 32.0)])
    def test_a_loop_wholly_beyond_covers_nothing(self, centre: tuple[float, float]) -> None:
        assert (region_coverage([circle(5.0, centre)], (12, 12)) == 0.0).all()

    def test_a_loop_around_the_raster_covers_all(self) -> None:
        assert (region_coverage([rectangle((-5.0, 20.0), (-5.0, 20.0))], (6, 7)) == 1.0).all()

    def test_vertices_on_scan_lines_and_cell_corners(self) -> None:
        """Diamonds whose corners lie exactly on scan lines: every line must still be entered and left."""
        for y in (3.0, 3.0625, 3.5, 3.9375):
            diamond = np.array([(4.0, y - 2.0), (6.0, y), (4.0, y + 2.0), (2.0, y)])
            covered = region_coverage([diamond], (8, 8))
            assert covered.sum() == pytest.approx(8.0, abs=0.02)
            assert (covered[:, :2] == 0.0).all()
            assert (covered[:, 6:] == 0.0).all()


@st.composite
def star_polygons(draw: st.DrawFn) -> np.ndarray:
    """Simple polygons, concave as a rule, partly beyond the raster."""
    points = draw(st.integers(3, 12))
    radii = draw(st.lists(st.floats(1.0, 8.0), min_size=points, max_size=points))
    centre = draw(st.tuples(st.floats(0.0, 12.0), st.floats(0.0, 12.0)))
    turn = draw(st.floats(0.0, 6.0))
    angle = turn + np.arange(points) * 2.0 * np.pi / points
    return np.asarray(centre) + np.array(radii)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(first=star_polygons(), second=star_polygons())
def test_it_agrees_with_polygon_intersection(first: np.ndarray, second: np.ndarray) -> None:
    covered = region_coverage([first, second], (12, 12), lines_per_cell=32)
    region = shapely.symmetric_difference(shapely.Polygon(first), shapely.Polygon(second))
    assert np.abs(covered - exact_coverage(region, (12, 12))).max() < 0.04
    assert abs(covered.sum() - exact_coverage(region, (12, 12)).sum()) < 0.5
