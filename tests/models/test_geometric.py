"""The geometric model against distances that are known in closed form."""

from __future__ import annotations

import time

import numpy as np
import pytest

from bridge.rt.case import Anatomy
from bridge.rt.volume import Mask
from models.geometric.distance import axial_gap_mm, solid_voxels, surface_distance_mm
from models.geometric.model import GeometricModel
from models.geometric.parameters import GeometricParameters
from models.preference import NEUTRAL
from models.registry import load_model
from tests.models.anatomies import box_anatomy, grid_of

P = GeometricParameters(
    near_weight=0.8, near_mm=15.0, far_mm=100.0, axial_stretch=2.0, axial_mm=6.0, scale=1.03, sparing={"Parotid_L": 0.6}
)
WHOLE = slice(None)
ALL = (WHOLE, WHOLE, WHOLE)


def dose_of(anatomy: Anatomy) -> np.ndarray:
    return GeometricModel(P).prepare(anatomy).estimate(NEUTRAL).dose_gy


def expected_gy(level_gy: float, r_mm: float, gap_mm: float = 0.0) -> float:
    fall_off = 0.8 * np.exp(-r_mm / 15.0) + 0.2 * np.exp(-r_mm / 100.0)
    return float(1.03 * level_gy * fall_off * np.exp(-((gap_mm / 6.0) ** 2)))


@pytest.mark.parametrize("spacing_mm", [(3.0, 2.0, 2.5), (1.0, 1.0, 1.0), (5.0, 0.7, 4.0)])
@pytest.mark.parametrize(("axis", "step"), [(1, 1), (2, 2)])
def test_a_slab_in_plane(spacing_mm: tuple[float, float, float], axis: int, step: int) -> None:
    """A slab over all slices and one whole in-plane axis: r is the distance from its face."""
    shape = (4, 40, 40)
    where = [WHOLE, WHOLE, WHOLE]
    where[axis] = slice(0, 10)
    dose = dose_of(box_anatomy({"PTV": (60.0, tuple(where))}, shape, spacing_mm, body=ALL))
    along = np.moveaxis(dose, axis, 0)[:, 1, 5]
    wanted = [expected_gy(60.0, max(0.0, (i - 9.5) * spacing_mm[step])) for i in range(40)]
    np.testing.assert_allclose(along, wanted, rtol=1e-5)


def test_a_slab_of_slices() -> None:
    """Above the last slice both the stretched distance and the axial fall-off count."""
    dose = dose_of(box_anatomy({"PTV": (60.0, (slice(0, 5), WHOLE, WHOLE))}, (20, 6, 6), (3.0, 2.0, 2.0), body=ALL))
    gaps = [max(0.0, (k - 4.5) * 3.0) for k in range(20)]
    np.testing.assert_allclose(dose[:, 3, 3], [expected_gy(60.0, 2.0 * gap, gap) for gap in gaps], rtol=1e-5)


def test_a_sphere() -> None:
    """In the plane of its centre a sphere of radius R is at r = rho - R, to the resolution of the voxels."""
    grid = grid_of((41, 61, 61), (1.0, 1.0, 1.0))
    z, y, x = np.indices(grid.shape) - np.array([20, 30, 30])[:, None, None, None]
    sphere = Mask((x**2 + y**2 + z**2 <= 10.5**2).astype(np.float32), grid)
    body = Mask(np.ones(grid.shape, dtype=np.float32), grid)
    dose = dose_of(Anatomy(grid, None, body, {"PTV": sphere}, {"PTV": 70.0}))
    rho = np.hypot(y[20], x[20])
    outside = rho > 12
    wanted = np.vectorize(expected_gy)(70.0, rho[outside] - 10.5)
    # steepest fall-off 4 Gy/mm, surface known to half the diagonal of a voxel
    np.testing.assert_allclose(dose[20][outside], wanted, atol=0.71 * 4.0)
    # boxes of voxels stand out from a curved surface: at most 0.2 mm on average
    assert 0.0 < float(np.mean(dose[20][outside] - wanted)) < 0.2 * 4.0


def test_the_strongest_level_counts_and_overlaps_take_the_higher() -> None:
    high, low = (WHOLE, WHOLE, slice(0, 10)), (WHOLE, WHOLE, slice(0, 30))
    dose = dose_of(box_anatomy({"low": (50.0, low), "high": (70.0, high)}, (4, 8, 60), (2.0, 2.0, 2.0), body=ALL))
    wanted = [
        max(expected_gy(70.0, max(0.0, (i - 9.5) * 2.0)), expected_gy(50.0, max(0.0, (i - 29.5) * 2.0)))
        for i in range(60)
    ]
    np.testing.assert_allclose(dose[2, 4], wanted, rtol=1e-5)


def test_targets_of_one_level_are_one() -> None:
    left, right = (WHOLE, WHOLE, slice(0, 4)), (WHOLE, WHOLE, slice(16, 20))
    two = dose_of(box_anatomy({"a": (60.0, left), "b": (60.0, right)}, (4, 8, 20), body=ALL))
    np.testing.assert_array_equal(two[..., :10], two[..., :9:-1])


