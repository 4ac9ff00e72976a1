"""What steps tell of a function: against the recursion by which BFGS is defined, and the conditions of a minimum."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.curvature import Pair, Parabola, pair


def convex(seed: int, size: int = 12) -> tuple[FloatArray, FloatArray]:
    """Give a positive definite Hessian, and steps."""
    random = np.random.default_rng(seed)
    root = random.normal(size=(size, size))
    return root @ root.T + 0.1 * np.eye(size), random.normal(size=(6, size))


def pairs_of(hessian: FloatArray, steps: FloatArray) -> list[Pair]:
    return [found for step in steps if (found := pair(step, hessian @ step)) is not None]


def dense(parabola: Parabola, size: int) -> FloatArray:
    return np.stack([parabola.turn(way) for way in np.eye(size)], axis=1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_parabola_is_that_of_the_bfgs_recursion(seed: int) -> None:
    hessian, steps = convex(seed)
    pairs = pairs_of(hessian, steps)
    flatness = np.random.default_rng(seed).uniform(0.5, 2.0, 12)
    last = pairs[-1][1]
    expected = np.diag(float(last @ (flatness * last)) / flatness)
    for moved, turned in pairs:
        bent = expected @ moved
        expected += np.outer(turned, turned) / (turned @ moved) - np.outer(bent, bent) / (moved @ bent)
    found = dense(Parabola(pairs, flatness), 12)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found @ steps[-1], hessian @ steps[-1], rtol=1e-8)  # the last step is told exactly


@pytest.mark.parametrize("seed", range(6))
def test_the_way_down_ends_where_the_parabola_is_lowest_within_the_bounds(seed: int) -> None:
    hessian, steps = convex(seed)
    parabola = Parabola(pairs_of(hessian, steps), np.ones(12))
    random = np.random.default_rng(seed)
    here, gradient = np.maximum(random.normal(size=12), 0.0), 5.0 * random.normal(size=12)
    there = here + (way := parabola.way_down(here, gradient))
    slope = gradient + parabola.turn(way)
    at_zero = there == 0.0  # exactly: what is used of a field is told by it
    assert 1 <= np.count_nonzero(at_zero) <= 11
    assert there.min() >= 0.0
    np.testing.assert_allclose(slope[~at_zero], 0.0, atol=1e-8)
    assert slope[at_zero].min() > -1e-8


def test_a_step_on_which_the_function_does_not_bend_upwards_tells_nothing() -> None:
    step = np.array([1.0, 2.0])
    assert pair(step, -step) is None
    assert pair(step, np.zeros(2)) is None
    assert pair(step, np.array([2.0, -1.0])) is None
    told = pair(step, 3.0 * step)
    assert told is not None
    assert float(told[0] @ told[1]) == pytest.approx(1.0)
