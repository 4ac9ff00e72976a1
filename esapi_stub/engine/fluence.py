"""From a dose influence and functions of the dose to the fluences that minimize them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.objectives import DoseFunction
from esapi_stub.engine.optimizer import Minimum, StoppingRule, minimize_together
from esapi_stub.engine.patient import PlanningPatient

__all__ = ["even_fluence", "optimize_fluences"]


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

    The dose is computed only where a function looks at it, for all plans in one pass over the influence matrix.

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
    from esapi_stub.engine.products import DoseProducts  # with numba, which only the extra brings

    voxels = reduce(np.union1d, [function.voxels for function in functions])
    places = [np.searchsorted(voxels, function.voxels) for function in functions]
    matrix = influence.matrix
    products = DoseProducts(matrix if len(voxels) == matrix.shape[0] else matrix[voxels])

    def evaluate(fluences: FloatArray, which: Sequence[int]) -> list[tuple[float, FloatArray]]:
        doses = products.dose(fluences)
        values, slopes = [], np.zeros_like(doses)
        for lane, plan in enumerate(which):
            value, slopes[lane, places[plan]] = functions[plan](doses[lane, places[plan]])
            values.append(value)
        return list(zip(values, products.gradient(slopes), strict=True))

    return minimize_together(evaluate, starts, rule, progress, is_cancelled)
