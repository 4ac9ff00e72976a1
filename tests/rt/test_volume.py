from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.errors import GeometryRefusal, ModelRefusal
from bridge.rt.grid import Grid
from bridge.rt.volume import CtVolume, Dose, Mask, Volume
from tests.solids import FRAME, OTHER_FRAME, axial_orientations, oriented_grid, positions_of

UNIT = Grid.axial((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), FRAME)


def trilinear(positions: np.ndarray) -> np.ndarray:
    """A function that trilinear interpolation on any axial grid reproduces exactly, different along every axis."""
    x, y, z = positions[..., 0] / 10.0, positions[..., 1] / 10.0, positions[..., 2] / 10.0
    return np.asarray(50.0 + x - 2.0 * y + 3.0 * z + 0.5 * x * y - 0.25 * y * z + 0.125 * x * y * z)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    return np.asarray(np.linalg.qr(rng.normal(size=(3, 3)))[0])


class TestInterpolation:
    @pytest.mark.parametrize("name", axial_orientations())
    def test_between_voxels_a_trilinear_function_is_exact(self, name: str) -> None:
        grid = oriented_grid(axial_orientations()[name], (5, 7, 9), (4.0, 3.0, 2.0), (3.0, -5.0, 7.0))
        volume = Volume(trilinear(positions_of(grid)), grid)
        index = np.random.default_rng(1).uniform(0.0, 1.0, (200, 3)) * (np.array(grid.shape) - 1.0)
        points = grid.positions_mm(index)
        np.testing.assert_allclose(volume.at(points), trilinear(points), atol=1e-4)

    def test_it_reaches_the_outermost_voxel_centres_and_no_further(self) -> None:
        grid = Grid.axial((3, 4, 5), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0), FRAME)
        volume = Volume(np.ones(grid.shape), grid)
        corners = np.array([[10, 20, 30], [14, 26, 36]], dtype=float)
        np.testing.assert_array_equal(volume.at(corners), [1.0, 1.0])
        beyond = np.concatenate([corners[0] - 0.01 * np.eye(3), corners[1] + 0.01 * np.eye(3)])
        assert np.isnan(volume.at(beyond)).all()
        np.testing.assert_array_equal(volume.at(beyond, outside=-7.0), np.full(6, -7.0))

    def test_a_single_slice_has_values_on_its_plane_only(self) -> None:
        volume = Volume(np.full((1, 3, 3), 4.0), Grid.axial((1, 3, 3), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), FRAME))
        assert volume.at(np.array([[1.0, 1.0, 0.0]]))[0] == 4.0
        assert np.isnan(volume.at(np.array([[1.0, 1.0, 0.1]]))[0])


class TestResampling:
    @pytest.mark.parametrize("name", axial_orientations())
    def test_a_trilinear_function_survives_a_change_of_orientation_and_spacing(self, name: str) -> None:
        source = oriented_grid(axial_orientations()[name], (9, 11, 13), (3.0, 2.5, 2.0), (3.0, -5.0, 7.0))
        to = Grid.axial((7, 8, 9), (2.0, 1.5, 1.0), (-1.0, -10.0, 1.0), FRAME)
        there = Dose(trilinear(positions_of(source)), source).resampled(to, outside=0.0)
        assert isinstance(there, Dose)
        assert there.grid is to
        np.testing.assert_allclose(there.values, trilinear(positions_of(to)), atol=1e-4)

    def test_it_is_interpolation_at_the_new_positions(self) -> None:
        rng = np.random.default_rng(2)
        for _ in range(20):
            source = oriented_grid(random_rotation(rng), (4, 5, 6), (4.0, 3.0, 2.0), (10.0, 0.0, -5.0))
            to = oriented_grid(random_rotation(rng), (6, 5, 7), (2.0, 3.0, 2.5), (12.0, 1.0, -4.0))
            volume = CtVolume(rng.normal(size=source.shape), source)
            expected = volume.at(positions_of(to).reshape(-1, 3), outside=-1000.0).reshape(to.shape)
            assert (expected == -1000.0).any()
            np.testing.assert_allclose(volume.resampled(to, outside=-1000.0).values, expected, atol=1e-4)

    def test_rounding_does_not_lose_the_outer_faces(self) -> None:
        """A finer grid between the same outermost voxel centres lies inside, face voxels included."""
        rng = np.random.default_rng(3)
        for _ in range(50):
            steps, spacing = random_rotation(rng), rng.uniform(0.5, 5.0, 3)
            centre = rng.uniform(-300.0, 300.0, 3)
            coarse = oriented_grid(steps, (3, 4, 5), tuple(spacing), tuple(centre))
            fine = oriented_grid(-steps, (5, 7, 9), tuple(spacing / 2.0), tuple(centre))
            resampled = Dose(np.full(coarse.shape, 60.0), coarse).resampled(fine, outside=0.0)
            np.testing.assert_allclose(resampled.values, 60.0, rtol=1e-6)

    def test_beyond_the_source_is_outside(self) -> None:
        source = Grid.axial((3, 3, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), FRAME)
        to = Grid.axial((5, 5, 5), (1.0, 1.0, 1.0), (-1.0, -1.0, -1.0), FRAME)
        expected = np.full((5, 5, 5), -1000.0)
        expected[1:4, 1:4, 1:4] = 40.0
        resampled = CtVolume(np.full((3, 3, 3), 40.0), source).resampled(to, outside=-1000.0)
        np.testing.assert_array_equal(resampled.values, expected)

    def test_a_matching_grid_keeps_every_value(self) -> None:
        values = np.random.default_rng(4).normal(size=(2, 2, 2)).astype(np.float32)
        nearly = Grid.axial((2, 2, 2), (1.0, 1.0, 1.0), (0.005, 0.0, 0.0), FRAME)
        resampled = CtVolume(values, UNIT).resampled(nearly, outside=0.0)
        np.testing.assert_array_equal(resampled.values, values)
        assert resampled.grid is nearly

    def test_another_frame_of_reference_is_refused(self) -> None:
        other = Grid.axial((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), OTHER_FRAME)
        with pytest.raises(GeometryRefusal) as refused:
            Volume(np.zeros((2, 2, 2)), UNIT).resampled(other, outside=0.0)
        assert refused.value.code == "frame-of-reference"


