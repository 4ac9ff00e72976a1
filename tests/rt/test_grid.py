from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.rt.errors import GeometryRefusal
from bridge.rt.grid import Grid
from tests.solids import FRAME, OTHER_FRAME, axial_orientations, oriented_grid

ORIENTATIONS = axial_orientations()


def rotation_about_x(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def rotation_about_z(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


HEAD_FIRST_SUPINE = np.column_stack([[0, 0, 1], [0, 1, 0], [1, 0, 0]]).astype(float)


class TestPlaces:
    def test_an_axial_grid_puts_voxels_where_its_origin_and_spacing_say(self) -> None:
        grid = Grid.axial((4, 5, 6), (3.0, 2.0, 1.5), (-10.0, 20.0, -30.0), FRAME)
        positions = grid.positions_mm(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [2, 3, 4.5]]))
        expected = [[-10, 20, -30], [-10, 20, -27], [-10, 22, -30], [-8.5, 20, -30], [-3.25, 26, -24]]
        np.testing.assert_allclose(positions, expected, atol=1e-12)
        assert grid.spacing_mm == pytest.approx((3.0, 2.0, 1.5))
        assert grid.voxel_cc == pytest.approx(0.009)
        assert grid.frame_of_reference_uid == FRAME

    @pytest.mark.parametrize("name", ORIENTATIONS)
    def test_spacing_and_indices_hold_in_every_orientation(self, name: str) -> None:
        grid = oriented_grid(ORIENTATIONS[name], (4, 6, 8), (3.0, 2.0, 1.0), (5.0, -7.0, 11.0))
        assert grid.spacing_mm == pytest.approx((3.0, 2.0, 1.0))
        assert grid.is_axial
        one_row_down = grid.positions_mm(np.array([[0.0, 1.0, 0.0]])) - grid.positions_mm(np.array([[0.0, 0.0, 0.0]]))
        np.testing.assert_allclose(one_row_down[0], 2.0 * ORIENTATIONS[name][:, 1], atol=1e-12)
        np.testing.assert_allclose(grid.indices(np.array([[5.0, -7.0, 11.0]])), [[1.5, 2.5, 3.5]], atol=1e-12)

    @settings(max_examples=50, deadline=None, derandomize=True, database=None)
    @given(
        name=st.sampled_from(sorted(ORIENTATIONS)),
        spacing=st.tuples(*[st.floats(0.3, 6.0)] * 3),
        centre=st.tuples(*[st.floats(-500.0, 500.0)] * 3),
        tilt=st.floats(-60.0, 60.0),
        index=st.tuples(*[st.floats(-20.0, 20.0)] * 3),
    )
    def test_indices_undo_positions(
        self,
        name: str,
        spacing: tuple[float, float, float],
        centre: tuple[float, float, float],
        tilt: float,
        index: tuple[float, float, float],
    ) -> None:
        grid = oriented_grid(rotation_about_x(tilt) @ ORIENTATIONS[name], (5, 6, 7), spacing, centre)
        there = grid.positions_mm(np.array([index]))
        np.testing.assert_allclose(grid.indices(there), [index], atol=1e-7)

    def test_corners_are_those_of_the_voxels_not_of_their_centres(self) -> None:
        corners = Grid.axial((2, 3, 4), (4.0, 2.0, 1.0), (10.0, 20.0, 30.0), FRAME).corners_mm()
        assert corners.shape == (8, 3)
        np.testing.assert_allclose(corners.min(axis=0), [9.5, 19.0, 28.0])
        np.testing.assert_allclose(corners.max(axis=0), [13.5, 25.0, 36.0])
        assert len(np.unique(corners, axis=0)) == 8

    def test_the_affine_is_the_grids_own(self) -> None:
        affine = np.diag([3.0, 2.0, 1.0, 1.0])
        grid = Grid((2, 2, 2), affine, FRAME)
        affine[0, 3] = 99.0
        assert grid.affine[0, 3] == 0.0
        with pytest.raises(ValueError, match="read-only"):
            grid.affine[0, 3] = 1.0


class TestAxial:
    def test_the_sixteen_orientations_are_all_different(self) -> None:
        assert len(ORIENTATIONS) == 16
        assert len({steps.tobytes() for steps in ORIENTATIONS.values()}) == 16

    def test_rounded_direction_cosines_are_axial(self) -> None:
        assert oriented_grid(rotation_about_x(0.002) @ HEAD_FIRST_SUPINE, (3, 4, 5), (3, 1, 1), (0, 0, 0)).is_axial

    @pytest.mark.parametrize(
        "steps",
        [
            pytest.param(np.eye(3)[:, [0, 2, 1]], id="sagittal"),
            pytest.param(np.eye(3)[:, [1, 2, 0]], id="coronal"),
            pytest.param(rotation_about_x(0.5) @ HEAD_FIRST_SUPINE, id="tilted by half a degree"),
            pytest.param(rotation_about_z(0.5) @ HEAD_FIRST_SUPINE, id="turned by half a degree in plane"),
            pytest.param(rotation_about_x(30.0) @ HEAD_FIRST_SUPINE, id="oblique"),
        ],
    )
    def test_other_planes_are_not(self, steps: np.ndarray) -> None:
        assert not oriented_grid(steps, (3, 4, 5), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0)).is_axial


