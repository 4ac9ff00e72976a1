"""What the last steps of a minimization say of the function, and where by them it is lowest.

The steps make a parabola in as many dimensions as there are beamlets (limited-memory BFGS in its compact form: Byrd,
Nocedal and Schnabel, Math Prog 63:129, 1994). Its lowest point is sought among fluences that are not negative: a
function that takes long to evaluate deserves as much (Schmidt et al., AISTATS 2009, PMLR 5:456).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray

__all__ = ["Pair", "Parabola", "pair"]

_LEAST_CURVATURE = 1e-10
"""Cosine between a step and the turn of the gradient on it, below which the step says nothing of the Hessian."""

_ROUNDS = 10
"""Usually two are enough to find which beamlets the lowest point has at 0."""

Pair: TypeAlias = tuple[FloatArray, FloatArray]
"""A step, and by how much the gradient turned on it, in a unit in which their product is 1."""


def pair(moved: FloatArray, turned: FloatArray) -> Pair | None:
    """Give what a step tells, or None where the function does not bend upwards on it."""
    curvature = float(moved @ turned)
    if curvature <= _LEAST_CURVATURE * float(np.linalg.norm(moved) * np.linalg.norm(turned)):
        return None
    return moved / np.sqrt(curvature), turned / np.sqrt(curvature)


class Parabola:
    """The function around a fluence, as the last steps tell it.

    Parameters
    ----------
    pairs
        At least one, the latest last.
    flatness
        Shape ``(n,)``, above 0: before any step the Hessian is taken for diagonal, and proportional to one over it.
    """

    def __init__(self, pairs: Sequence[Pair], flatness: FloatArray) -> None:
        last = pairs[-1][1]
        # in this unit of each fluence the parabola bends by 1 along each, but for what the steps say
        self._unit = np.sqrt(flatness / float(last @ (flatness * last)))
        moved = np.stack([one for one, _ in pairs]) / self._unit
        turned = np.stack([other for _, other in pairs]) * self._unit
        products = moved @ turned.T
        lower = np.tril(products, -1)
        self._middle = np.block([[-np.diag(np.diag(products)), lower.T], [lower, moved @ moved.T]])
        self._sides = np.concatenate([turned, moved])

    def turn(self, way: FloatArray) -> FloatArray:
        """Give by how much the gradient turns on a way ``(n,)``."""
        straight = way / self._unit
        bent: FloatArray = straight - np.linalg.solve(self._middle, self._sides @ straight) @ self._sides
        return np.asarray(bent / self._unit)

    def way_down(self, here: FloatArray, gradient: FloatArray) -> FloatArray:
        """Give the way from a fluence to the lowest point at which none is negative.

        Which beamlets are at 0 there is found by the primal-dual active set method (Hintermüller, Ito and Kunisch, SIAM
        J Optim 13:865, 2002): those that the lowest point of the others would have below 0 are held there, and those
        that it would raise are let go.
        """
        held = (here <= 0.0) & (gradient >= 0.0)
        for _ in range(_ROUNDS):
            way = np.where(held, -here, 0.0)
            slope = gradient + self.turn(way)
            way[~held] = self._newton(~held, -slope)
            to_hold = np.where(held, gradient + self.turn(way) > 0.0, here + way < 0.0)
            if (to_hold == held).all():
                break
            held = to_hold
        return np.asarray(np.maximum(way, -here))

    def _newton(self, free: NDArray[np.bool_], downhill: FloatArray) -> FloatArray:
        """Give the way of the free beamlets on which their gradient turns by ``downhill``, while the others stand."""
        sides, unit = self._sides[:, free], self._unit[free]
        straight = downhill[free] * unit
        inner = self._middle - sides @ sides.T
        return np.asarray((straight + np.linalg.solve(inner, sides @ straight) @ sides) * unit)
