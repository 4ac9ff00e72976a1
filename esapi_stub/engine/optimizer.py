"""Minimize functions of a fluence that must not be negative: a projected quasi-Newton method, several at once.

Each minimization is a coroutine that asks for the value and gradient at one fluence after another, so that many of
them can share one pass over the influence matrix. The method is limited-memory BFGS (Nocedal, Math Comp 35:773, 1980)
on the beamlets that are free to move, with a backtracking search along the projected path (Bertsekas, SIAM J Control
Optim 20:221, 1982).

A function may look at many voxels of which few matter where the fluence is. It is therefore evaluated as a whole only
every few steps; the steps between go by what mattered then. What ends a minimization, and what it gives, are always
values of the whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray

__all__ = ["Functions", "Minimum", "Point", "Stop", "StoppingRule", "minimize", "minimize_together"]

Stop = Literal["converged", "iterations", "cancelled"]
"""Why a minimization ended."""

_PAIRS = 12
"""Steps that the method remembers."""

_SUFFICIENT_DECREASE = 1e-4
"""Part of the decrease that the gradient promises, below which a step is shortened (Armijo)."""

_SHORTEST_STEP = 1e-12
"""Where rounding has eaten what a step could gain."""

_LEAST_CURVATURE = 1e-10
"""Cosine between a step and the turn of the gradient on it, below which the step says nothing of the Hessian."""

_Pair: TypeAlias = tuple[FloatArray, FloatArray]
"""A step, and by how much the gradient turned on it."""

Point: TypeAlias = tuple[float, FloatArray]
"""Value of a function at a fluence, and its gradient ``(n,)``."""

_Descent: TypeAlias = Generator[tuple[FloatArray, bool], Point, None]


class Functions(Protocol):
    """What is minimized, function by function."""

    def whole(self, fluences: FloatArray, which: Sequence[int]) -> Sequence[Point]:
        """Evaluate functions with these numbers at fluences ``(k, n)``."""

    def near(self, fluences: FloatArray, which: Sequence[int]) -> Sequence[Point]:
        """Evaluate them without what did not matter where :meth:`whole` was last asked: never more than the whole."""


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
    relative_decrease: float = 1e-3
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
        Value at the start and after each step.
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
        Called after every round in which one took a step, with the steps of the slowest and the sum of the values.
    is_cancelled
        Asked before every round but the first.
    """
    runs = [_Run(np.maximum(start, 0.0), value, rule) for start, value in zip(starts, enough, strict=True)]
    is_over = False
    while active := [run for run in runs if run.stop is None]:
        numbers = [runs.index(run) for run in active]
        points = functions.whole(np.stack([run.best for run in active]), numbers)
        is_first = not runs[0].history
        for run, point in zip(active, points, strict=True):
            run.look(point, is_over)
        if is_first:
            progress(0, sum(run.history[-1] for run in runs))
        while not is_over and (walking := [run for run in active if run.is_walking]):
            is_over = is_cancelled()
            if is_over:
                break
            numbers = [runs.index(run) for run in walking]
            points = functions.near(np.stack([run.asked for run in walking]), numbers)
            steps = [run.answer(point) for run, point in zip(walking, points, strict=True)]
            if any(steps):
                progress(min(len(run.history) for run in runs) - 1, sum(run.history[-1] for run in runs))
    return tuple(run.minimum() for run in runs)


def minimize(
    function: Callable[[FloatArray], Point], start: FloatArray, rule: StoppingRule, enough: float = 0.0
) -> Minimum:
    """Minimize one function of a fluence."""
    return minimize_together(_One(function), start[None], [enough], rule, lambda *_: None, lambda: False)[0]


@dataclass(frozen=True)
class _One:
    """One function, of which everything always matters."""

    function: Callable[[FloatArray], Point]

    def whole(self, fluences: FloatArray, _: Sequence[int]) -> Sequence[Point]:
        return [self.function(fluences[0])]

    near = whole


