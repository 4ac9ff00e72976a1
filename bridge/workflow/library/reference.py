"""The reference plan: a protocol's goals, iterated to be met, with the organs as far down as they go beside them.

What automated planning does by its own steps: ask, look, ask again. A goal that is missed is asked for more firmly, at
a higher priority and by as much more as was missed; wishes wait until the hard goals are met. As long as all goals that
can be are met, the organs are pressed harder. The best plan of a bounded number of rounds counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.rt.errors import ModelRefusal
from bridge.workflow.library.goals import Aim, first_aims
from bridge.workflow.library.planner import Planned, Planner
from models.library.measures import PlanMeasures

__all__ = ["ReferencePlan", "reference_plan"]

_FIRST_PRESSING = 0.1
"""A ten-thousandth of the priority of a hard goal."""

_PRESSING_STEP = 2.0
_LEAST_GAIN_GY = 0.3
"""When pressing twice as hard lowers the organs by less than this on average, it ends."""

_SAME_GY = 0.1
"""Goals missed by sums in the same tenth of a gray are missed alike; goals that are met are a class of their own."""

_LEAST_COVERAGE = 0.95
"""A reference plan with less than this part of the prescription at D95% of a target is a failure, not a plan: it would
be flagged cold, and everything else be learned relative to it."""


@dataclass(frozen=True, eq=False)
class ReferencePlan:
    """The plan that all others of a set of beams are relative to.

    Attributes
    ----------
    planned
        The plan.
    aims, pressing
        What it was asked for.
    """

    planned: Planned
    aims: tuple[Aim, ...]
    pressing: float

    @property
    def rank(self) -> tuple[int, int, float]:
        """Less is better: hard goals missed, then wishes missed, then the organs' mean doses."""
        missed = {True: 0.0, False: 0.0}
        for aim, outcome in zip(self.aims, self.planned.measures.goals, strict=True):
            missed[aim.goal.hard] += max(0.0, outcome.excess_gy)
        hard, wished = (math.ceil(missed[is_hard] / _SAME_GY) for is_hard in (True, False))
        return hard, wished, organs_gy(self.planned.measures)


def organs_gy(measures: PlanMeasures) -> float:
    """Give the mean of the organs' mean doses outside the targets; 0 without organs."""
    means = list(measures.organ_means_gy().values())
    return sum(means) / len(means) if means else 0.0


def reference_plan(planner: Planner, rounds: int) -> ReferencePlan:
    """Plan for the protocol.

    Parameters
    ----------
    planner
        Of the patient and the beams.
    rounds
        Most optimizations; the first is from an even fluence, each other one from the plan before it.

    Raises
    ------
    ModelRefusal
        The targets are not covered, however it was asked (``library-coverage``).
    """
    aims, pressing = first_aims(planner.prepared.goals), _FIRST_PRESSING
    best, last = None, None
    for _ in range(rounds):
        (planned,) = planner.optimize(
            [planner.function(aims, pressing)], None if last is None else last.planned.fluence
        )
        last = ReferencePlan(planned, aims, pressing)
        gained = float("inf") if best is None else best.rank[2] - last.rank[2]
        if best is None or last.rank < best.rank:
            best = last
        after = _asked_next(last)
        if _misses_hard_goals(last):
            if after is None and pressing == _FIRST_PRESSING:
                break  # there is nothing left to ask for, nor to give up
            pressing = max(pressing / _PRESSING_STEP, _FIRST_PRESSING)
        elif after is None:
            if gained < _LEAST_GAIN_GY:
                break
            pressing *= _PRESSING_STEP
        aims = after or aims
    assert best is not None  # noqa: S101 - there is one round at least
    _require_coverage(best)
    return best


def _misses_hard_goals(plan: ReferencePlan) -> bool:
    return plan.rank[0] > 0


def _asked_next(plan: ReferencePlan) -> tuple[Aim, ...] | None:
    """Ask more firmly for the goals that were missed, the hard ones alone if there are such; None where none was."""
    hard_only = _misses_hard_goals(plan)
    asked = tuple(
        aim.harder(outcome.excess_gy) if outcome.excess_gy > 0 and (aim.goal.hard or not hard_only) else aim
        for aim, outcome in zip(plan.aims, plan.planned.measures.goals, strict=True)
    )
    return asked if asked != plan.aims else None


def _require_coverage(plan: ReferencePlan) -> None:
    for name, target in plan.planned.measures.targets.items():
        if target.d95_gy < _LEAST_COVERAGE * target.prescribed_gy:
            raise ModelRefusal(
                "library-coverage",
                f"The reference plan gives {target.d95_gy:.1f} Gy to 95 % of {name!r}, of {target.prescribed_gy:g} Gy "
                "prescribed: the optimization failed, or the target lies where no beam reaches it.",
                roi=name,
            )
