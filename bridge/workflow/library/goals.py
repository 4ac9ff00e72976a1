"""The goals of a protocol for one patient: what is asked, how far a plan is from it, and how it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bridge.rt.dvh import Dvh
from bridge.workflow.library.case import PlanningCase
from config.protocol import Protocol
from esapi_stub.planning import MeanObjective, PlannedObjective, PointObjective
from models.library.measures import GoalOutcome
from objective_extraction.near_maximum import near_maximum

__all__ = ["Aim", "Goal", "first_aims", "objectives_of", "protocol_goals", "protocol_sha256"]

_INSIDE_GY = 0.3
"""Penalties come to rest a little short of what they are asked for."""

_FIRST_PRIORITY, _FIRST_PRIORITY_OF_MEANS = 100.0, 10.0
_HARDER = 3.0
_MOST_STEPS = 9.0 * _HARDER
"""A mean dose that cannot be had must not pull at the coverage for ever."""

_FARTHEST_GY = 0.9
"""The farthest that a plan is ever asked beyond a goal: a target's goals from above and below must not meet."""


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
    """

    roi_number: int
    roi_name: str
    operator: Literal["upper", "lower"]
    dose_gy: float
    volume: float | None
    unit: Literal["%", "cc"] = "%"

    @property
    def outranks_means(self) -> bool:
        """Whether this is a goal of coverage or of a maximum: those come before mean doses."""
        return self.volume is not None

    @property
    def what(self) -> str:
        """The goal in words."""
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
        return GoalOutcome(roi=self.roi_name, what=self.what, reached_gy=reached, excess_gy=excess)


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

    def objective(self, covered_cc: float) -> PlannedObjective:
        """Give it as an objective of the engine.

        Parameters
        ----------
        covered_cc
            Volume of the structure: the engine knows percent alone.
        """
        goal = self.goal
        if goal.volume is None:
            return MeanObjective(goal.roi_number, self.asked_gy, self.priority)
        percent = goal.volume if goal.unit == "%" else min(100.0, 100.0 * goal.volume / covered_cc)
        return PointObjective(goal.roi_number, goal.operator, self.asked_gy, percent, self.priority)

    def harder(self, excess_gy: float) -> Aim:
        """Ask more firmly for a goal that was missed by so much: a higher priority, and as much more as was missed."""
        if self.goal.operator == "lower":
            asked = min(self.asked_gy + excess_gy, self.goal.dose_gy + _FARTHEST_GY)
        else:
            asked = max(self.asked_gy - excess_gy, self.goal.dose_gy - _FARTHEST_GY)
        highest = _MOST_STEPS * _first_priority(self.goal)
        return replace(self, asked_gy=asked, priority=min(self.priority * _HARDER, highest))


def protocol_goals(protocol: Protocol, case: PlanningCase) -> tuple[Goal, ...]:
    """Give the goals of the targets and of the organs that the patient has."""
    goals = []
    for level in case.prescription.levels:
        for target in protocol.targets:
            full_gy = case.prescription.highest_gy if target.of_highest else level.dose_gy
            dose_gy = full_gy * target.dose_percent / 100.0
            goals.append(Goal(level.roi_number, level.roi_name, target.operator, dose_gy, target.volume_percent))
    for structure in case.organs:
        for organ in protocol.organs.get(structure.name, ()):
            goals.append(Goal(structure.number, structure.name, "upper", organ.dose_gy, organ.volume_cc, "cc"))
    return tuple(goals)


def protocol_sha256(protocol: Protocol) -> str:
    """Give the hash of a protocol, by which a library knows it again."""
    return hashlib.sha256(protocol.model_dump_json().encode()).hexdigest()


def first_aims(goals: tuple[Goal, ...]) -> tuple[Aim, ...]:
    """Ask for every goal a little more than it needs."""
    return tuple(
        Aim(goal, goal.dose_gy + (_INSIDE_GY if goal.operator == "lower" else -_INSIDE_GY), _first_priority(goal))
        for goal in goals
    )


def objectives_of(aims: tuple[Aim, ...], covered_cc: Mapping[int, float]) -> list[PlannedObjective]:
    """Give the objectives of all aims; volumes by the structures' numbers."""
    return [aim.objective(covered_cc[aim.goal.roi_number]) for aim in aims]


def _first_priority(goal: Goal) -> float:
    return _FIRST_PRIORITY if goal.outranks_means else _FIRST_PRIORITY_OF_MEANS
