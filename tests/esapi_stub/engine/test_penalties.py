"""Penalties: closed forms, and gradients against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.penalties import GeudPenalty, LimitPenalty, MeanPenalty, Penalty, PointPenalty

DOSE = np.array([10.0, 20.0, 30.0, 40.0])
EVEN = np.full(4, 0.25)
UNEVEN = np.array([0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("penalty", "share", "expected"),
    [
        # upper: (20-15)^2, (30-15)^2, (40-15)^2, a quarter each; 50 % may have more, so only the 20 is too much
        (PointPenalty("upper", 15.0, 0.0), EVEN, (25.0 + 225.0 + 625.0) / 4),
        (PointPenalty("upper", 15.0, 25.0), EVEN, (25.0 + 225.0) / 4),
        (PointPenalty("upper", 15.0, 50.0), EVEN, 25.0 / 4),
        (PointPenalty("upper", 15.0, 75.0), EVEN, 0.0),
        (PointPenalty("upper", 15.0, 40.0), UNEVEN, 0.2 * 25.0 + 0.3 * 225.0),
        (PointPenalty("upper", 40.0, 0.0), EVEN, 0.0),
        # lower: 98 % are to get 35; the coldest 2 % are allowed less than the one coldest voxel
        (PointPenalty("lower", 35.0, 100.0), EVEN, (625.0 + 225.0 + 25.0) / 4),
        (PointPenalty("lower", 35.0, 75.0), EVEN, (225.0 + 25.0) / 4),
        (PointPenalty("lower", 35.0, 50.0), EVEN, 25.0 / 4),
        (PointPenalty("lower", 35.0, 25.0), EVEN, 0.0),
        (PointPenalty("lower", 10.0, 100.0), EVEN, 0.0),
        (MeanPenalty(20.0), EVEN, 25.0),
        (MeanPenalty(25.0), EVEN, 0.0),
        (MeanPenalty(20.0), UNEVEN, 100.0),
        # a = 1 is the mean, a = 2 the root mean square, a = -1 the harmonic mean
        (GeudPenalty("upper", 20.0, 1.0), EVEN, 25.0),
        (GeudPenalty("upper", 20.0, 2.0), EVEN, (np.sqrt(750.0) - 20.0) ** 2),
        (GeudPenalty("lower", 25.0, -1.0), EVEN, (25.0 - 4.0 / (0.1 + 0.05 + 1.0 / 30.0 + 0.025)) ** 2),
        (GeudPenalty("lower", 20.0, 1.0), EVEN, 0.0),
        (GeudPenalty("exact", 20.0, 1.0), EVEN, 25.0),
        (GeudPenalty("exact", 30.0, 1.0), EVEN, 25.0),
        (LimitPenalty(np.array([5.0, 30.0, 20.0, 40.0])), EVEN, (25.0 + 100.0) / 4),
    ],
)
def test_values_are_those_of_the_closed_form(penalty: Penalty, share: FloatArray, expected: float) -> None:
    assert penalty(DOSE, share)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "penalty",
    [
        PointPenalty("upper", 25.0, 0.0),
        PointPenalty("upper", 25.0, 13.0),
        PointPenalty("lower", 45.0, 100.0),
        PointPenalty("lower", 45.0, 91.0),
        MeanPenalty(12.0),
        GeudPenalty("upper", 22.0, 8.0),
        GeudPenalty("lower", 55.0, -10.0),
        GeudPenalty("exact", 31.0, 0.5),
        LimitPenalty(np.linspace(5.0, 60.0, 40)),
    ],
)
def test_gradients_are_those_of_finite_differences(penalty: Penalty) -> None:
    random = np.random.default_rng(7)
    dose, share = random.uniform(1.0, 70.0, 40), random.uniform(0.1, 1.0, 40)
    share /= share.sum()
    value, gradient = penalty(dose, share)
    assert value > 0.0
    step = 1e-5
    for voxel in range(40):
        shift = step * (np.arange(40) == voxel)
        slope = (penalty(dose + shift, share)[0] - penalty(dose - shift, share)[0]) / (2.0 * step)
        assert gradient[voxel] == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("a", [100.0, -100.0])
def test_geud_of_extreme_parameters_and_of_no_dose_is_finite(a: float) -> None:
    for dose in (np.zeros(3), np.array([0.0, 70.0, 71.0]), np.full(3, 1e4)):
        value, gradient = GeudPenalty("exact", 50.0, a)(dose, np.full(3, 1.0 / 3.0))
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_geud_approaches_the_maximum() -> None:
    value, gradient = GeudPenalty("upper", 30.0, 100.0)(DOSE, EVEN)
    assert value == pytest.approx(10.0**2, rel=0.15)  # 40 Gy less the factor 4^(-1/100)
    assert gradient.argmax() == 3
    assert gradient[:3].max() < 1e-6 * gradient[3]


def test_a_point_follows_the_order_of_the_doses_not_of_the_voxels() -> None:
    shuffled = np.array([2, 0, 3, 1])
    value, gradient = PointPenalty("upper", 15.0, 25.0)(DOSE, EVEN)
    other, turned = PointPenalty("upper", 15.0, 25.0)(DOSE[shuffled], EVEN)
    assert other == value
    np.testing.assert_array_equal(turned, gradient[shuffled])


@pytest.mark.parametrize(
    "penalty",
    [
        PointPenalty("upper", 25.0, 0.0),
        PointPenalty("upper", 25.0, 13.0),
        PointPenalty("lower", 45.0, 100.0),
        PointPenalty("lower", 45.0, 91.0),
        MeanPenalty(12.0),
        GeudPenalty("upper", 22.0, 8.0),
        LimitPenalty(np.linspace(5.0, 60.0, 400)),
    ],
)
def test_what_does_not_count_changes_nothing_until_its_dose_changes_by_more_than_the_margin(penalty: Penalty) -> None:
    random = np.random.default_rng(11)
    dose, share = random.uniform(1.0, 70.0, 400), random.uniform(0.1, 1.0, 400)
    share /= share.sum()
    kept = penalty.counting(dose, 2.0)
    part = penalty.part(kept)
    assert isinstance(penalty, MeanPenalty | GeudPenalty) == kept.all()
    for moved in (dose, dose + random.uniform(-1.99, 1.99, 400)):
        value, gradient = penalty(moved, share)
        of_part, gradient_of_part = part(moved[kept], share[kept])
        assert of_part == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(gradient_of_part, gradient[kept], rtol=1e-12)
        assert not gradient[~kept].any()
