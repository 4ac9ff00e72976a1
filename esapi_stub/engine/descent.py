"""A projected quasi-Newton method for one function of a fluence that must not be negative.

Limited-memory BFGS (Nocedal, Math Comp 35:773, 1980) on the beamlets that are free to move, with a backtracking search
along the projected path (Bertsekas, SIAM J Control Optim 20:221, 1982). It is a coroutine: who drives it evaluates the
function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray

__all__ = ["Descent", "Pair", "Point", "descend"]

_SUFFICIENT_DECREASE = 1e-4
"""Part of the decrease that the gradient promises, below which a step is shortened (Armijo)."""

_SHORTEST_STEP = 1e-12
"""Where rounding has eaten what a step could gain."""

_LEAST_CURVATURE = 1e-10
"""Cosine between a step and the turn of the gradient on it, below which the step says nothing of the Hessian."""

Pair: TypeAlias = tuple[FloatArray, FloatArray]
"""A step, and by how much the gradient turned on it."""

Point: TypeAlias = tuple[float, FloatArray]
"""Value of a function at a fluence, and its gradient ``(n,)``."""

Descent: TypeAlias = Generator[tuple[FloatArray, bool], Point, None]
"""Asks for fluences, and says whether the last was a step."""


def descend(here: FloatArray, point: Point, flatness: FloatArray, pairs: deque[Pair]) -> Descent:
    """Ask for points, and say with each whether the last was a step; end where no step helps.

    Parameters
    ----------
    here
        Shape ``(n,)``, not negative: where to start.
    point
        Value and gradient there.
    flatness
        Shape ``(n,)``: one over about how much the function bends along each beamlet, in any unit.
    pairs
        What earlier steps told; it grows.
    """
    value, gradient = point
    accepted = False
    while True:
        free = (here > 0) | (gradient < 0)
        downhill = np.where(free, -gradient, 0.0)
        steepest = downhill * flatness
        fall = float(downhill @ steepest)
        if fall == 0.0:
            return
        # the way to the minimum of a parabola that reaches 0, for want of anything better
        steepest *= 2.0 * value / fall
        direction = _quasi_newton(downhill, free, flatness, pairs)
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


def _quasi_newton(
    downhill: FloatArray, free: NDArray[np.bool_], flatness: FloatArray, pairs: Iterable[Pair]
) -> FloatArray | None:
    """Apply the inverse Hessian that the steps suggest among the free beamlets (the two-loop recursion).

    Before any step it is taken for diagonal, and proportional to the flatness. What the steps say of beamlets that are
    now held at 0 is left out; with it, the method takes twice the steps. None where they say nothing of the others.
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
    _, turned, curvature = kept[-1]
    direction *= flatness * (curvature / float(turned @ (flatness * turned)))
    for (moved, turned, curvature), factor in zip(kept, reversed(factors), strict=True):
        direction += (factor - float(turned @ direction) / curvature) * moved
    return direction * free
