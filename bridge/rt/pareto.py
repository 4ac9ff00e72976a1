"""Plans of one patient against each other: dominance, coverage of the front, the nearest plan, and what a trade costs.

A plan is a row of criteria, of each of which less is better (mean doses, missing coverage, inhomogeneity). Nothing here
knows what the criteria are.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import GeometryRefusal

__all__ = ["Exchange", "Nearest", "dominated", "exchanges", "gaps", "hypervolume", "nearest_plan"]


def dominated(criteria: FloatArray, tolerance: FloatArray | float = 0.0) -> NDArray[np.bool_]:
    """Tell which plans are dominated: another one is worse in nothing, and better in something.

    Parameters
    ----------
    criteria
        Shape ``(plans, criteria)``, less is better.
    tolerance
        What two optimizations of the same plan differ by, one for all criteria or one for each. To be worse or better
        takes more than that: with many criteria, noise would else save every plan in one of them.

    Returns
    -------
    NDArray
        Shape ``(plans,)``. Of two plans with the same criteria neither is dominated, nor is the one with the least sum.
    """
    values = _finite(criteria)
    other, one = values[:, None], values[None]
    beats = (other <= one + tolerance).all(axis=2) & (other < one - tolerance).any(axis=2)
    # within a tolerance plans can beat each other in a circle; sums cannot
    total = values.sum(axis=1)
    return np.asarray((beats & (total[:, None] < total)).any(axis=0))


def hypervolume(criteria: FloatArray, worst: FloatArray) -> float:
    """Give the volume that the plans dominate, up to a worst point (Zitzler and Thiele, IEEE Trans Evol Comput 3:257).

    More is better: the front reaches farther, or is better covered. Exact, by slicing along the last criterion; the
    effort grows quickly with the criteria, so take two or three.

    Parameters
    ----------
    criteria
        Shape ``(plans, criteria)``, less is better; plans beyond the worst point count nothing.
    worst
        Shape ``(criteria,)``.
    """
    values = _finite(criteria)
    inside = values[(values < worst).all(axis=1)]
    if not len(inside):
        return 0.0
    if inside.shape[1] == 1:
        return float(worst[0] - inside.min())
    order = np.argsort(inside[:, -1], kind="stable")
    heights = np.append(inside[order, -1], worst[-1])
    return sum(
        float(heights[number + 1] - heights[number]) * hypervolume(inside[order[: number + 1], :-1], worst[:-1])
        for number in range(len(order))
        if heights[number + 1] > heights[number]
    )


def gaps(criteria: FloatArray, scale: FloatArray | float = 1.0) -> FloatArray:
    """Give how far each plan is from the nearest other one: the largest difference of any criterion, over its scale.

    The largest of them is the widest hole next to a plan; a single plan has an infinite one.
    """
    values = _finite(criteria) / scale
    apart = np.abs(values[:, None] - values[None]).max(axis=2)
    np.fill_diagonal(apart, np.inf)
    return np.asarray(apart.min(axis=1))


@dataclass(frozen=True)
class Nearest:
    """The plan that is nearest to what was wished for.

    Attributes
    ----------
    plan
        Its row.
    distance_gy
        Sum of the absolute differences over all structures and volumes.
    mean_gy
        The same as a mean.
    """

    plan: int
    distance_gy: float
    mean_gy: float


def nearest_plan(desired_gy: FloatArray, plans_gy: FloatArray) -> Nearest:
    """Find the plan whose DVHs are nearest to wished ones in the L1 norm: the projection onto the Pareto surface.

    Ma et al., "A feasibility study on deep learning-based individualized 3D dose distribution prediction", Med Phys
    48:4438 (2021), equation 4.

    Parameters
    ----------
    desired_gy
        Shape ``(structures, volumes)``: D(v) of each structure.
    plans_gy
        Shape ``(plans, structures, volumes)``, of the same structures and volumes.

    Raises
    ------
    GeometryRefusal
        The shapes do not fit, there is no plan, or a value is not finite (``pareto-shape``).
    """
    plans = np.asarray(plans_gy, dtype=np.float64)
    desired = np.asarray(desired_gy, dtype=np.float64)
    fits = plans.ndim == 3 and len(plans) > 0 and plans.shape[1:] == desired.shape and desired.size > 0
    if not fits or not (np.isfinite(plans).all() and np.isfinite(desired).all()):
        raise GeometryRefusal(
            "pareto-shape",
            f"Wished DVHs of shape {desired.shape} cannot be compared with plans of shape {plans.shape}; all values "
            "must be finite.",
        )
    distances = np.abs(plans - desired).sum(axis=(1, 2))
    best = int(distances.argmin())
    return Nearest(best, float(distances[best]), float(distances[best]) / desired.size)


@dataclass(frozen=True)
class Exchange:
    """What it costs to go from one plan of a front to the next.

    Attributes
    ----------
    start, end
        Rows of the plans.
    gained, paid
        By how much the one criterion falls and the other rises, both positive.
    """

    start: int
    end: int
    gained: float
    paid: float

    @property
    def rate(self) -> float:
        """What one unit of the gain costs."""
        return self.paid / self.gained


def exchanges(wanted: FloatArray, cost: FloatArray) -> tuple[Exchange, ...]:
    """Give what a criterion costs in terms of another, along the lower convex hull of the plans.

    The first exchange starts at the plan that is best in the cost, and each one is dearer than the one before it. All
    other criteria are free: this is the best price among the plans that there are.

    Parameters
    ----------
    wanted, cost
        Shape ``(plans,)``, less is better.
    """
    points = _finite(np.column_stack([wanted, cost]))
    # from the cheapest plan on; of equals, the one that has more of what is wanted
    order = np.lexsort((points[:, 0], points[:, 1]))
    hull: list[int] = []
    for number in order.tolist():
        if hull and points[number, 0] >= points[hull[-1], 0]:
            continue
        while len(hull) > 1 and _rate(points, hull[-2], hull[-1]) >= _rate(points, hull[-1], number):
            hull.pop()
        hull.append(number)
    return tuple(
        Exchange(a, b, float(points[a, 0] - points[b, 0]), float(points[b, 1] - points[a, 1]))
        for a, b in pairwise(hull)
    )


def _rate(points: FloatArray, start: int, end: int) -> float:
    return float((points[end, 1] - points[start, 1]) / (points[start, 0] - points[end, 0]))


def _finite(criteria: FloatArray) -> FloatArray:
    """Give the criteria as an array of plans by criteria.

    Raises
    ------
    GeometryRefusal
        They are not that, or one is not a finite number (``pareto-shape``).
    """
    values: FloatArray = np.asarray(criteria, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise GeometryRefusal(
            "pareto-shape",
            f"Plans are compared by a table of finite criteria, one row a plan; got an array of shape {values.shape}.",
        )
    return values
