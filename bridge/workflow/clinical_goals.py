"""Clinical goals of a case: what a protocol asks of its targets and organs, and what a dose makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.rt.case import PatientCase
from bridge.rt.dvh import Dvh
from bridge.workflow.library.goals import Goal, shown_goal
from config.protocol import Protocol

__all__ = ["clinical_goals", "goal_outcomes"]


def clinical_goals(protocol: Protocol, case: PatientCase) -> tuple[Goal, ...]:
    """Give the goals for the structures that a case has, those of the targets first.

    Parameters
    ----------
    protocol
        Organs by standard name.
    case
        With a prescription.
    """
    prescription = case.prescription
    levels = () if prescription is None else prescription.levels
    highest_gy = max((level.dose_gy for level in levels), default=0.0)
    of_targets = [
        Goal(
            level.roi_number,
            level.roi_name,
            goal.operator,
            (highest_gy if goal.of_highest else level.dose_gy) * goal.dose_percent / 100.0,
            goal.volume_percent,
            hard=goal.hard,
        )
        for level in levels
        for goal in protocol.targets
    ]
    of_organs = [
        Goal(structure.number, structure.name, "upper", goal.dose_gy, goal.volume_cc, "cc", goal.hard)
        for structure in case.structures
        if structure.standard_name is not None and not structure.is_empty
        for goal in protocol.organs.get(structure.standard_name, ())
    ]
    return (*of_targets, *of_organs)


def goal_outcomes(goals: Sequence[Goal], dvhs: Sequence[Dvh]) -> list[Mapping[str, object]]:
    """Say what a dose makes of goals.

    One whose structure has no dose, or 0 Gy everywhere where at most something is asked for, as a structure outside the
    body has, says so (``reached_gy`` null): it is not met, and cannot be evaluated.
    """
    by_number = {dvh.roi_number: dvh for dvh in dvhs if not dvh.is_empty}
    return [_outcome(goal, by_number.get(goal.roi_number)) for goal in goals]


def _outcome(goal: Goal, dvh: Dvh | None) -> Mapping[str, object]:
    said = {
        "roi_number": goal.roi_number,
        "roi_name": goal.roi_name,
        "what": shown_goal(goal.what, dvh),
        "is_hard": goal.hard,
    }
    if dvh is None or (goal.operator == "upper" and dvh.max_gy <= 0.0):
        return {**said, "reached_gy": None, "excess_gy": None, "is_met": False}
    outcome = goal.outcome(dvh)
    return {**said, "reached_gy": outcome.reached_gy, "excess_gy": outcome.excess_gy, "is_met": outcome.is_met}
