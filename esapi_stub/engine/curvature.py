"""What the last steps of a minimization say of the function, and where by them it is lowest.

The steps make a parabola in as many dimensions as there are beamlets (limited-memory BFGS in its compact form: Byrd,
Nocedal and Schnabel, Math Prog 63:129, 1994). Its lowest point is sought where no fluence is negative, as functions that
cost more than the parabola deserve (Schmidt et al., AISTATS 2009, PMLR 5:456). A method that forgets the bounds until a
step runs into them takes half as many evaluations again.
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
        moved, turned = np.stack([one for one, _ in pairs]), np.stack([other for _, other in pairs])
        last = turned[-1]
        self._diagonal = float(last @ (flatness * last)) / flatness
        products = moved @ turned.T
        lower, bent = np.tril(products, -1), moved * self._diagonal
        self._middle = np.block([[-np.diag(np.diag(products)), lower.T], [lower, moved @ bent.T]])
        self._sides = np.concatenate([turned, bent])

    def turn(self, way: FloatArray) -> FloatArray:
        """Give by how much the gradient turns on a way ``(n,)``."""
        return self._diagonal * way - np.linalg.solve(self._middle, self._sides @ way) @ self._sides

    def way_down(self, here: FloatArray, gradient: FloatArray) -> FloatArray:
        """Give the way from a fluence to the lowest point at which none is negative.

        Which beamlets are at 0 there is found by the primal-dual active set method (Hintermüller, Ito and Kunisch, SIAM
        J Optim 13:865, 2002): those that the lowest point of the others would have below 0 are held there, and those
        that it would raise are let go.
        """
        held = (here <= 0.0) & (gradient >= 0.0)
        way = np.where(held, -here, 0.0)
        for _ in range(_ROUNDS):
            to_zero = np.where(held, -here, 0.0)
            turned = self.turn(to_zero) if to_zero.any() else 0.0
            way = to_zero + self._newton(~held, -(gradient + turned))
            to_hold = np.where(held, gradient + self.turn(way) > 0.0, here + way < 0.0)
            if (to_hold == held).all():
                break
            held = to_hold
        return np.maximum(way, -here)

    def _newton(self, free: NDArray[np.bool_], downhill: FloatArray) -> FloatArray:
        """Give the way on which the gradient of the free beamlets turns by ``downhill``, the others standing still."""
        sides, diagonal = self._sides[:, free], self._diagonal[free]
        straight = downhill[free] / diagonal
        inner = self._middle - (sides / diagonal) @ sides.T
        way = np.zeros_like(downhill)
        way[free] = straight + np.linalg.solve(inner, sides @ straight) @ sides / diagonal
        return way
