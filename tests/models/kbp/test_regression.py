"""Stepwise regression and outlier statistics against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from models.kbp.regression import fit, influence, stepwise


def data(n: int = 60, m: int = 8, seed: int = 0) -> tuple[np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, m)), rng


def test_the_features_that_made_the_target_are_found_with_their_coefficients() -> None:
    x, rng = data(n=80)
    y = 1.5 + 2.0 * x[:, 3] - 0.7 * x[:, 6] + rng.normal(scale=0.1, size=80)
    found = stepwise(x, y)
    assert found.chosen[:2] == (3, 6)
    assert found.coefficients[:3] == pytest.approx([1.5, 2.0, -0.7], abs=0.05)
    assert found.sigma == pytest.approx(0.1, rel=0.25)


def test_an_exact_line_takes_no_feature_more_than_it_needs() -> None:
    x, _ = data()
    found = stepwise(x, 3.0 * x[:, 2] - 1.0)
    assert found.chosen == (2,)
    assert found.sigma == pytest.approx(0.0, abs=1e-9)


def test_a_feature_that_another_pair_replaces_leaves_again() -> None:
    """The sum of two features, with noise, joins first; once both are in, it says nothing more."""
    x, rng = data(n=300, m=2)
    both = np.column_stack([x.sum(axis=1) + rng.normal(scale=0.3, size=300), x])
    found = stepwise(both, x.sum(axis=1) + rng.normal(scale=0.05, size=300))
    assert set(found.chosen) == {1, 2}


def test_without_features_it_is_mean_and_standard_deviation() -> None:
    y = np.array([1.0, 2.0, 4.0, 9.0])
    found = stepwise(np.zeros((4, 0)), y)
    assert found.chosen == ()
    assert found.coefficients == pytest.approx([4.0])
    assert found.sigma == pytest.approx(y.std(ddof=1))
    assert found.inverse_normal == pytest.approx(np.array([[0.25]]))


def test_few_plans_do_not_get_many_features() -> None:
    """Any 19 features explain 20 numbers; one feature for ten plans is all that is taken."""
    x, rng = data(n=20, m=19)
    y = x @ rng.normal(size=19)
    assert len(stepwise(x, y).chosen) <= 2


def test_outlier_statistics_are_what_leaving_a_plan_out_does() -> None:
    """The definitions: leverage by moving an observation, the rest by fitting again without the plan."""
    x, rng = data(n=25, m=2)
    y = 0.5 + x @ np.array([1.0, -2.0]) + rng.normal(scale=0.3, size=25)
    of = fit(x, y, (0, 1))
    found = influence(x, y, of)
    k = 3
    for i in range(25):
        kept = np.arange(25) != i
        without = fit(x[kept], y[kept], (0, 1))
        all_fitted = np.column_stack([np.ones(25), x]) @ without.coefficients
        cook = ((found.fitted - all_fitted) ** 2).sum() / (k * of.sigma**2)
        assert found.cooks_distance[i] == pytest.approx(cook)
        residual = y[i] - found.fitted[i]
        assert found.residual[i] == pytest.approx(residual)
        expected = residual / (without.sigma * np.sqrt(1.0 - found.leverage[i]))
        assert found.studentized[i] == pytest.approx(expected)
        moved = y.copy()
        moved[i] += 1.0
        again = influence(x, moved, fit(x, moved, (0, 1)))
        assert found.leverage[i] == pytest.approx(again.fitted[i] - found.fitted[i])
    assert found.leverage.sum() == pytest.approx(k)


def test_a_plan_off_the_line_stands_out_by_its_residual_and_a_strange_one_by_its_leverage() -> None:
    x = np.linspace(-1.0, 1.0, 30)[:, None]
    y = 2.0 * x[:, 0] + 0.01 * np.cos(40.0 * x[:, 0])
    y[14] += 1.0
    x[29] = 12.0
    y[29] = 24.0
    found = influence(x, y, fit(x, y, (0,)))
    assert np.abs(found.studentized).argmax() == 14
    assert found.leverage.argmax() == 29
    assert found.leverage[29] > 0.9