class TestValues:
    def test_they_are_the_volumes_own(self) -> None:
        given = np.zeros((2, 2, 2), dtype=np.float32)
        window = np.zeros((4, 4, 4), dtype=np.float32)[:2, :2, :2]
        for values in (given, window, given.view(np.ndarray), given.astype(np.float64)):
            volume = Volume(values, UNIT)
            values[0, 0, 0] = 5.0
            assert volume.values[0, 0, 0] == 0.0
            values[0, 0, 0] = 0.0
            with pytest.raises(ValueError, match="read-only"):
                volume.values[0, 0, 0] = 1.0

    def test_a_mapped_file_does_not_shine_through(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = tmp_path_factory.mktemp("map") / "values"
        mapped = np.memmap(path, dtype=np.float32, mode="w+", shape=(2, 2, 2))
        volume = Volume(mapped, UNIT)
        mapped[0, 0, 0] = 5.0
        assert volume.values[0, 0, 0] == 0.0

    def test_they_are_contiguous_float32_whatever_came(self) -> None:
        transposed = np.arange(8, dtype=np.int16).reshape(2, 2, 2).T
        volume = Volume(transposed, UNIT)
        assert volume.values.dtype == np.float32
        assert volume.values.flags.c_contiguous
        np.testing.assert_array_equal(volume.values, transposed)


class TestRefusals:
    @pytest.mark.parametrize("shape", [(2, 2, 3), (8,), (2, 2, 2, 1)])
    def test_another_shape_than_the_grids(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(GeometryRefusal, match=r"\(2, 2, 2\)") as refused:
            Volume(np.zeros(shape), UNIT)
        assert refused.value.code == "volume-shape"

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("kind", [CtVolume, Dose, Mask])
    def test_a_value_that_is_no_number(self, kind: type[Volume], value: float) -> None:
        values = np.zeros((2, 2, 2))
        values[1, 0, 1] = value
        with pytest.raises(GeometryRefusal) as refused:
            kind(values, UNIT)
        assert refused.value.code == "volume-not-finite"

    @pytest.mark.parametrize("fraction", [-1e-3, 1.001, 255.0])
    def test_a_mask_that_is_no_fraction(self, fraction: float) -> None:
        with pytest.raises(GeometryRefusal) as refused:
            Mask(np.full((2, 2, 2), fraction), UNIT)
        assert refused.value.code == "mask-range"

    @pytest.mark.parametrize("dose_gy", [-1e-6, -3.5])
    def test_a_negative_dose(self, dose_gy: float) -> None:
        values = np.full((2, 2, 2), 60.0)
        values[0, 1, 0] = dose_gy
        with pytest.raises(ModelRefusal) as refused:
            Dose(values, UNIT)
        assert refused.value.code == "dose-negative"
        assert f"{dose_gy:.3f} Gy" in refused.value.message


def test_masks_and_doses_reach_their_limits() -> None:
    mask = Mask(np.array([[[0.0, 1.0], [0.5, 0.25]], [[0.0, 0.0], [0.0, 0.0]]]), UNIT)
    assert mask.volume_cc == pytest.approx(1.75e-3)
    coarse = Grid.axial((2, 2, 2), (3.0, 2.0, 4.0), (0.0, 0.0, 0.0), FRAME)
    assert Mask(mask.values, coarse).volume_cc == pytest.approx(24.0 * 1.75e-3)
    assert Dose(np.zeros((2, 2, 2)), UNIT).maximum_gy == 0.0
    assert Dose(np.arange(8.0).reshape(2, 2, 2), UNIT).maximum_gy == 7.0
