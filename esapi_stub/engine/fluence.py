"""From a dose influence and functions of the dose to the fluences that minimize them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.objectives import DoseFunction
from esapi_stub.engine.optimizer import Minimum, Point, StoppingRule, minimize_together
from esapi_stub.engine.patient import PlanningPatient

if TYPE_CHECKING:
    from esapi_stub.engine.products import DoseProducts  # with numba, which only the extra brings

__all__ = ["even_fluence", "optimize_fluences"]

_MARGIN_GY = 3.0
"""Voxels whose dose has to change by more before they matter are left out of the next few steps."""

_MET_GY = 0.02
"""Where every objective is missed by less than this (root mean square over its structure), all of them are met."""


def even_fluence(influence: DoseInfluence, patient: PlanningPatient, mean_gy: float) -> FloatArray:
    """Give the fluence, the same for all beamlets, whose mean dose in the targets is ``mean_gy``."""
    rows = patient.targets.ravel()[influence.voxels]
    even: FloatArray = np.ones(influence.matrix.shape[1])
    return even * (mean_gy / float((influence.matrix @ even.astype(np.float32))[rows].mean()))


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
    return minimize_together(_Plans(influence, functions), starts, enough, rule, progress, is_cancelled)


class _Plans:
    """The functions of the dose as functions of the fluence."""

    def __init__(self, influence: DoseInfluence, functions: Sequence[DoseFunction]) -> None:
        from esapi_stub.engine.products import DoseProducts

        self._products = DoseProducts(influence.matrix)
        self._functions = functions
        self._kept: dict[int, tuple[NDArray[np.bool_], ...]] = {}
        self._least = [np.inf] * len(functions)
        self._near = list(functions)
        self._together: dict[tuple[int, ...], _Together] = {}

    def whole(self, fluences: FloatArray, which: Sequence[int]) -> list[Point]:
        """Evaluate on all voxels, and find those that matter near here."""
        points, doses = _Together(self._products, [self._functions[plan] for plan in which]).evaluate(fluences)
        for plan, (value, _), dose in zip(which, points, doses, strict=True):
            kept = self._functions[plan].counting(dose, _MARGIN_GY)
            if value > self._least[plan]:
                # more of the left-out voxels came to matter than the margin foresaw: now they stay in
                kept = tuple(np.logical_or(*pair) for pair in zip(kept, self._kept[plan], strict=True))
            self._kept[plan], self._least[plan] = kept, min(value, self._least[plan])
            self._near[plan] = self._functions[plan].part(kept)
        self._together.clear()
        return points

    def near(self, fluences: FloatArray, which: Sequence[int]) -> list[Point]:
        """Evaluate on the voxels that matter."""
        plans = tuple(which)
        if plans not in self._together:
            self._together[plans] = _Together(self._products, [self._near[plan] for plan in plans])
        return self._together[plans].evaluate(fluences)[0]


class _Together:
    """Functions that share passes over the rows that any of them looks at."""

    def __init__(self, products: DoseProducts, functions: Sequence[DoseFunction]) -> None:
        voxels = reduce(np.union1d, [function.voxels for function in functions])
        self._functions = functions
        self._places = [np.searchsorted(voxels, function.voxels) for function in functions]
        self._products = products.part(voxels)

    def evaluate(self, fluences: FloatArray) -> tuple[list[Point], list[FloatArray]]:
        """Give values and gradients, and the doses that each function sees."""
        doses = self._products.dose(fluences)
        seen = [dose[place] for dose, place in zip(doses, self._places, strict=True)]
        values, slopes = [], np.zeros_like(doses)
        for function, dose, place, slope in zip(self._functions, seen, self._places, slopes, strict=True):
            value, slope[place] = function(dose)
            values.append(value)
        return list(zip(values, self._products.gradient(slopes), strict=True)), seen
