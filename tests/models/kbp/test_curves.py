"""Curves against the project's DVH, and wholes against their parts."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.dvh import Dvh, DvhPolicy
from models.kbp.curves import VOLUMES_PERCENT, curve_of, joined


def test_a_curve_is_the_dvh_of_the_same_samples() -> None:
    rng = np.random.default_rng(1)
    dose, weight = rng.gamma(4.0, 8.0, size=700), rng.random(700)
    order = np.argsort(dose)
    dvh = Dvh(1, "x", dose[order], weight[order], float(weight.sum()), DvhPolicy())
    np.testing.assert_allclose(curve_of(dose, weight), dvh.curve(VOLUMES_PERCENT), atol=1e-9)


def test_the_mean_of_a_curve_is_the_mean_dose() -> None:
    dose = np.linspace(3.0, 60.0, 5000)
    assert curve_of(dose, np.ones(5000)).mean() == pytest.approx(dose.mean(), abs=1e-3)


def test_a_single_voxel_is_a_flat_curve() -> None:
    assert set(curve_of([42.0], [0.3])) == {42.0}


def test_two_uniform_parts_make_a_step_at_their_shares() -> None:
    whole = joined([(0.3, np.full(100, 60.0)), (0.7, np.full(100, 10.0))])
    assert set(whole[:29]) == {60.0}
    assert set(whole[31:]) == {10.0}


def test_one_part_is_the_whole_and_comes_out_in_order() -> None:
    curve = np.linspace(50.0, 5.0, 100)
    np.testing.assert_allclose(joined([(1.0, curve)]), curve, atol=1e-9)
    np.testing.assert_allclose(joined([(1.0, curve[::-1])]), curve, atol=1e-9)


def test_parts_of_a_whole_give_it_back() -> None:
    rng = np.random.default_rng(2)
    dose, weight = rng.gamma(4.0, 8.0, size=4000), rng.random(4000)
    part = rng.random(4000) < 0.4
    shares = [
        (float(weight[chosen].sum() / weight.sum()), curve_of(dose[chosen], weight[chosen])) for chosen in (part, ~part)
    ]
    apart = np.abs(joined(shares) - curve_of(dose, weight))
    assert apart[1:-1].max() < 0.5
    assert apart.mean() < 0.1
