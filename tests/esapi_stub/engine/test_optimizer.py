"""The optimizer against closed forms and scipy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.optimizer import Point, StoppingRule, minimize, minimize_together

THOROUGH = StoppingRule(max_iterations=2000, relative_decrease=1e-13, over_iterations=10)


def least_squares(matrix: FloatArray, wanted: FloatArray, fluence: FloatArray) -> tuple[float, FloatArray]:
    missing = matrix @ fluence - wanted
    return float(missing @ missing), 2.0 * matrix.T @ missing


@dataclass
class Counted:
    """Functions of which everything always matters, and how many were asked for at once."""

    functions: Sequence[Callable[[FloatArray], Point]]
    calls: list[int] = field(default_factory=list)

    def bends(self, fluences: FloatArray) -> FloatArray:
        return np.ones_like(fluences)

    def whole(self, fluences: FloatArray, which: Sequence[int]) -> list[Point]:
        self.calls.append(len(which))
        return [self.functions[number](fluence) for number, fluence in zip(which, fluences, strict=True)]

    near = whole


def problem(seed: int, rows: int = 60, columns: int = 25) -> tuple[FloatArray, FloatArray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, columns)) + 0.3, random.normal(size=rows)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_finds_the_non_negative_least_squares_solution(seed: int) -> None:
    matrix, wanted = problem(seed)
    exact, residual = optimize.nnls(matrix, wanted)
    found = minimize(lambda x: least_squares(matrix, wanted, x), np.ones(25), THOROUGH)
    assert 3 < np.count_nonzero(exact == 0.0) < 22  # the bound must matter
    assert found.value == pytest.approx(residual**2, rel=1e-6)
    np.testing.assert_allclose(found.fluence, exact, atol=1e-4)
    assert found.fluence.min() >= 0.0


def test_takes_no_more_evaluations_than_scipy_on_a_badly_scaled_problem() -> None:
    matrix, wanted = problem(5, rows=200, columns=80)
    matrix = matrix * np.logspace(-1.5, 0.5, 80)
    reference = optimize.minimize(
        lambda x: least_squares(matrix, wanted, x), np.ones(80), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 80,
        options={"maxiter": 5000, "maxfun": 10000, "ftol": 1e-12},
    )  # fmt: skip
    found = minimize(lambda x: least_squares(matrix, wanted, x), np.ones(80), THOROUGH)
    assert found.value <= reference.fun * (1.0 + 1e-5)
    assert found.evaluations <= 2 * reference.nfev


def treatment() -> tuple[Callable[[FloatArray], Point], FloatArray]:
    """Give nine beams on a target in a disc beside an organ, in a plane, and an even fluence.

    Half of the beamlets are at 0 in the end, and no fluence has all that is asked for.
    """
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(-56.0, 57.0, 4.0), np.arange(-56.0, 57.0, 4.0)))
    x, y = x[inside := np.hypot(x, y) < 57.0], y[inside]
    target, organ = np.hypot(x + 8.0, y + 8.0) < 18.0, np.hypot(x - 14.0, y - 10.0) < 10.0
    rest = ~target & ~organ
    columns = []
    for angle in np.deg2rad(40.0 * np.arange(9)):
        beside, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        for axis in np.arange(-32.0, 33.0, 4.0):
            off = np.abs(beside - axis)
            if (off[target] < 4.0).any():
                columns.append(np.exp(-0.005 * along) * (np.exp(-(off**2) / 32.0) + 0.03 * np.exp(-off / 15.0)))
    matrix = np.stack(columns, axis=1)
    limit = np.select([target, organ], [73.5, 20.0], 35.0)
    weight = 100.0 * target / target.sum() + 20.0 * organ / organ.sum() + 30.0 * rest / rest.sum()

    def penalty(fluence: FloatArray) -> Point:
        dose = matrix @ fluence
        wrong = np.maximum(dose - limit, 0.0) + target * np.minimum(dose - 70.0, 0.0)
        return float(weight @ wrong**2), matrix.T @ (2.0 * weight * wrong)

    return penalty, np.full(matrix.shape[1], 70.0 / matrix[target].sum(axis=1).mean())


def test_a_treatment_is_optimized_in_fewer_evaluations_than_by_scipy() -> None:
    penalty, start = treatment()
    values: list[float] = []

    def told(fluence: FloatArray) -> Point:
        value, slope = penalty(fluence)
        values.append(value)
        return value, slope

    reference = optimize.minimize(
        penalty, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(start), options={"ftol": 1e-6}
    )
    found = minimize(told, start, THOROUGH)
    assert 0.3 < np.mean(found.fluence == 0.0) < 0.7
    assert int(np.argmax(np.array(values) <= reference.fun)) < 0.8 * reference.nfev
    by_default = minimize(penalty, start, StoppingRule())
    assert by_default.value <= 1.0003 * found.value
    assert by_default.value < reference.fun
    assert by_default.evaluations < 1.2 * reference.nfev


def test_history_descends_and_says_what_was_done() -> None:
    matrix, wanted = problem(4)
    found = minimize(lambda x: least_squares(matrix, wanted, x), np.ones(25), THOROUGH)
    assert found.history[0] == least_squares(matrix, wanted, np.ones(25))[0]
    assert (np.diff(found.history) < 0).all()
    assert found.value == found.history[-1] == least_squares(matrix, wanted, found.fluence)[0]
    assert 10 * (len(found.history) - 3) < found.iterations < found.evaluations
    assert found.stop == "converged"


def test_stops_at_once_where_the_start_is_the_minimum() -> None:
    found = minimize(lambda x: (float(x @ x), 2.0 * x), np.zeros(3), THOROUGH)
    assert (found.value, found.iterations, found.evaluations, found.stop) == (0.0, 0, 1, "converged")


@dataclass
class Jittery:
    """Half a square, each time a little more than before: as sums come out in another order."""

    calls: int = 0

    def bends(self, fluences: FloatArray) -> FloatArray:
        return np.ones_like(fluences)

    def whole(self, fluences: FloatArray, _: Sequence[int]) -> list[Point]:
        self.calls += 1
        assert self.calls < 100, "it never ends"
        return [(1.0 + 1e-15 * self.calls + 0.5 * float(fluence @ fluence), fluence) for fluence in fluences]

    near = whole


def test_ends_at_the_minimum_also_where_the_value_there_is_not_twice_the_same() -> None:
    (found,) = minimize_together(Jittery(), np.zeros((1, 3)), [0.0], THOROUGH, lambda *_: None, lambda: False)
    assert (found.iterations, found.stop) == (0, "converged")


def test_a_warm_start_is_quicker() -> None:
    matrix, wanted = problem(6, rows=200, columns=80)
    matrix = matrix * np.logspace(-1.5, 0.5, 80)
    cold = minimize(lambda x: least_squares(matrix, wanted, x), np.ones(80), THOROUGH)
    warm = minimize(lambda x: least_squares(matrix, 1.001 * wanted, x), cold.fluence, StoppingRule())
    assert warm.iterations < cold.iterations / 2


def test_stops_after_the_iterations_that_it_may_take() -> None:
    matrix, wanted = problem(1)
    found = minimize(lambda x: least_squares(matrix, wanted, x), np.ones(25), StoppingRule(max_iterations=3))
    assert (found.iterations, found.stop) == (3, "iterations")


def test_several_together_are_each_as_alone_and_share_the_evaluations() -> None:
    problems = [problem(seed) for seed in (1, 2, 3)]
    functions = Counted([lambda x, p=p: least_squares(*p, x) for p in problems])  # type: ignore[misc]
    together = minimize_together(functions, np.ones((3, 25)), [0.0] * 3, THOROUGH, lambda *_: None, lambda: False)
    for function, found in zip(functions.functions, together, strict=True):
        alone = minimize(function, np.ones(25), THOROUGH)
        np.testing.assert_array_equal(found.fluence, alone.fluence)
        assert found.history == alone.history
    assert sum(functions.calls) == sum(found.evaluations for found in together)
    assert 1.5 * len(functions.calls) < sum(functions.calls), "at least a third of the passes are saved"


def test_a_cancelled_one_gives_the_best_so_far_and_reports_on_the_way() -> None:
    matrix, wanted = problem(1)
    seen: list[tuple[int, float]] = []
    (found,) = minimize_together(
        Counted([lambda x: least_squares(matrix, wanted, x)]),
        np.ones((1, 25)),
        [0.0],
        StoppingRule(relative_decrease=0.0),
        lambda iteration, value: seen.append((iteration, value)),
        lambda: len(seen) >= 2,
    )
    assert found.stop == "cancelled"
    assert seen == [(0, found.history[0]), (10, found.history[1])]
    assert found.iterations == 10
    assert found.value == seen[-1][1] == least_squares(matrix, wanted, found.fluence)[0]


class Excess:
    """Mean square of what is above 1 in any row; between looks, in the rows that were above a limit at the last."""

    def __init__(self, matrix: FloatArray, wanted: FloatArray, limit: float) -> None:
        self.matrix, self.wanted, self.limit = matrix, wanted, limit
        self.rows = np.ones(len(matrix), dtype=bool)
        self.least = np.inf

    def value(self, x: FloatArray, rows: NDArray[np.bool_]) -> Point:
        over = np.maximum(self.matrix[rows] @ x - 1.0, 0.0)
        missing = x - self.wanted
        return float(over @ over + missing @ missing), 2.0 * (self.matrix[rows].T @ over + missing)

    def bends(self, fluences: FloatArray) -> FloatArray:
        return np.ones_like(fluences)

    def whole(self, fluences: FloatArray, _: Sequence[int]) -> list[Point]:
        point = self.value(fluences[0], np.ones(len(self.matrix), dtype=bool))
        rows = self.matrix @ fluences[0] > self.limit
        self.rows = rows | self.rows if point[0] > self.least else rows
        self.least = min(self.least, point[0])
        return [point]

    def near(self, fluences: FloatArray, _: Sequence[int]) -> list[Point]:
        return [self.value(fluences[0], self.rows)]


@pytest.mark.parametrize("limit", [0.0, 0.8, 1.0])
def test_what_is_left_out_between_looks_does_not_change_what_is_found(limit: float) -> None:
    """With the last limit there is no margin: what is left out matters at once, and has to be taken in again."""
    random = np.random.default_rng(9)
    matrix, wanted = random.uniform(size=(300, 20)), random.uniform(0.1, 1.0, 20)
    everything = Excess(matrix, wanted, -np.inf)
    start = np.zeros((1, 20))
    exact = minimize(lambda x: everything.whole(x[None], [0])[0], start[0], THOROUGH)
    functions = Excess(matrix, wanted, limit)
    (found,) = minimize_together(functions, start, [0.0], THOROUGH, lambda *_: None, lambda: False)
    assert found.value == pytest.approx(exact.value, rel=1e-6)
    assert found.value == everything.whole(found.fluence[None], [0])[0][0] == found.history[-1]
    np.testing.assert_allclose(found.fluence, exact.fluence, atol=1e-3)


def test_ends_when_the_value_is_as_good_as_the_minimum() -> None:
    random = np.random.default_rng(3)
    matrix = random.uniform(size=(60, 20))

    def excess(x: FloatArray) -> Point:
        """A one-sided penalty that many points make 0."""
        over = np.maximum(matrix @ x - 1.0, 0.0)
        return float(over @ over), 2.0 * (matrix.T @ over)

    ended = minimize(excess, np.ones(20), StoppingRule(relative_decrease=0.0), enough=1e-4)
    assert ended.stop == "converged"
    assert ended.value <= 1e-4 < ended.history[-2]
