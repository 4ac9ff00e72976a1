"""Minimize functions of a fluence that must not be negative, several at once.

Each minimization asks for the value and gradient at one fluence after another, so that many of them can share one pass
over the influence matrix. A function may look at many voxels of which few matter where the fluence is. It is therefore
evaluated as a whole only every few steps; the steps between go by what mattered then. What ends a minimization, and
what it gives, are always values of the whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.curvature import Pair
from esapi_stub.engine.descent import Descent, Point, descend

__all__ = ["Functions", "Minimum", "Point", "Stop", "StoppingRule", "minimize", "minimize_together"]

Stop = Literal["converged", "iterations", "cancelled"]
"""Why a minimization ended."""

_PAIRS = 40
"""Steps that the method remembers; with half of them it takes an eighth more."""


class Functions(Protocol):
    """What is minimized, function by function."""

    def bends(self, fluences: FloatArray) -> FloatArray:
        """Give about how much each function bends along each beamlet ``(k, n)``, above 0: it makes the steps better."""

    def whole(self, fluences: FloatArray, which: Sequence[int]) -> Sequence[Point]:
        """Evaluate functions with these numbers at fluences ``(k, n)``."""

    def near(self, fluences: FloatArray, which: Sequence[int]) -> Sequence[Point]:
        """Evaluate them about as well and in less time, exactly where :meth:`whole` was last asked.

        Where it has since given more than the time before, they are to be the nearer to it.
        """


@dataclass(frozen=True)
class StoppingRule:
    """When a minimization ends.

    Attributes
    ----------
    max_iterations
        At the latest then.
    relative_decrease, over_iterations
        Earlier when so many iterations together lowered the function by less than this part of its value. As often, it
        is evaluated as a whole.
    """

    max_iterations: int = 300
    relative_decrease: float = 2e-4
    over_iterations: int = 10


@dataclass(frozen=True, eq=False)
class Minimum:
    """The best that a minimization found.

    Attributes
    ----------
    fluence
        Shape ``(n,)``, not negative.
    value
        Of the whole function there.
    iterations, evaluations
        Steps that led there, and how often the function was evaluated.
    history
        Values of the whole function at the start and every few steps; they descend.
    stop
        Why it ended.
    """

    fluence: FloatArray
    value: float
    iterations: int
    evaluations: int
    history: tuple[float, ...]
    stop: Stop


def minimize_together(
    functions: Functions,
    starts: FloatArray,
    enough: Sequence[float],
    rule: StoppingRule,
    progress: Callable[[int, float], None],
    is_cancelled: Callable[[], bool],
) -> tuple[Minimum, ...]:
    """Minimize several functions of a fluence; in each round all that go on are evaluated together.

    Parameters
    ----------
    functions
        As many as there are starts.
    starts
        Shape ``(k, n)``: where each minimization starts; negative values are taken for 0.
    enough
        Shape ``(k,)``: the value at which each function is as good as at its minimum.
    rule
        When to stop.
    progress
        Called with the steps of the slowest and the sum of the values when the functions were evaluated as a whole.
    is_cancelled
        Asked before every round but the first.
    """
    starts = np.maximum(starts, 0.0)
    bends = functions.bends(starts)
    runs = [_Run(starts[number], bends[number], value, rule) for number, value in enumerate(enough)]
    is_over, told = False, None
    while active := [run for run in runs if run.stop is None]:
        numbers = [runs.index(run) for run in active]
        points = functions.whole(np.stack([run.best for run in active]), numbers)
        for run, point in zip(active, points, strict=True):
            run.look(point, is_over)
        told = _tell(progress, runs, told)
        while not is_over and (walking := [run for run in active if run.is_walking]):
            is_over = is_cancelled()
            if is_over:
                break
            numbers = [runs.index(run) for run in walking]
            points = functions.near(np.stack([run.asked for run in walking]), numbers)
            for run, point in zip(walking, points, strict=True):
                run.answer(point)
    return tuple(run.minimum() for run in runs)


def _tell(
    progress: Callable[[int, float], None], runs: Sequence[_Run], told: tuple[int, float] | None
) -> tuple[int, float]:
    """Report how far it is, unless that was told already."""
    now = min(run.steps for run in runs), sum(run.history[-1] for run in runs)
    if now != told:
        progress(*now)
    return now


def minimize(
    function: Callable[[FloatArray], Point], start: FloatArray, rule: StoppingRule, enough: float = 0.0
) -> Minimum:
    """Minimize one function of a fluence."""
    return minimize_together(_One(function), start[None], [enough], rule, lambda *_: None, lambda: False)[0]


@dataclass(frozen=True)
class _One:
    """One function, of which everything always matters."""

    function: Callable[[FloatArray], Point]

    def bends(self, fluences: FloatArray) -> FloatArray:
        return np.ones_like(fluences)

    def whole(self, fluences: FloatArray, _: Sequence[int]) -> Sequence[Point]:
        return [self.function(fluences[0])]

    near = whole


class _Run:
    """One minimization, and where it has come to."""

    def __init__(self, start: FloatArray, bend: FloatArray, enough: float, rule: StoppingRule) -> None:
        self._flatness = 1.0 / bend
        self._enough = enough
        self._rule = rule
        self._pairs: deque[Pair] = deque(maxlen=_PAIRS)
        self._descent: Descent | None = None
        self._sure: tuple[FloatArray, Point, int] | None = None
        self._value = np.inf
        self._taken = self._all_taken = 0
        self.best = self.asked = start
        self.history: list[float] = []
        self.steps = self.evaluations = 0
        self.stop: Stop | None = None

    @property
    def is_walking(self) -> bool:
        """Whether it goes on before the function is evaluated as a whole."""
        return (
            self.stop is None
            and self._descent is not None
            and self._taken < self._rule.over_iterations
            and self._all_taken < self._rule.max_iterations
            and self._value > self._enough
        )

    def look(self, point: Point, is_over: bool) -> None:
        """Take the whole function's value and gradient at the best, and decide whether to go on."""
        self.evaluations += 1
        if self._taken and self._sure is not None and point[0] > self._sure[1][0]:
            # what had been left out has come to matter more than the steps gained; now it is not left out
            self.best, point, self.steps = self._sure
        else:
            is_slow = bool(self.history) and self._is_slow(self.history[-1], point[0])
            if self._sure is None or self._taken:
                self._sure = self.best, point, self.steps
                self.history.append(point[0])
            if point[0] <= self._enough or (is_slow and not is_over):
                self.stop = "converged"
        if self.stop is None and is_over:
            self.stop = "cancelled"
        if self.stop is None and self._all_taken >= self._rule.max_iterations:
            self.stop = "iterations"
        self._taken, self._value = 0, point[0]
        self._descent = descend(self.best, point, self._flatness, self._pairs)
        self._ask()

    def _is_slow(self, before: float, now: float) -> bool:
        if not self._taken:
            return True
        return self._taken == self._rule.over_iterations and before - now <= self._rule.relative_decrease * before

    def answer(self, point: Point) -> None:
        """Go on with the value and gradient at what was asked."""
        self.evaluations += 1
        tried = self.asked
        if self._ask(point):
            self.best, self._value = tried, point[0]
            self._taken += 1
            self._all_taken += 1
            self.steps += 1

    def _ask(self, point: Point | None = None) -> bool:
        """Let the descent ask for a point; tell whether the last was a step."""
        if self._descent is None:
            return False
        try:
            self.asked, accepted = next(self._descent) if point is None else self._descent.send(point)
        except StopIteration:
            accepted, self._descent = point is not None and point[0] < self._value, None
        return accepted

    def minimum(self) -> Minimum:
        """Give what was found."""
        values = tuple(self.history)
        return Minimum(self.best, values[-1], self.steps, self.evaluations, values, self.stop or "cancelled")