class _Run:
    """One minimization, and where it has come to."""

    def __init__(self, start: FloatArray, enough: float, rule: StoppingRule) -> None:
        self._enough = enough
        self._rule = rule
        self._pairs: deque[_Pair] = deque(maxlen=_PAIRS)
        self._descent: _Descent | None = None
        self._sure: tuple[FloatArray, Point] | None = None
        self._taken = 0
        self._steps = 0
        self.best = self.asked = start
        self.history: list[float] = []
        self.evaluations = 0
        self.stop: Stop | None = None

    @property
    def is_walking(self) -> bool:
        """Whether it goes on before the function is evaluated as a whole."""
        return (
            self.stop is None
            and self._descent is not None
            and self._taken < self._rule.over_iterations
            and self._steps < self._rule.max_iterations
            and self.history[-1] > self._enough
        )

    def look(self, point: Point, is_over: bool) -> None:
        """Take the whole function's value and gradient at the best, and decide whether to go on."""
        self.evaluations += 1
        if self._sure is None:
            self.history.append(point[0])
            self._sure = self.best, point
            self.stop = "converged" if point[0] <= self._enough else None
        elif point[0] > self._sure[1][0]:
            # what had been left out has come to matter more than the steps gained; now it is not left out
            del self.history[len(self.history) - self._taken :]
            self.best, point = self._sure
        else:
            before = self._sure[1][0]
            self.history[-1] = point[0]
            self._sure = self.best, point
            if (
                point[0] <= self._enough
                or not self._taken
                or before - point[0] <= self._rule.relative_decrease * before
            ):
                self.stop = "converged"
        if self.stop is None and self._steps >= self._rule.max_iterations:
            self.stop = "iterations"
        if self.stop is None and is_over:
            self.stop = "cancelled"
        self._taken = 0
        self._descent = _descend(self.best, point, self._pairs)
        self._ask()

    def answer(self, point: Point) -> bool:
        """Go on with the value and gradient at what was asked; tell whether that was a step."""
        self.evaluations += 1
        tried = self.asked
        accepted = self._ask(point)
        if accepted:
            self.best = tried
            self.history.append(point[0])
            self._taken += 1
            self._steps += 1
        return accepted

    def _ask(self, point: Point | None = None) -> bool:
        """Let the descent ask for a point; tell whether the last was a step."""
        if self._descent is None:
            return False
        try:
            self.asked, accepted = next(self._descent) if point is None else self._descent.send(point)
        except StopIteration:
            accepted, self._descent = point is not None and point[0] < self.history[-1], None
        return accepted

    def minimum(self) -> Minimum:
        """Give what was found."""
        values = tuple(self.history)
        return Minimum(self.best, values[-1], len(values) - 1, self.evaluations, values, self.stop or "cancelled")


def _descend(here: FloatArray, point: Point, pairs: deque[_Pair]) -> _Descent:
    """Ask for points, and say with each whether the last was a step; end where no step helps."""
    value, gradient = point
    accepted = False
    while True:
        free = (here > 0) | (gradient < 0)
        downhill = np.where(free, -gradient, 0.0)
        slope = -float(downhill @ downhill)
        if slope == 0.0:
            return
        # the way to the minimum of a parabola that reaches 0, for want of anything better
        steepest = downhill * (2.0 * value / -slope)
        direction = _quasi_newton(downhill, free, pairs)
        if direction is None or float(direction @ gradient) >= 0.0:
            direction = steepest
            pairs.clear()
        step = 1.0
        while True:
            there = np.maximum(here + step * direction, 0.0)
            promised = float(gradient @ (there - here))
            new_value, new_gradient = yield there, accepted
            accepted = False
            if new_value <= value + _SUFFICIENT_DECREASE * min(promised, 0.0) and new_value < value:
                break
            # the minimum of the parabola through both values and the slope, not too far from half
            bend = new_value - value - promised
            step *= float(np.clip(-promised / (2.0 * bend) if bend > 0 else 0.5, 0.1, 0.5))
            if step < _SHORTEST_STEP:
                if not pairs:
                    return
                pairs.clear()
                direction, step = steepest, 1.0
        pairs.append((there - here, new_gradient - gradient))
        here, value, gradient, accepted = there, new_value, new_gradient, True


def _quasi_newton(downhill: FloatArray, free: NDArray[np.bool_], pairs: Iterable[_Pair]) -> FloatArray | None:
    """Apply the inverse Hessian that the steps suggest among the free beamlets (the two-loop recursion).

    What the steps say of beamlets that are now held at 0 is left out; with it, the method takes twice the steps.
    None where the steps say nothing of the others.
    """
    kept = []
    for moved, turned in pairs:
        moved, turned = moved * free, turned * free
        curvature = float(moved @ turned)
        if curvature > _LEAST_CURVATURE * float(np.linalg.norm(moved) * np.linalg.norm(turned)):
            kept.append((moved, turned, curvature))
    if not kept:
        return None
    direction, factors = downhill.copy(), []
    for moved, turned, curvature in reversed(kept):
        factors.append(float(moved @ direction) / curvature)
        direction -= factors[-1] * turned
    direction *= kept[-1][2] / float(kept[-1][1] @ kept[-1][1])
    for (moved, turned, curvature), factor in zip(kept, reversed(factors), strict=True):
        direction += (factor - float(turned @ direction) / curvature) * moved
    return direction * free
