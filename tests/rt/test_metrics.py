from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import StructureRefusal
from bridge.rt.metrics import hi_d5_d95, hi_icru83, organ_metrics, structure_metrics, target_metrics


def linear_dvh(low_gy: float, high_gy: float, cc: float = 10.0, samples: int = 20_000) -> Dvh:
    """Doses spread evenly from low to high: Dx% = high - x % of the range, VxGy the part of the range above x."""
    doses = low_gy + (np.arange(samples) + 0.5) / samples * (high_gy - low_gy)
    return Dvh(1, "Organ", doses, np.full(samples, cc / samples), cc, DvhPolicy())


def test_an_organ_is_measured_by_mean_near_maximum_and_volumes() -> None:
    metrics = structure_metrics(linear_dvh(0.0, 80.0))
    expected = {
        "mean_gy": 40.0, "D0.03cc_gy": 79.76, "D2%_gy": 78.4, "D50%_gy": 40.0, "D95%_gy": 4.0, "min_gy": 0.0,
        "max_gy": 80.0, "V5Gy_%": 93.75, "V10Gy_%": 87.5, "V20Gy_%": 75.0, "V30Gy_%": 62.5, "V40Gy_%": 50.0,
        "V50Gy_%": 37.5, "V60Gy_%": 25.0,
    }  # fmt: skip
    assert metrics == pytest.approx(expected, abs=0.003)
    assert list(metrics) == list(expected)
    assert metrics == organ_metrics(linear_dvh(0.0, 80.0))


def test_a_target_is_measured_by_coverage_extremes_and_homogeneity() -> None:
    """56 to 66 Gy for 60 Gy prescribed."""
    metrics = structure_metrics(linear_dvh(56.0, 66.0), prescribed_gy=60.0)
    expected = {
        "mean_gy": 61.0, "D99%_gy": 56.1, "D98%_gy": 56.2, "D95%_gy": 56.5, "D50%_gy": 61.0, "D5%_gy": 65.5,
        "D2%_gy": 65.8, "D1%_gy": 65.9, "D0.03cc_gy": 65.97, "min_gy": 56.0, "max_gy": 66.0, "V95%Rx_%": 90.0,
        "V100%Rx_%": 60.0, "V107%Rx_%": 18.0, "hi_icru83": 9.6 / 61.0, "hi_d5_d95": 65.5 / 56.5,
    }  # fmt: skip
    assert metrics == pytest.approx(expected, abs=0.003)
    assert list(metrics) == list(expected)
    assert metrics == target_metrics(linear_dvh(56.0, 66.0), 60.0)


def test_the_two_homogeneity_indices_are_ideal_for_a_uniform_dose() -> None:
    uniform = linear_dvh(60.0, 60.0)
    assert hi_icru83(uniform) == 0.0
    assert hi_d5_d95(uniform) == 1.0
    assert hi_icru83(linear_dvh(0.0, 100.0)) == pytest.approx(1.92, abs=1e-3)
    assert hi_d5_d95(linear_dvh(0.0, 100.0)) == pytest.approx(19.0, abs=0.01)


def test_homogeneity_is_relative_to_the_median_not_the_mean() -> None:
    """A cold fifth: D98 = 40, D2 = D50 = 60, mean = 56 Gy."""
    doses = np.repeat([40.0, 60.0], [200, 800])
    skewed = Dvh(1, "PTV", doses, np.full(1000, 0.01), 10.0, DvhPolicy())
    assert skewed.mean_gy == pytest.approx(56.0)
    assert hi_icru83(skewed) == pytest.approx(20.0 / 60.0)


def test_without_dose_a_homogeneity_index_is_not_a_number() -> None:
    cold = linear_dvh(0.0, 0.0)
    assert np.isnan(hi_icru83(cold))
    assert np.isnan(hi_d5_d95(cold))


@pytest.mark.parametrize("prescribed_gy", [None, 60.0])
def test_an_empty_dvh_has_no_metrics(prescribed_gy: float | None) -> None:
    nothing = Dvh(3, "Lens_L", np.zeros(0), np.zeros(0), 0.2, DvhPolicy())
    with pytest.raises(StructureRefusal, match="Lens_L") as refused:
        structure_metrics(nothing, prescribed_gy)
    assert refused.value.code == "dvh-empty"


def test_geud_of_cold_and_hot_spots_does_not_overflow() -> None:
    """(1e-5, 30, 70) Gy in equal parts: with a = -100 only the coldest third counts, 1e-5 x 3^(1/100)."""
    cold = Dvh(1, "PTV", np.array([1e-5, 30.0, 70.0]), np.ones(3), 3.0, DvhPolicy())
    assert cold.geud_gy(-100.0) == pytest.approx(1e-5 * 3.0**0.01, rel=1e-9)
    zero = Dvh(1, "PTV", np.array([0.0, 30.0, 70.0]), np.ones(3), 3.0, DvhPolicy())
    assert zero.geud_gy(-10.0) == 0.0
