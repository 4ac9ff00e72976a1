"""The goals of a protocol for one patient: what is asked, how far a plan is from it, and how it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bridge.rt.dvh import Dvh
from bridge.workflow.library.case import NOTHING_WITHIN, OUTSIDE_NUMBER, PlanningCase, WithinTargets
from config.protocol import Protocol
from esapi_stub.planning import MeanObjective, PlannedObjective, PointObjective
from models.library.measures import GoalOutcome
from objective_extraction.near_maximum import NEAR_MAXIMUM_CC, near_maximum

__all__ = ["Aim", "Goal", "first_aims", "objectives_of", "protocol_goals", "protocol_sha256", "shown_goal"]

_INSIDE_GY = 0.3
"""Penalties come to rest a little short of what they are asked for."""

_HARD_PRIORITY, _WISH_PRIORITY, _MEAN_PRIORITY = 1000.0, 10.0, 0.3
"""A penalty is a mean over its structure: at these priorities a mean dose that is missed by 10 Gy pulls at each of the
25 cc of a parotid as hard as a target of 300 cc at the voxels that miss 0.04 Gy. At a tenth of the priority of coverage
it would cost more than 10 Gy of it."""

_NEAR_MINIMUM_PERCENT, _FULL_PERCENT = 98.0, 99.5
"""A near-minimum is asked of nearly all of a target. Between what is asked and the coldest percent that may miss it lie
so few voxels that hardly anything pulls at them, and a D99% stays 1 to 3 Gy short in the first plan."""

_NEAR_MAXIMUM_PRIORITY = 1000.0
"""Also where the near-maximum is a wish: so few voxels miss it that at 10 a plan of pt_201 has 85 Gy in 0.03 cc of its
highest target, and at 1000 78 Gy, with the same coverage and the same organs."""

_STORED_NEAR_MAXIMUM = "D0% "
"""How the name of a goal of a near-maximum begins in files."""

_HARDER = 3.0
_MOST_STEPS, _MOST_STEPS_OF_WISHES = 9.0, 3.0
"""A wish that cannot be had must not pull at the coverage for ever."""

_LEAST_SHARE = 0.05
"""Of an organ outside the targets: of less, no mean dose hangs on what it gets."""

_FARTHEST_GY = 2.0
"""The farthest that a plan is ever asked beyond a goal at a volume. A penalty goes out with the third power of what a
point misses, so less leaves half a gray of a D99% missed at any priority; more would let a target's goals from above
and below meet."""


@dataclass(frozen=True)
class Goal:
    """One goal.

    Attributes
    ----------
    roi_number, roi_name
        Of the structure.
    operator
        At most (upper) or at least (lower).
    dose_gy
        The limit.
    volume
        The volume that it is of, in ``unit``; None for the mean dose. 0 % stands for D0.03cc.
    unit
        ``"%"`` or ``"cc"``.
    hard
        Whether it comes before those that are not.
    within
        Of a mean dose: what targets take of the organ. Only the rest is asked for less dose, so that no mean dose is
        had at the cost of coverage.
    """

    roi_number: int
    roi_name: str
    operator: Literal["upper", "lower"]
    dose_gy: float
    volume: float | None
    unit: Literal["%", "cc"] = "%"
    hard: bool = True
    within: WithinTargets = NOTHING_WITHIN

    @property
    def is_near_minimum(self) -> bool:
        """Whether it is of the coldest percent or two of its structure."""
        return self.operator == "lower" and self.volume is not None and self.volume >= _NEAR_MINIMUM_PERCENT

    @property
    def what(self) -> str:
        """The goal as libraries and studies store it, where a near-maximum is ``D0%``; see :func:`shown_goal`."""
        sign = "<=" if self.operator == "upper" else ">="
        name = "mean" if self.volume is None else f"D{self.volume:g}{self.unit}"
        return f"{name} {sign} {self.dose_gy:.2f} Gy"

    def outcome(self, dvh: Dvh) -> GoalOutcome:
        """Say what a plan made of it."""
        if self.volume is None:
            reached = dvh.mean_gy
        elif self.unit == "cc":
            reached = dvh.dose_at_cc(self.volume)
        elif self.volume == 0.0:
            reached = near_maximum(dvh).dose_gy
        else:
            reached = dvh.dose_at_percent(self.volume)
        excess = reached - self.dose_gy if self.operator == "upper" else self.dose_gy - reached
        return GoalOutcome(
            roi=self.roi_name, what=self.what, hard=self.hard, reached_gy=reached, excess_gy=excess
        )  # fmt: skip


def shown_goal(stored: str, dvh: Dvh | None = None) -> str:
    """Name a goal as it is shown: by what is measured of it.

    Parameters
    ----------
    stored
        As in :attr:`Goal.what` and in files, whose hashes keep their names as they are.
    dvh
        Of its structure; without it a near-maximum is called D0.03cc, also that of a structure so small that its D2%
        stands for it.
    """
    if not stored.startswith(_STORED_NEAR_MAXIMUM):
        return stored
    name = f"D{NEAR_MAXIMUM_CC:g}cc" if dvh is None or dvh.is_empty else near_maximum(dvh).name
    return f"{name} {stored.removeprefix(_STORED_NEAR_MAXIMUM)}"


@dataclass(frozen=True)
class Aim:
    """How a goal is asked for.

    Attributes
    ----------
    goal
        What is wanted.
    asked_gy, priority
        Dose and weight of the objective.
    """

    goal: Goal
    asked_gy: float
    priority: float

    def objective(self, covered_cc: Mapping[int, float]) -> PlannedObjective | None:
        """Give it as an objective of the engine; None where the targets leave nothing of the organ to spare.

        Parameters
        ----------
        covered_cc
            Volumes by the structures' numbers: the engine knows percent alone.
        """
        goal = self.goal
        if goal.volume is None:
            number = OUTSIDE_NUMBER + goal.roi_number
            return MeanObjective(number, self.asked_gy, self.priority) if number in covered_cc else None
        if goal.unit == "cc":
            percent = min(100.0, 100.0 * goal.volume / covered_cc[goal.roi_number])
        else:
            percent = max(goal.volume, _FULL_PERCENT) if goal.is_near_minimum else goal.volume
        return PointObjective(goal.roi_number, goal.operator, self.asked_gy, percent, self.priority)

    def harder(self, excess_gy: float) -> Aim:
        """Ask more firmly for a goal that was missed by so much: a higher priority, and as much more as was missed."""
        goal = self.goal
        if goal.volume is None:
            asked = max(0.0, self.asked_gy - excess_gy / max(1.0 - goal.within.share, _LEAST_SHARE))
        elif goal.operator == "lower":
            asked = min(self.asked_gy + excess_gy, goal.dose_gy + _FARTHEST_GY)
        else:
            asked = max(self.asked_gy - excess_gy, goal.dose_gy - _FARTHEST_GY)
        highest = (_MOST_STEPS if goal.hard else _MOST_STEPS_OF_WISHES) * _first_priority(goal)
        return replace(self, asked_gy=asked, priority=min(self.priority * _HARDER, highest))


def protocol_goals(protocol: Protocol, case: PlanningCase) -> tuple[Goal, ...]:
    """Give the goals of the targets and of the organs that the patient has."""
    goals = []
    for level in case.prescription.levels:
        for target in protocol.targets:
            full_gy = case.prescription.highest_gy if target.of_highest else level.dose_gy
            dose_gy = full_gy * target.dose_percent / 100.0
            goals.append(
                Goal(
                    level.roi_number, level.roi_name, target.operator, dose_gy, target.volume_percent, hard=target.hard
                )
            )  # fmt: skip
    for structure in case.organs:
        within = case.within_targets(structure.name)
        for organ in protocol.organs.get(structure.name, ()):
            goals.append(
                Goal(
                    structure.number, structure.name, "upper", organ.dose_gy, organ.volume_cc, "cc", organ.hard, within
                )
            )  # fmt: skip
    return tuple(goals)


def protocol_sha256(protocol: Protocol) -> str:
    """Give the hash of a protocol, by which a library knows it again."""
    return hashlib.sha256(protocol.model_dump_json().encode()).hexdigest()


def first_aims(goals: tuple[Goal, ...]) -> tuple[Aim, ...]:
    """Ask for every goal a little more than it needs."""
    return tuple(Aim(goal, _first_asked_gy(goal), _first_priority(goal)) for goal in goals)


def objectives_of(aims: tuple[Aim, ...], covered_cc: Mapping[int, float]) -> list[PlannedObjective]:
    """Give the objectives of all aims; volumes by the structures' numbers."""
    return [objective for aim in aims if (objective := aim.objective(covered_cc)) is not None]


def _first_asked_gy(goal: Goal) -> float:
    if goal.operator == "lower":
        return goal.dose_gy + _INSIDE_GY
    asked_gy = goal.dose_gy - _INSIDE_GY
    if goal.volume is None:
        # what is left for the rest when the targets have their prescription
        return max(0.0, asked_gy - goal.within.least_mean_gy) / max(1.0 - goal.within.share, _LEAST_SHARE)
    return asked_gy


def _first_priority(goal: Goal) -> float:
    if goal.volume is None:
        return _MEAN_PRIORITY
    if goal.volume == 0.0:
        return _NEAR_MAXIMUM_PRIORITY
    return _HARD_PRIORITY if goal.hard else _WISH_PRIORITY
