"""Differences of DVHs that are known because one was made from the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compare import agreement_percent, compare_dvhs
from bridge.rt.errors import StructureRefusal


def ramp(low_gy: float, high_gy: float, name: str = "Parotid_L") -> Dvh:
    """100 cc whose dose rises evenly: D(v) is a straight line."""
    doses = np.linspace(low_gy, high_gy, 20_001)
    return Dvh(4, name, doses, np.full(20_001, 100.0 / 20_001), 100.0, DvhPolicy())


def test_a_shifted_curve() -> None:
    found = compare_dvhs(ramp(10.0, 50.0), ramp(8.0, 48.0))
    assert found.mean_signed_gy == pytest.approx(-2.0, abs=1e-6)
    assert found.mean_abs_gy == pytest.approx(2.0, abs=1e-6)
    assert found.max_abs_gy == pytest.approx(2.0, abs=1e-6)
    assert found.std_over_curve_gy == pytest.approx(0.0, abs=1e-6)
    assert found.mean_dose_gy == pytest.approx(-2.0, abs=1e-6)
    assert found.d003cc_gy == pytest.approx(-2.0, abs=1e-6)


def test_a_steeper_curve_crosses_and_its_signs_cancel() -> None:
    """ΔD(v) runs from +10 at 0 % to -10 at 100 %: over 1 to 99 % its mean is 0, its mean size 4.95 Gy."""
    found = compare_dvhs(ramp(20.0, 40.0), ramp(10.0, 50.0))
    volumes = np.arange(1, 100)
    expected = 10.0 - 0.2 * volumes
    assert found.mean_signed_gy == pytest.approx(expected.mean(), abs=2e-3)
    assert found.mean_abs_gy == pytest.approx(np.abs(expected).mean(), abs=2e-3)
    assert found.max_abs_gy == pytest.approx(9.8, abs=2e-3)
    assert found.std_over_curve_gy == pytest.approx(expected.std(), abs=2e-3)


@pytest.mark.parametrize(("shift_gy", "passes"), [(0.0, True), (0.45, True), (1.3, False)])
def test_agreement_within_one_percent(shift_gy: float, passes: bool) -> None:
    """On a slope of 2.5 % volume a Gy a shift of s Gy is s / 0.5 in dose and 2.5 s in volume from the other curve."""
    found = agreement_percent(ramp(10.0, 50.0), ramp(10.0 + shift_gy, 50.0 + shift_gy))
    # below 10 and above 51.3 Gy both curves are flat and pass whatever the shift
    assert found == pytest.approx(100.0) if passes else found < 30.0


@pytest.mark.parametrize(
    "other",
    [
        ramp(10.0, 50.0, "Parotid_R"),
        replace(ramp(10.0, 50.0), policy=DvhPolicy("half_slice")),
        replace(ramp(10.0, 50.0), roi_number=5),
    ],
)
def test_what_cannot_be_compared_is_refused(other: Dvh) -> None:
    for compare in (compare_dvhs, agreement_percent):
        with pytest.raises(StructureRefusal) as refused:
            compare(ramp(10.0, 50.0), other)
        assert refused.value.code == "dvh-not-comparable"


def test_an_empty_dvh_is_refused() -> None:
    empty = Dvh(4, "Parotid_L", np.zeros(0), np.zeros(0), 0.0, DvhPolicy())
    with pytest.raises(StructureRefusal) as refused:
        compare_dvhs(ramp(10.0, 50.0), empty)
    assert refused.value.code == "dvh-empty"
