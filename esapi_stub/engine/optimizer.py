"""Minimize functions of a fluence that must not be negative: a projected quasi-Newton method, several at once.

Each minimization is a coroutine that asks for the value and gradient at one fluence after another, so that many of
them can share one pass over the influence matrix. The method is limited-memory BFGS (Nocedal, Math Comp 35:773, 1980)
on the beamlets that are free to move, with a backtracking search along the projected path (Bertsekas, SIAM J Control
Optim 20:221, 1982).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray

__all__ = ["Evaluate", "Minimum", "Stop", "StoppingRule", "minimize", "minimize_together"]

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

_Point: TypeAlias = tuple[float, FloatArray]
_Minimization: TypeAlias = Generator[tuple[FloatArray, bool], _Point, None]

Evaluate: TypeAlias = Callable[[FloatArray, Sequence[int]], Sequence[_Point]]
"""From fluences ``(k, n)`` and the numbers of their functions to the value and gradient ``(n,)`` of each."""


@dataclass(frozen=True)
class StoppingRule:
    """When a minimization ends.

    Attributes
    ----------
    max_iterations
        At the latest then.
    relative_decrease, over_iterations
        Earlier when so many iterations together lowered the function by less than this part of its value.
    met
        Earlier when the function is at or below this part of its value at the start: every objective is as good as met,
        and a function on its way to 0 may never meet the rule above.
    """

    max_iterations: int = 300
    relative_decrease: float = 1e-3
    over_iterations: int = 10
    met: float = 1e-6


@dataclass(frozen=True, eq=False)
class Minimum:
    """The best that a minimization found.

    Attributes
    ----------
    fluence
        Shape ``(n,)``, not negative.
    value
        Of the function there.
    iterations, evaluations
        Steps taken, and how often the function was evaluated.
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
    evaluate: Evaluate,
    starts: FloatArray,
    rule: StoppingRule,
    progress: Callable[[int, float], None],
    is_cancelled: Callable[[], bool],
) -> tuple[Minimum, ...]:
    """Minimize several functions of a fluence; in each round all that go on are evaluated together.

    Parameters
    ----------
    evaluate
        The functions.
    starts
        Shape ``(k, n)``: where each minimization starts; negative values are taken for 0.
    rule
        When to stop.
    progress
        Called after every round in which one took a step, with the steps of the slowest and the sum of the values.
    is_cancelled
        Asked before every round.
    """
    runs = [_Run(_descend(np.maximum(start, 0.0)), rule) for start in starts]
    while active := [number for number, run in enumerate(runs) if run.stop is None]:
        if is_cancelled() and all(run.history for run in runs):
            for number in active:
                runs[number].stop = "cancelled"
            break
        points = evaluate(np.stack([runs[number].asked for number in active]), active)
        steps = sum(len(run.history) for run in runs)
        for number, point in zip(active, points, strict=True):
            runs[number].answer(point)
        if sum(len(run.history) for run in runs) > steps:
            progress(min(len(run.history) for run in runs) - 1, sum(run.history[-1] for run in runs))
    return tuple(run.minimum() for run in runs)


def minimize(evaluate: Callable[[FloatArray], _Point], start: FloatArray, rule: StoppingRule) -> Minimum:
    """Minimize one function of a fluence."""
    return minimize_together(
        lambda fluences, _: [evaluate(fluences[0])], start[None], rule, lambda *_: None, lambda: False
    )[0]


class _Run:
    """One minimization, and where it has come to."""

    def __init__(self, descent: _Minimization, rule: StoppingRule) -> None:
        self._descent = descent
        self._rule = rule
        self.asked, _ = next(descent)
        self.best = self.asked
        self.history: list[float] = []
        self.evaluations = 0
        self.stop: Stop | None = None

    def answer(self, point: _Point) -> None:
        """Go on with the value and gradient at what was asked."""
        self.evaluations += 1
        tried = self.asked
        try:
            self.asked, accepted = self._descent.send(point)
        except StopIteration:
            accepted, self.stop = point[0] < (self.history or [np.inf])[-1], "converged"
        if accepted:
            self.best = tried
            self.history.append(point[0])
            self.stop = self.stop or self._rule_met()

    def _rule_met(self) -> Stop | None:
        rule, values = self._rule, self.history
        if values[-1] <= rule.met * values[0]:
            return "converged"
        if len(values) > rule.over_iterations:
            before = values[-1 - rule.over_iterations]
            if before - values[-1] <= rule.relative_decrease * before:
                return "converged"
        return "iterations" if len(values) > rule.max_iterations else None

    def minimum(self) -> Minimum:
        """Give what was found."""
        values = tuple(self.history)
        return Minimum(self.best, values[-1], len(values) - 1, self.evaluations, values, self.stop or "cancelled")


def _descend(start: FloatArray) -> _Minimization:
    """Ask for points, and say with each whether the last was a step; end where no step helps."""
    pairs: deque[_Pair] = deque(maxlen=_PAIRS)
    here = start
    value, gradient = yield here, False
    accepted = True
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
