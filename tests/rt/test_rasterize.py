from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bridge.rt.dvh import EndCaps
from bridge.rt.errors import GeometryRefusal
from bridge.rt.grid import Grid
from bridge.rt.rasterize import mask_of
from bridge.rt.structure import Structure
from bridge.rt.volume import Mask
from tests.solids import (
    CONE,
    CYLINDER,
    FRAME,
    OTHER_FRAME,
    SPHERE,
    Solid,
    axial_orientations,
    circle,
    empty,
    grid_around,
    keyhole,
    oriented_grid,
    positions_of,
    prism,
    rectangle,
    structure,
)

ORIENTATIONS = axial_orientations()
SHAPE, SPACING_MM, CENTRE_MM = (9, 14, 17), (4.0, 3.2, 1.6), (31.0, -47.0, 213.0)


def in_box(grid: Grid, low: Sequence[float], high: Sequence[float]) -> np.ndarray:
    """Fraction of every voxel inside a box along the patient's axes: the product of three overlaps."""
    centres = positions_of(grid)
    half = np.abs(grid.affine[:3, :3]).sum(axis=1) / 2.0
    inside = np.minimum(centres + half, high) - np.maximum(centres - half, low)
    return np.asarray(np.prod(np.clip(inside, 0.0, None) / (2.0 * half), axis=-1))