class TestMatching:
    grid = Grid.axial((20, 30, 40), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), FRAME)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    @pytest.mark.parametrize(("shift_mm", "same"), [(0.009, True), (-0.009, True), (0.011, False), (-0.011, False)])
    def test_grids_match_to_a_hundredth_of_a_millimetre(self, axis: int, shift_mm: float, same: bool) -> None:
        origin = [0.0, 0.0, 0.0]
        origin[axis] = shift_mm
        other = Grid.axial((20, 30, 40), (3.0, 1.0, 1.0), (origin[0], origin[1], origin[2]), FRAME)
        assert self.grid.matches(other) is same

    def test_a_spacing_that_drifts_apart_at_the_far_end_does_not_match(self) -> None:
        other = Grid.axial((20, 30, 40), (3.0, 1.0, 1.001), (0.0, 0.0, 0.0), FRAME)
        assert not self.grid.matches(other)

    def test_neither_another_shape_nor_another_frame_matches(self) -> None:
        assert not self.grid.matches(Grid.axial((20, 30, 41), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), FRAME))
        assert not self.grid.matches(Grid.axial((20, 30, 40), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), OTHER_FRAME))

    def test_one_box_divided_otherwise_does_not_match(self) -> None:
        """As many voxels between the same eight corners."""
        one = oriented_grid(HEAD_FIRST_SUPINE, (2, 4, 3), (4.0, 2.0, 1.0), (0.0, 0.0, 0.0))
        other = oriented_grid(HEAD_FIRST_SUPINE, (4, 2, 3), (2.0, 4.0, 1.0), (0.0, 0.0, 0.0))
        np.testing.assert_allclose(one.corners_mm(), other.corners_mm())
        assert not one.matches(other)

    def test_a_flipped_grid_over_the_same_box_does_not_match(self) -> None:
        steps = ORIENTATIONS["+y/+x/+z"]
        up = oriented_grid(steps, (4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        down = oriented_grid(ORIENTATIONS["+y/+x/-z"], (4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        assert not up.matches(down)

    def test_frames_are_compared_before_positions(self) -> None:
        self.grid.require_same_frame(Grid.axial((1, 1, 1), (1.0, 1.0, 1.0), (5.0, 5.0, 5.0), FRAME))
        with pytest.raises(GeometryRefusal, match=f"{FRAME} and {OTHER_FRAME}") as refused:
            self.grid.require_same_frame(Grid.axial((20, 30, 40), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), OTHER_FRAME))
        assert refused.value.code == "frame-of-reference"


def affine_with(**entries: float) -> np.ndarray:
    affine = np.eye(4)
    for place, value in entries.items():
        affine[int(place[1]), int(place[2])] = value
    return affine


class TestRefusals:
    @pytest.mark.parametrize(
        ("shape", "affine", "frame", "code"),
        [
            pytest.param((2, 2), np.eye(4), FRAME, "grid-shape", id="two axes"),
            pytest.param((2, 2, 2, 2), np.eye(4), FRAME, "grid-shape", id="four axes"),
            pytest.param((2, 0, 2), np.eye(4), FRAME, "grid-shape", id="no rows"),
            pytest.param((2, 2, 2), np.eye(3), FRAME, "grid-affine", id="3 x 3"),
            pytest.param((2, 2, 2), affine_with(a00=np.nan), FRAME, "grid-affine", id="NaN"),
            pytest.param((2, 2, 2), affine_with(a13=np.inf), FRAME, "grid-affine", id="infinite"),
            pytest.param((2, 2, 2), affine_with(a30=5.0), FRAME, "grid-affine", id="transposed"),
            pytest.param((2, 2, 2), np.eye(4), "", "grid-frame", id="no frame"),
            pytest.param((2, 2, 2), affine_with(a11=0.0), FRAME, "grid-spacing", id="flat"),
            pytest.param((2, 2, 2), affine_with(a10=np.tan(np.radians(10))), FRAME, "grid-sheared", id="gantry tilt"),
            pytest.param((2, 2, 2), affine_with(a10=1e-3), FRAME, "grid-sheared", id="small shear"),
        ],
    )
    def test_a_grid_that_is_none(self, shape: tuple[int, int, int], affine: np.ndarray, frame: str, code: str) -> None:
        with pytest.raises(GeometryRefusal) as refused:
            Grid(shape, affine, frame)
        assert refused.value.code == code

    def test_shear_from_rounded_cosines_is_accepted(self) -> None:
        assert Grid((2, 2, 2), affine_with(a10=1e-5), FRAME).shape == (2, 2, 2)
