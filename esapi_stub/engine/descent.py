"""A projected quasi-Newton method for one function of a fluence that must not be negative.

Each step goes towards where the steps before it say that the function is lowest (:mod:`esapi_stub.engine.curvature`),
shortened until the function falls (Bertsekas, SIAM J Control Optim 20:221, 1982). It is a coroutine: who drives it
evaluates the function.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from typing import TypeAlias

import numpy as np

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.curvature import Pair, Parabola, pair

__all__ = ["Descent", "Point", "descend"]

_SUFFICIENT_DECREASE = 1e-4
"""Part of the decrease that the gradient promises, below which a step is shortened (Armijo)."""

_SHORTEST_STEP = 1e-12
"""Where rounding has eaten what a step could gain."""

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
        direction = _way_down(here, gradient, flatness, pairs)
        if direction is None:
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
        told = pair(there - here, new_gradient - gradient)
        if told is not None:
            pairs.append(told)
        here, value, gradient, accepted = there, new_value, new_gradient, True


def _way_down(here: FloatArray, gradient: FloatArray, flatness: FloatArray, pairs: Sequence[Pair]) -> FloatArray | None:
    """Give the way to where the steps say that the function is lowest; None where they say nothing of use."""
    if not pairs:
        return None
    try:
        way = Parabola(pairs, flatness).way_down(here, gradient)
    except np.linalg.LinAlgError:
        return None
    return way if float(way @ gradient) < 0.0 else None
