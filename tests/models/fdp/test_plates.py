"""Plates and depths of single beams against the geometry of rays from a point 1000 mm away."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from bridge.rt.beams import towards_source
from models.fdp.axes import Axis
from models.fdp.beams import BeamGeometry, beam_geometry, depth_mm, plate
from models.fdp.frame import BOX, SPACING_MM

ISOCENTRE = (316.0, -140.0, 12.0)
"""``(z, y, x)``."""

AXES = tuple(
    Axis(middle - (n - 1) / 2 * step, step, n) for middle, n, step in zip(ISOCENTRE, BOX, SPACING_MM, strict=True)
)
Z, Y, X = np.meshgrid(
    *(axis.centres_mm - middle for axis, middle in zip(AXES, ISOCENTRE, strict=True)), indexing="ij", sparse=True
)
"""From the isocentre, along each axis."""

OPEN = np.ones((1, 1, 1), dtype=np.float32)
ANGLES = (0.0, 33.0, 90.0, 200.0, 290.0)

_VIEW_MM = 2.5 * 2
"""The projection is known to its pixels of 2.5 mm and is widened by one."""


@cache
def beam(gantry_deg: float) -> BeamGeometry:
    return beam_geometry((AXES[0], AXES[1], AXES[2]), ISOCENTRE, towards_source(gantry_deg, "HFS"))


def rays(gantry_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """The source and the unit vector of the ray to each voxel of an axial plane, ``(x, y)`` from the isocentre."""
    source = 1000.0 * np.array([np.sin(np.radians(gantry_deg)), -np.cos(np.radians(gantry_deg))])
    to_voxel = np.stack(np.broadcast_arrays(X[0], Y[0]), axis=-1) - source
    return source, to_voxel


@pytest.mark.parametrize("gantry_deg", ANGLES)
def test_distances_from_source_and_axis_make_up_the_distance_from_the_source(gantry_deg: float) -> None:
    _, to_voxel = rays(gantry_deg)
    geometry = beam(gantry_deg)
    np.testing.assert_allclose(
        np.hypot(geometry.from_source_mm, geometry.lateral_mm), np.linalg.norm(to_voxel, axis=-1), rtol=1e-12
    )
    np.testing.assert_allclose(geometry.height_mm, Z[:, 0, 0], atol=1e-9)


def test_the_distance_grows_away_from_the_source() -> None:
    """From the left at gantry 90: to the left, where x is larger, it is nearer."""
    assert beam(90.0).from_source_mm[3].tolist() == pytest.approx((1000.0 - X[0, 0]).tolist())
    assert beam(0.0).from_source_mm[:, 3].tolist() == pytest.approx((1000.0 + Y[0, :, 0]).tolist())


class TestPlate:
    @pytest.mark.parametrize("gantry_deg", ANGLES)
    def test_the_cone_around_a_sphere(self, gantry_deg: float) -> None:
        """Tangents of a sphere of 40 mm about the isocentre: asin(R / 1000) from the axis, at every depth."""
        radius = 40.0
        got = plate(np.sqrt(Z**2 + Y**2 + X**2) <= radius, [beam(gantry_deg)], [OPEN])
        geometry = beam(gantry_deg)
        off_axis = np.hypot(geometry.lateral_mm[None], geometry.height_mm[:, None, None])
        edge = radius / np.sqrt(1 - (radius / 1000.0) ** 2) * geometry.from_source_mm / 1000.0
        assert (got[off_axis < edge - 4.0] > 0).all()
        assert (got[off_axis > edge + 4.0 + _VIEW_MM] == 0).all()

    @pytest.mark.parametrize("gantry_deg", ANGLES)
    def test_in_the_beam_the_dose_falls_with_the_square_of_the_distance(self, gantry_deg: float) -> None:
        got = plate(Z**2 + Y**2 + X**2 <= 40.0**2, [beam(gantry_deg)], [OPEN])
        inverse_square = np.broadcast_to((1000.0 / beam(gantry_deg).from_source_mm) ** 2, got.shape)
        hit = got > 0
        np.testing.assert_allclose(got[hit], inverse_square[hit], rtol=1e-6)

    def test_the_area_is_that_of_the_magnified_sphere(self) -> None:
        """In planes 100 mm before and behind the isocentre the cone measures 0.9 and 1.1 times as much across."""
        radius = 40.0
        got = plate(np.sqrt(Z**2 + Y**2 + X**2) <= radius, [beam(0.0)], [OPEN])
        widths = []
        for depth in (-98.0, -2.0, 2.0, 98.0):
            row = int(np.flatnonzero(Y[0, :, 0] == depth)[0])
            widths.append(2 * np.sqrt((got[:, row] > 0).sum() * 12.0 / np.pi) / (1 + depth / 1000.0))
        # projected back on the isocentre all are alike, and wider than the sphere by one to two pixels on each side
        np.testing.assert_allclose(widths, np.mean(widths), rtol=0.02)
        assert 2 * radius < float(np.mean(widths)) < 2 * (radius + _VIEW_MM)

    def test_all_beams_meet_with_1_at_the_isocentre(self) -> None:
        """Voxels lie 2 mm from it, so that the inverse squares of opposed beams are 1 to 1e-4 in the mean."""
        sphere = Z**2 + Y**2 + X**2 <= 40.0**2
        angles = [40.0 * number for number in range(9)] + [180.0 + 40.0 * number for number in range(9)]
        got = plate(sphere, [beam(angle) for angle in angles], [OPEN] * 18)
        np.testing.assert_allclose(got[47:49, 39:41, 51:53], 1.0, atol=1e-4)

    def test_beams_are_averaged_with_their_weights(self) -> None:
        sphere = Z**2 + Y**2 + X**2 <= 30.0**2
        weight = np.random.default_rng(0).random(BOX, dtype=np.float32)
        one, other = plate(sphere, [beam(0.0)], [OPEN]), plate(sphere, [beam(100.0)], [OPEN])
        both = plate(sphere, [beam(0.0), beam(100.0)], [weight, 3 * OPEN])
        np.testing.assert_allclose(both, (one * weight + other * 3) / 2, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize(("gantry_deg", "depth_axis"), [(0.0, -1), (180.0, 1)])
    def test_a_target_to_the_left_throws_its_beam_to_the_left_at_every_depth(
        self, gantry_deg: float, depth_axis: int
    ) -> None:
        """A sphere 80 mm left and 50 mm above: a ray through its middle leaves the axis in proportion to its way."""
        inside = (Z - 50.0) ** 2 + Y**2 + (X - 80.0) ** 2 <= 16.0**2
        got = plate(inside, [beam(gantry_deg)], [OPEN]) > 0
        for row in (4, 20, 40, 60):
            scale = (1000.0 - depth_axis * Y[0, row, 0]) / 1000.0
            z, x = np.nonzero(got[:, row])
            assert X[0, 0, x].mean() == pytest.approx(80.0 * scale, abs=2.0)
            assert Z[z, 0, 0].mean() == pytest.approx(50.0 * scale, abs=2.0)

    def test_from_the_side_a_target_before_the_isocentre_is_crossed_before_it(self) -> None:
        inside = Z**2 + (Y + 60.0) ** 2 + X**2 <= 16.0**2
        got = plate(inside, [beam(90.0)], [OPEN]) > 0
        for column in (4, 30, 70, 100):
            _, y = np.nonzero(got[:, :, column])
            assert Y[0, y, 0].mean() == pytest.approx(-60.0 * (1000.0 - X[0, 0, column]) / 1000.0, abs=2.0)

    def test_two_targets_leave_the_space_between_them_free(self) -> None:
        inside = (np.abs(np.abs(X) - 60.0) <= 20.0) & (np.abs(Y) <= 20.0) & (np.abs(Z) <= 40.0)
        got = plate(inside, [beam(0.0)], [OPEN])[48, 40]
        lateral = np.abs(X[0, 0])
        assert (got[np.abs(lateral - 60.0) <= 18.0] > 0).all()
        assert (got[lateral < 30.0] == 0).all()

    def test_a_solid_target_throws_a_beam_without_holes(self) -> None:
        """Projected voxels are up to 4.6 mm apart, pixels 2.5 mm."""
        inside = (np.abs(X) <= 60.0) & (np.abs(Y + 100.0) <= 12.0) & (np.abs(Z) <= 60.0)
        for angle in ANGLES:
            got = plate(inside, [beam(angle)], [OPEN])
            assert (got[inside] > 0).all()

    def test_no_target_gives_no_beam(self) -> None:
        assert not plate(np.zeros(BOX, dtype=bool), [beam(0.0)], [OPEN]).any()


def body_of(inside: np.ndarray) -> np.ndarray:
    return np.broadcast_to(inside, BOX).astype(np.float32)


class TestDepth:
    @pytest.mark.parametrize("gantry_deg", ANGLES)
    def test_in_a_cylinder(self, gantry_deg: float) -> None:
        """A ray meets a circle of 100 mm about (20, -10) first at the smaller root of a quadratic equation."""
        radius, centre = 100.0, np.array([20.0, -10.0])
        fine = (np.arange(8) - 3.5) / 8 * 4.0
        share = np.mean([np.hypot(X + a - centre[0], Y + b - centre[1]) <= radius for a in fine for b in fine], axis=0)
        got = depth_mm(body_of(share), (AXES[0], AXES[1], AXES[2]), beam(gantry_deg))
        source, to_voxel = rays(gantry_deg)
        length = np.linalg.norm(to_voxel, axis=-1)
        along = to_voxel / length[..., None]
        to_centre = source - centre
        b = along @ to_centre
        discriminant = b**2 - (to_centre @ to_centre - radius**2)
        wanted = length - (-b - np.sqrt(np.maximum(discriminant, 0.0)))
        # well inside, where the chord does not graze the skin
        well = np.hypot(X - centre[0], Y - centre[1])[0] < radius - 10.0
        assert well.sum() > 1000
        np.testing.assert_allclose(got[5][well], wanted[well], atol=2.5)
        assert abs(float(np.mean(got[5][well] - wanted[well]))) < 0.3

    def test_in_a_slab_from_above(self) -> None:
        """Skin at y = -60: the ray's way behind it, longer than straight down by the slant.

        In the outermost voxels of the frame, which have no neighbour beyond, it is known to 2.5 mm.
        """
        got = depth_mm(body_of(Y >= -60.0), (AXES[0], AXES[1], AXES[2]), beam(0.0))
        source, to_voxel = rays(0.0)
        wanted = np.linalg.norm(to_voxel, axis=-1) * (Y[0] + 60.0) / (Y[0] - source[1])
        below = np.broadcast_to(Y[0] > -56.0, wanted.shape)
        inner = below & (np.abs(X[0]) < 202.0) & (Y[0] < 122.0)
        np.testing.assert_allclose(got[9][inner], wanted[inner], atol=0.6)
        np.testing.assert_allclose(got[9][below], wanted[below], atol=2.5)

    @pytest.mark.parametrize(("gantry_deg", "toward"), [(0.0, -Y), (180.0, Y), (90.0, X), (270.0, -X)])
    def test_depth_is_counted_from_the_side_of_the_source(self, gantry_deg: float, toward: np.ndarray) -> None:
        """In a box of 80 mm, 20 mm behind its face: 20 mm deep for the beam that comes in there, 60 for the other."""
        box = body_of((np.abs(X) <= 40.0) & (np.abs(Y) <= 40.0))
        got = depth_mm(box, (AXES[0], AXES[1], AXES[2]), beam(gantry_deg))[30]
        near_axis = np.broadcast_to(np.abs(X[0]) + np.abs(Y[0]), got.shape)
        across = np.broadcast_to(toward[0], got.shape)
        for position, depth in ((18.0, 22.0), (-18.0, 58.0), (38.0, 2.0), (-38.0, 78.0)):
            on_axis = (across == position) & (near_axis <= abs(position) + 2.0)
            assert on_axis.sum() == 2
            np.testing.assert_allclose(got[on_axis], depth, atol=0.6)

    def test_air_before_the_body_and_inside_it_counts_nothing(self) -> None:
        """From y = -60 to -20 and again from 20: between them depth stands still at 40 mm."""
        got = depth_mm(body_of(((Y >= -60) & (Y <= -20)) | (Y >= 20)), (AXES[0], AXES[1], AXES[2]), beam(0.0))
        on_axis = got[3, :, 51:53].mean(axis=1)
        y = Y[0, :, 0]
        np.testing.assert_allclose(on_axis[y < -62.0], 0.0, atol=1e-4)
        np.testing.assert_allclose(on_axis[(y > -16.0) & (y < 16.0)], 40.0, atol=0.6)
        np.testing.assert_allclose(on_axis[y > 24.0], 40.0 + y[y > 24.0] - 20.0, atol=0.6)

    def test_half_a_body_is_half_as_deep(self) -> None:
        full = depth_mm(body_of(Y >= -60.0), (AXES[0], AXES[1], AXES[2]), beam(33.0))
        half = depth_mm(body_of(Y >= -60.0) / 2, (AXES[0], AXES[1], AXES[2]), beam(33.0))
        np.testing.assert_allclose(half, full / 2, atol=1e-3)

    def test_slices_are_on_their_own(self) -> None:
        body = np.zeros(BOX, dtype=np.float32)
        body[10] = Y[0] >= -60.0
        got = depth_mm(body, (AXES[0], AXES[1], AXES[2]), beam(0.0))
        assert got[10].max() > 150.0
        assert not got[:10].any()
        assert not got[11:].any()