def centroid_mm(mask: Mask) -> np.ndarray:
    weights = mask.values.astype(np.float64)
    return np.asarray((positions_of(mask.grid) * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum())


class TestOrientations:
    @pytest.mark.parametrize("name", ORIENTATIONS)
    def test_every_voxel_of_a_box_is_right(self, name: str) -> None:
        """An anisotropic, shifted grid; box edges at eighths of 1.6 and 3.2 mm, where rows are exact."""
        grid = oriented_grid(ORIENTATIONS[name], SHAPE, SPACING_MM, CENTRE_MM)
        corner = grid.corners_mm().min(axis=0)
        low, high = corner + np.array([6.0, 5.2, 7.0]), corner + np.array([18.4, 13.6, 25.0])
        planes = low[2] + np.array([1.0, 3.0, 6.0, 14.0])
        loop = rectangle((low[0], high[0]), (low[1], high[1]))
        drawn = prism([loop], planes)
        edges = drawn.slab_edges_mm("half_slice")
        bottom, top = edges[0, 0], edges[-1, 1]
        assert (bottom, top) == pytest.approx((low[2], high[2]))
        np.testing.assert_allclose(mask_of(drawn, grid).values, in_box(grid, low, high), atol=1e-6)

    @pytest.mark.parametrize("name", ORIENTATIONS)
    def test_volume_and_centroid_of_an_oblique_prism(self, name: str) -> None:
        """A slanting tower of triangles and discs tells left from right, front from back and up from down."""
        grid = oriented_grid(ORIENTATIONS[name], (20, 30, 40), (2.0, 1.75, 1.25), (10.0, -20.0, 30.0))
        triangle = np.array([(0.0, 0.0), (12.0, 2.0), (3.0, 9.0)])
        planes = {22.0 + 3.0 * k: [triangle + np.array([k, -22.0]), circle(4.0, (3.0 + k, -29.0))] for k in range(6)}
        mask = mask_of(structure(planes), grid)
        triangle_mm2, disc_mm2 = 51.0, 16.0 * np.pi
        assert mask.volume_cc == pytest.approx(6 * 3.0 * (triangle_mm2 + disc_mm2) / 1000.0, rel=2e-3)
        x = (triangle_mm2 * (5.0 + 2.5) + disc_mm2 * (3.0 + 2.5)) / (triangle_mm2 + disc_mm2)
        y = (triangle_mm2 * (-22.0 + 11.0 / 3.0) + disc_mm2 * -29.0) / (triangle_mm2 + disc_mm2)
        np.testing.assert_allclose(centroid_mm(mask), [x, y, 29.5], atol=0.05)

    def test_a_structure_may_lie_on_other_planes_than_the_grid(self) -> None:
        loop = rectangle((-8.0, 8.0), (-4.0, 4.0))
        drawn = prism([loop], np.arange(-10.0, 10.1, 2.5))
        for step_mm in (0.7, 1.0, 3.0, 5.0, 40.0):
            grid = grid_around(20.0, (step_mm, 1.0, 1.0))
            expected = np.clip(
                np.minimum(11.25, positions_of(grid)[:, 0, 0, 2] + step_mm / 2)
                - np.maximum(-11.25, positions_of(grid)[:, 0, 0, 2] - step_mm / 2),
                0.0,
                None,
            )
            row = mask_of(drawn, grid).values[:, 20, 20]
            np.testing.assert_allclose(row, expected / step_mm, atol=1e-6)


class TestVolumes:
    @pytest.mark.parametrize("solid", [SPHERE, CYLINDER, CONE], ids=lambda solid: solid.name)
    @pytest.mark.parametrize("end_caps", ["half_slice", "none"])
    @pytest.mark.parametrize("voxel_mm", [(1.0, 1.0, 1.0), (3.0, 2.5, 2.0)])
    def test_solids(self, solid: Solid, end_caps: EndCaps, voxel_mm: tuple[float, float, float]) -> None:
        exact = solid.dvh(solid.slabs(1.0, end_caps), "y").volume_cc
        mask = mask_of(solid.drawn(1.0), grid_around(20.0, voxel_mm), end_caps)
        assert mask.volume_cc == pytest.approx(exact, rel=2e-3)
        assert float(mask.values.max()) == 1.0
        assert abs(centroid_mm(mask)[:2]).max() < 0.02

    def test_end_caps_add_half_a_slice_at_either_end_and_nowhere_else(self) -> None:
        drawn = prism([rectangle((-5.0, 5.0), (-5.0, 5.0))], [-3.0, 0.0, 4.0])
        grid = grid_around(10.0, (0.5, 1.0, 1.0))
        profile = {caps: mask_of(drawn, grid, caps).values[:, 10, 10] for caps in ("half_slice", "none")}
        z = positions_of(grid)[:, 10, 10, 2]
        np.testing.assert_allclose(z[profile["none"] > 0.99][[0, -1]], [-2.5, 3.5])
        np.testing.assert_allclose(z[profile["half_slice"] > 0.99][[0, -1]], [-4.0, 5.5])
        assert profile["none"].sum() * 0.5 == pytest.approx(7.0)
        assert profile["half_slice"].sum() * 0.5 == pytest.approx(7.0 + 1.5 + 2.0)

    def test_half_slices_are_the_default(self) -> None:
        drawn, grid = CYLINDER.drawn(3.0), grid_around(20.0, (1.0, 1.0, 1.0))
        assert mask_of(drawn, grid).volume_cc == pytest.approx(0.144 * np.pi * 27.0, rel=1e-3)

    def test_a_point_like_structure_is_not_lost_between_voxel_centres(self) -> None:
        grid = grid_around(12.0, (3.0, 3.0, 3.0))
        drawn = prism([circle(0.9, (1.5, 1.5))], [1.5, 2.5, 3.5])
        assert mask_of(drawn, grid).volume_cc == pytest.approx(0.81 * np.pi * 3.0 / 1000.0, rel=0.03)

    def test_holes_keyholes_and_duplicates_follow_the_even_odd_rule(self) -> None:
        outer, inner = circle(20.0), circle(8.0, (2.0, 1.0))
        grid, z = grid_around(30.0, (3.0, 2.0, 2.0)), np.arange(-15.0, 16.0, 3.0)
        with_hole, with_keyhole = (
            mask_of(prism([outer, inner], z), grid),
            mask_of(prism([keyhole(outer, inner)], z), grid),
        )
        assert with_hole.volume_cc == pytest.approx(0.336 * np.pi * 33.0, rel=1e-3)
        assert with_hole.values[10, 15, 16] == 0.0
        np.testing.assert_allclose(with_keyhole.values, with_hole.values, atol=1e-6)
        assert not mask_of(prism([outer, outer], z), grid).values.any()

    def test_a_plane_with_nothing_left_stays_empty(self) -> None:
        loop = rectangle((-5.0, 5.0), (-5.0, 5.0))
        drawn = structure({-6.0: [loop], -3.0: [loop], 0.0: [], 3.0: [loop], 6.0: []})
        column = mask_of(drawn, grid_around(12.0, (3.0, 1.0, 1.0))).values[:, 12, 12]
        np.testing.assert_allclose(column, [0, 0, 1, 1, 0, 1, 0, 0, 0], atol=1e-6)


def test_a_mask_on_another_grid_is_drawn_anew_not_blurred() -> None:
    """A box whose sides lie within the voxels of both grids: a voxel of the second holds what the box fills of it."""
    low, high = [-7.3, -5.1, -9.0], [6.9, 4.4, 9.0]
    drawn = prism([rectangle((low[0], high[0]), (low[1], high[1]))], [-7.5, -4.5, -1.5, 1.5, 4.5, 7.5])
    first, second = grid_around(12.0, (2.5, 2.5, 2.5)), grid_around(12.0, (3.0, 0.4, 4.0))
    moved = mask_of(drawn, first).resampled(second)
    assert moved.grid is second
    np.testing.assert_array_equal(moved.values, mask_of(drawn, second).values)
    np.testing.assert_allclose(moved.values, in_box(second, low, high), atol=1 / 16 + 1e-6)
    assert mask_of(drawn, first, "none").resampled(second).volume_cc == pytest.approx(
        mask_of(drawn, second, "none").volume_cc
    )
    with pytest.raises(GeometryRefusal):
        moved.resampled(grid_around(10.0, (3.0, 2.0, 2.0), frame=OTHER_FRAME))


class TestBeyondTheGrid:
    grid = Grid.axial((4, 6, 8), (3.0, 2.0, 2.0), (0.0, 0.0, 0.0), FRAME)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    def test_what_is_outside_is_cut_off(self, axis: int, sign: float) -> None:
        middle = self.grid.corners_mm().mean(axis=0)
        shift = np.zeros(3)
        shift[axis] = sign * (np.ptp(self.grid.corners_mm(), axis=0)[axis] / 2.0)
        low, high = middle + shift - [3.0, 3.0, 3.0], middle + shift + [3.0, 3.0, 3.0]
        drawn = prism([rectangle((low[0], high[0]), (low[1], high[1]))], [low[2] + 1.5, high[2] - 1.5])
        mask = mask_of(drawn, self.grid)
        assert mask.volume_cc == pytest.approx(0.108)
        np.testing.assert_allclose(mask.values, in_box(self.grid, low, high), atol=1e-6)

    @pytest.mark.parametrize("centre", [(-50.0, 5.0, 4.0), (50.0, 5.0, 4.0), (5.0, -50.0, 4.0), (5.0, 50.0, 4.0)])
    def test_a_structure_beside_the_grid_gives_nothing(self, centre: tuple[float, float, float]) -> None:
        drawn = prism([circle(5.0, (centre[0], centre[1]))], [3.0, 6.0])
        assert not mask_of(drawn, self.grid).values.any()

    @pytest.mark.parametrize("z", [-60.0, 60.0])
    def test_nor_does_one_above_or_below(self, z: float) -> None:
        assert not mask_of(prism([circle(4.0, (6.0, 5.0))], [z, z + 3.0]), self.grid).values.any()

    def test_an_empty_structure_gives_an_empty_mask(self) -> None:
        for drawn in (empty(), structure({0.0: [], 3.0: []})):
            mask = mask_of(drawn, self.grid)
            assert not mask.values.any()
            assert mask.grid is self.grid


class TestRefusals:
    drawn: Structure = prism([circle(5.0)], [0.0, 3.0])

    def test_another_frame_of_reference(self) -> None:
        with pytest.raises(GeometryRefusal, match="Prism") as refused:
            mask_of(self.drawn, grid_around(10.0, (3.0, 2.0, 2.0), frame=OTHER_FRAME))
        assert refused.value.code == "frame-of-reference"
        assert refused.value.where == {"roi": "Prism"}

    def test_even_an_empty_structure_of_another_frame(self) -> None:
        with pytest.raises(GeometryRefusal) as refused:
            mask_of(empty(), grid_around(10.0, (3.0, 2.0, 2.0), frame=OTHER_FRAME))
        assert refused.value.code == "frame-of-reference"

    def test_a_sagittal_grid(self) -> None:
        with pytest.raises(GeometryRefusal) as refused:
            mask_of(self.drawn, oriented_grid(np.eye(3), (3, 3, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
        assert refused.value.code == "grid-not-axial"
