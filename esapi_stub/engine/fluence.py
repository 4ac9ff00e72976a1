"""From a dose influence and functions of the dose to the fluences that minimize them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import GeometryRefusal
from esapi_stub.engine.blas import one_blas_thread
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.objectives import DoseFunction
from esapi_stub.engine.optimizer import Minimum, Point, StoppingRule, minimize_together
from esapi_stub.engine.patient import PlanningPatient

if TYPE_CHECKING:
    from esapi_stub.engine.products import DoseProducts  # with numba, which only the extra brings

__all__ = ["even_fluence", "optimize_fluences"]

_MARGIN_GY = 3.0
"""Voxels whose dose has to change by more before they matter are left out of the next few steps."""

_STRONG = 0.002
"""Part of a voxel's strongest influence below which one is weak. More than half of all are; what they do to dose and
gradient stays as it is in the next few steps."""

_LEAST_BEND = 0.1
"""Part of the strongest bend that every beamlet is taken to have: the diagonal alone overrates the flat ones."""

_MET_GY = 0.05
"""Where every objective is missed by less than this (root mean square over its structure), all of them are met."""


def even_fluence(influence: DoseInfluence, patient: PlanningPatient, mean_gy: float) -> FloatArray:
    """Give the fluence, the same for all beamlets, whose mean dose in the targets is ``mean_gy``.

    Raises
    ------
    GeometryRefusal
        None of the beamlets reaches the targets (``beam-misses``).
    """
    rows = patient.targets.ravel()[influence.voxels]
    even: FloatArray = np.ones(influence.matrix.shape[1])
    reached_gy = float((influence.matrix @ even.astype(np.float32))[rows].mean())
    if not reached_gy > 0.0:
        raise GeometryRefusal("beam-misses", "No beamlet of any beam gives dose to the targets.")
    return even * (mean_gy / reached_gy)


def optimize_fluences(
    influence: DoseInfluence,
    functions: Sequence[DoseFunction],
    starts: FloatArray,
    rule: StoppingRule,
    progress: Callable[[int, float], None],
    is_cancelled: Callable[[], bool],
) -> tuple[Minimum, ...]:
    """Optimize several plans of one patient and one set of beams together.

    The dose is computed only where it matters to a function, for all plans in one pass over the influence matrix.

    Parameters
    ----------
    influence
        Of the patient and the beams.
    functions
        One for each plan: the same objectives with other weights, or other objectives.
    starts
        Shape ``(plans, beamlets)``.
    rule
        When a plan is done.
    progress, is_cancelled
        As of :func:`~esapi_stub.engine.optimizer.minimize_together`.
    """
    enough = [_MET_GY**2 * function.least_weight for function in functions]
    with one_blas_thread():
        return minimize_together(_Plans(influence, functions), starts, enough, rule, progress, is_cancelled)


class _Plans:
    """The functions of the dose as functions of the fluence."""

    def __init__(self, influence: DoseInfluence, functions: Sequence[DoseFunction]) -> None:
        from esapi_stub.engine.products import DoseProducts

        self._products = DoseProducts(influence.matrix)
        self._near_products = self._products.strong(_STRONG)
        self._functions = functions
        self._looks: list[_Look | None] = [None] * len(functions)
        self._surroundings: dict[tuple[int, ...], _Surroundings] = {}

    def bends(self, fluences: FloatArray) -> FloatArray:
        """Give the diagonals of the Hessians, of the penalties that are sums over voxels, and no less than a tenth."""
        found = np.empty_like(fluences)
        for plan, function in enumerate(self._functions):
            products = self._near_products.part(function.voxels)
            dose = products.dose(fluences[plan : plan + 1])[0]
            found[plan] = products.squares(function.bend(dose, _MARGIN_GY))
        highest = found.max(axis=1, keepdims=True)
        return np.where(highest > 0.0, np.maximum(found, _LEAST_BEND * highest), 1.0)

    def whole(self, fluences: FloatArray, which: Sequence[int]) -> list[Point]:
        """Evaluate on all voxels with all of the influence, and find the voxels that matter near here."""
        functions = [self._functions[plan] for plan in which]
        points, doses = _Together(self._products, functions).evaluate(fluences)
        for lane, plan in enumerate(which):
            kept = functions[lane].counting(doses[lane], _MARGIN_GY)
            look, before = _Look(fluences[lane], points[lane], doses[lane], kept), self._looks[plan]
            if before is not None and look.point[0] > before.point[0]:
                # what was left out came to matter more than foreseen: what did so stays in, and no influence is weak
                self._near_products = self._products
                look = replace(before, kept=tuple(a | b for a, b in zip(before.kept, kept, strict=True)))
            self._looks[plan] = look
        self._surroundings.clear()
        return points

    def near(self, fluences: FloatArray, which: Sequence[int]) -> list[Point]:
        """Evaluate on the voxels that matter, with the weak influence as it was."""
        plans = tuple(which)
        if plans not in self._surroundings:
            looks = [look for plan in plans if (look := self._looks[plan]) is not None]
            functions = [self._functions[plan] for plan in plans]
            self._surroundings[plans] = _Surroundings(self._near_products, functions, looks)
        return self._surroundings[plans].evaluate(fluences)


@dataclass(frozen=True, eq=False)
class _Look:
    """A function on all voxels: where, what came out, the dose that it saw, and which voxels of its views count."""

    fluence: FloatArray
    point: Point
    dose_gy: FloatArray
    kept: tuple[NDArray[np.bool_], ...]


class _Surroundings:
    """Functions around a look at each: exact there in value and gradient, and near it but for what was left out."""

    def __init__(self, products: DoseProducts, functions: Sequence[DoseFunction], looks: Sequence[_Look]) -> None:
        parts = [function.part(look.kept) for function, look in zip(functions, looks, strict=True)]
        self._together = _Together(products, parts)
        self._here = np.stack([look.fluence for look in looks])
        self._weak_gy = [
            look.dose_gy[np.searchsorted(function.voxels, part.voxels)] - strong_gy
            for look, function, part, strong_gy in zip(
                looks, functions, parts, self._together.doses(self._here), strict=True
            )
        ]
        points, _ = self._together.evaluate(self._here, self._weak_gy)
        self._weak_slope = [look.point[1] - slope for look, (_, slope) in zip(looks, points, strict=True)]

    def evaluate(self, fluences: FloatArray) -> list[Point]:
        """Give values and gradients."""
        points, _ = self._together.evaluate(fluences, self._weak_gy)
        moved = fluences - self._here
        return [
            (value + float(weak @ way), slope + weak)
            for (value, slope), weak, way in zip(points, self._weak_slope, moved, strict=True)
        ]


class _Together:
    """Functions that share passes over the rows that any of them looks at."""

    def __init__(self, products: DoseProducts, functions: Sequence[DoseFunction]) -> None:
        voxels = reduce(np.union1d, [function.voxels for function in functions])
        self._functions = functions
        self._places = [np.searchsorted(voxels, function.voxels) for function in functions]
        self._products = products.part(voxels)
        self._rows = len(voxels)

    def doses(self, fluences: FloatArray) -> list[FloatArray]:
        """Give the dose that each function sees."""
        doses = self._products.dose(fluences)
        return [doses[plan, place] for plan, place in enumerate(self._places)]

    def evaluate(
        self, fluences: FloatArray, more_gy: Sequence[FloatArray | float] | None = None
    ) -> tuple[list[Point], list[FloatArray]]:
        """Give values and gradients, and the doses that each function sees: those of the fluences and some more."""
        more_gy = more_gy or [0.0] * len(self._functions)
        seen = [dose + more for dose, more in zip(self.doses(fluences), more_gy, strict=True)]
        values, slopes = [], np.zeros((len(self._functions), self._rows))
        for plan, (function, place) in enumerate(zip(self._functions, self._places, strict=True)):
            value, slopes[plan, place] = function(seen[plan])
            values.append(value)
        return list(zip(values, self._products.gradient(slopes), strict=True)), seen
