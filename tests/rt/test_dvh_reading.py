"""What a DVH says when it is asked: doses at volumes, volumes at doses, steps, gEUD."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import StructureRefusal
from tests.solids import (
    GradientAxis,
    circle,
    grid_around,
    prism,
    uniform_dose,
)

CAPPED, UNCAPPED = DvhPolicy(end_caps="half_slice"), DvhPolicy(end_caps="none")
GRADIENTS: dict[GradientAxis, tuple[float, float, float]] = {"y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
PROPERTIES = settings(max_examples=30, deadline=None, derandomize=True, database=None)


def staircase(doses_gy: list[float], cc: float = 1.0) -> Dvh:
    doses = np.array(doses_gy, dtype=np.float64)
    return Dvh(7, "Organ", doses, np.full(len(doses), cc), cc * len(doses), DvhPolicy())


class TestReading:
    rising = staircase([(k + 0.5) / 100.0 for k in range(10_000)], cc=0.001)
    """10 cc, doses evenly from 0 to 100 Gy."""

    def test_dose_at_volume(self) -> None:
        for percent in (2.0, 5.0, 50.0, 95.0, 98.0):
            assert self.rising.dose_at_percent(percent) == pytest.approx(100.0 - percent, abs=1e-6)
        assert self.rising.dose_at_cc(0.03) == pytest.approx(99.7)
        assert self.rising.dose_at_cc(9.9) == pytest.approx(1.0)

    def test_it_ends_at_the_extremes(self) -> None:
        assert self.rising.dose_at_percent(0.0) == self.rising.max_gy == 99.995
        assert self.rising.dose_at_percent(100.0) == self.rising.min_gy == 0.005
        assert self.rising.dose_at_cc(11.0) == self.rising.min_gy

    def test_volume_at_dose(self) -> None:
        for dose_gy in (5.0, 20.0, 99.0):
            assert self.rising.cc_at_dose(dose_gy) == pytest.approx((100.0 - dose_gy) / 10.0, abs=1e-6)
            assert self.rising.percent_at_dose(dose_gy) == pytest.approx(100.0 - dose_gy, abs=1e-5)
        assert self.rising.cc_at_dose(0.0) == pytest.approx(10.0)
        assert self.rising.cc_at_dose(100.0) == 0.0

    def test_steps(self) -> None:
        dvh = staircase([10.0] * 300 + [20.0] * 100, cc=0.01)
        assert dvh.percent_at_dose(10.0) == pytest.approx(100.0)
        assert dvh.percent_at_dose(15.0) == pytest.approx(25.0, abs=0.2)
        assert dvh.percent_at_dose(20.0) == pytest.approx(25.0, abs=0.2)
        assert dvh.percent_at_dose(20.1) == 0.0
        assert dvh.dose_at_percent(20.0) == 20.0
        assert dvh.dose_at_percent(30.0) == 10.0
        assert dvh.dose_at_percent(99.0) == 10.0
        assert dvh.mean_gy == pytest.approx(12.5)

    def test_unequal_volumes_weigh(self) -> None:
        dvh = Dvh(1, "Organ", np.array([10.0, 40.0]), np.array([3.0, 1.0]), 8.0, DvhPolicy())
        assert dvh.mean_gy == pytest.approx(17.5)
        assert dvh.coverage == pytest.approx(0.5)
        assert dvh.covered_cc == pytest.approx(4.0)
        # half of the 4 cc inside the dose grid, between the middles of the samples at 0.5 and 2.5 cc
        assert dvh.dose_at_percent(50.0) == pytest.approx(40.0 - 30.0 * 1.5 / 2.0)
        assert dvh.geud_gy(2.0) == pytest.approx(np.sqrt(0.75 * 100.0 + 0.25 * 1600.0))

    def test_the_curve_is_the_same_reading(self) -> None:
        volumes = np.array([0.0, 1.0, 33.3, 50.0, 100.0])
        expected = [self.rising.dose_at_percent(float(v)) for v in volumes]
        np.testing.assert_allclose(self.rising.curve(volumes), expected)

    def test_geud(self) -> None:
        assert self.rising.geud_gy(1.0) == pytest.approx(50.0)
        assert self.rising.geud_gy(8.0) == pytest.approx(100.0 * (1.0 / 9.0) ** (1.0 / 8.0), rel=1e-4)
        assert self.rising.geud_gy(200.0) == pytest.approx(100.0 * (1.0 / 201.0) ** (1.0 / 200.0), rel=1e-3)
        assert staircase([60.0] * 5).geud_gy(-10.0) == pytest.approx(60.0)
        assert staircase([0.0, 60.0]).geud_gy(-10.0) == 0.0
        assert staircase([0.0, 0.0]).geud_gy(4.0) == 0.0

    @pytest.mark.parametrize("a", [0.0, np.nan, np.inf])
    def test_geud_of_no_exponent(self, a: float) -> None:
        with pytest.raises(StructureRefusal) as refused:
            self.rising.geud_gy(a)
        assert refused.value.code == "geud-exponent"

    @pytest.mark.parametrize("percent", [-0.1, 100.1, np.nan])
    def test_a_volume_out_of_range_is_refused(self, percent: float) -> None:
        with pytest.raises(StructureRefusal) as refused:
            self.rising.dose_at_percent(percent)
        assert refused.value.code == "volume-range"

    @pytest.mark.parametrize("dose_gy", [1.0, 50.4, 60.0, 66.1, 70.0])
    def test_all_of_a_uniform_dose_is_at_that_dose(self, dose_gy: float) -> None:
        """Interpolation scatters it by rounding; V100% of a flat target must not depend on that."""
        disc = prism([circle(20.0)], np.arange(-15.0, 15.1, 3.0))
        dvh = compute_dvh(disc, uniform_dose(grid_around(36.0, (2.7, 3.1, 3.3)), dose_gy))
        assert dvh.percent_at_dose(dose_gy) == 100.0
        assert dvh.percent_at_dose(dose_gy + 1e-4) == 0.0
        assert dvh.max_gy - dvh.min_gy == 0.0