def test_organs_are_spared_outside_the_targets_only() -> None:
    target, organ = (WHOLE, WHOLE, slice(0, 10)), (WHOLE, WHOLE, slice(5, 20))
    plain = dose_of(box_anatomy({"PTV": (60.0, target)}, (4, 8, 30), body=ALL))
    spared = dose_of(box_anatomy({"PTV": (60.0, target)}, (4, 8, 30), organs={"Parotid_L": organ}, body=ALL))
    ratio = spared / plain
    np.testing.assert_allclose(ratio[..., :10], 1.0)
    np.testing.assert_allclose(ratio[..., 10:20], 0.6, rtol=1e-6)
    np.testing.assert_allclose(ratio[..., 20:], 1.0)


def test_there_is_no_dose_outside_the_body() -> None:
    anatomy = box_anatomy({"PTV": (60.0, (slice(2, 6), slice(4, 8), slice(4, 20)))})
    dose = dose_of(anatomy)
    assert (dose > 0).tolist() == (anatomy.body.values >= 0.5).tolist()


def test_a_finer_grid_gives_the_same_dose() -> None:
    """The same boxes on a grid of half the spacing: means over the coarse voxels agree."""
    coarse_box = (slice(2, 6), slice(4, 8), slice(4, 12))
    fine_box = tuple(slice(2 * s.start, 2 * s.stop) for s in coarse_box)
    coarse = dose_of(box_anatomy({"PTV": (60.0, coarse_box)}, (10, 16, 30), (3.0, 2.0, 2.0), body=ALL))
    fine = dose_of(box_anatomy({"PTV": (60.0, fine_box)}, (20, 32, 60), (1.5, 1.0, 1.0), body=ALL))
    averaged = fine.reshape(10, 2, 16, 2, 30, 2).mean(axis=(1, 3, 5))
    assert np.abs(averaged - coarse)[2:6].max() < 0.6
    assert abs(float((averaged - coarse)[2:6].mean())) < 0.1


def test_a_structure_thinner_than_a_voxel_does_not_vanish() -> None:
    fractions = np.zeros((5, 9, 9), dtype=np.float32)
    fractions[:, :, 4] = 0.3  # a sheet of 0.3 voxels
    fractions[:, :, 5] = 0.1
    solid = solid_voxels(fractions)
    assert solid[:, :, 4].all()
    assert not solid[:, :, 5].any()


def test_a_thin_tail_of_a_thick_structure_does_not_vanish() -> None:
    fractions = np.zeros((3, 9, 20), dtype=np.float32)
    fractions[:, 2:7, 0:5] = 1.0
    fractions[:, 2:7, 5] = 0.4  # partial voxels beside the thick part stay out
    fractions[1, 4, 6:15] = 0.2  # the tail
    solid = solid_voxels(fractions)
    assert solid[:, 2:7, 0:5].all()
    assert not solid[:, :, 5].any()
    assert solid[1, 4, 7:15].all()
    assert solid.sum() == 75 + solid[1, 4, 6:15].sum()


def test_a_thin_target_gets_its_dose() -> None:
    grid = grid_of((5, 9, 9), (2.0, 2.0, 2.0))
    fractions = np.zeros(grid.shape, dtype=np.float32)
    fractions[2, 4, 2:7] = 0.05
    body = Mask(np.ones(grid.shape, dtype=np.float32), grid)
    predicted = load_model("geometric").predict(
        Anatomy(grid, None, body, {"PTV": Mask(fractions, grid)}, {"PTV": 60.0})
    )
    assert float(predicted.dose.values[2, 4, 4]) == pytest.approx(60.0, rel=0.05)


def test_distances_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    voxels = rng.random((5, 7, 6)) > 0.93
    spacing = (3.0, 1.0, 2.0)
    got = surface_distance_mm(voxels, spacing, 1.5, np.ones_like(voxels)).reshape(voxels.shape)
    step = np.array([4.5, 1.0, 2.0])
    for index in np.ndindex(voxels.shape):
        apart = np.abs(np.argwhere(voxels) - index)
        centres = np.linalg.norm(apart * step, axis=1)
        boxes = np.linalg.norm(np.maximum(apart - 0.5, 0.0) * step, axis=1)
        nearest = np.isclose(centres, centres.min())
        assert np.isclose(boxes[nearest], got[index], rtol=1e-5, atol=1e-6).any()


def test_gaps_start_at_the_faces_of_the_outer_slices() -> None:
    voxels = np.zeros((8, 2, 2), dtype=bool)
    voxels[3:5, 0, 0] = True
    np.testing.assert_allclose(axial_gap_mm(voxels, 2.0), [5, 3, 1, 0, 0, 1, 3, 5])


def test_a_clinical_grid_takes_little_time() -> None:
    """2.5 mm, 110 x 200 x 200, three levels: 2.5 s is the aim on a quiet core; the bound leaves room for a busy one."""
    shape = (110, 200, 200)
    anatomy = box_anatomy(
        {
            "PTV_7000": (70.0, (slice(40, 60), slice(80, 110), slice(90, 120))),
            "PTV_6300": (63.0, (slice(30, 70), slice(70, 115), slice(70, 85))),
            "PTV_5600": (56.0, (slice(20, 80), slice(75, 115), slice(125, 140))),
        },
        shape,
        (2.5, 2.5, 2.5),
        organs={"Parotid_L": (slice(60, 75), slice(80, 100), slice(145, 155))},
        body=(slice(0, 110), slice(20, 180), slice(10, 190)),
    )
    predictor = load_model("geometric")
    started = time.process_time()
    predictor.predict(anatomy)
    assert time.process_time() - started < 5.0
