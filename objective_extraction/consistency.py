"""Whether objectives can be met together: points out of order, targets against organs, demands on the overlap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bridge.rt.findings import Finding
from objective_extraction.contradictions import contradictions
from objective_extraction.near_maximum import NEAR_MAXIMUM_CC
from objective_extraction.objectives import Objective, PointObjective

__all__ = ["Overlap", "about_objectives", "about_overlap"]


_LEAST_ROOM = 0.04
"""Reference plans of OpenKBP have D5% / D95% of 1.07 on average in the highest target, and a higher D0.03cc yet: a
window under 4 % is what a model smooths, not what a plan has."""


def about_objectives(objectives: Iterable[Objective]) -> list[Finding]:
    """Tell where the objectives of one structure contradict each other, or leave each other no room.

    A DVH never rises: of two upper points the one at the larger volume must have the lower dose.
    """
    of_structure: dict[str, list[Objective]] = {}
    for objective in objectives:
        of_structure.setdefault(objective.roi_name, []).append(objective)
    return [finding for name, asked in of_structure.items() for finding in _of_one(name, asked)]


def _of_one(name: str, asked: Sequence[Objective]) -> list[Finding]:
    found = []
    points = [one for one in asked if isinstance(one, PointObjective)]
    where = {"roi": name}
    ascending = sorted(points, key=lambda point: (point.volume_percent, -point.dose_gy))
    uppers = [point for point in ascending if point.operator == "upper"]
    lowers = [point for point in ascending if point.operator == "lower"]
    for of_one_kind in (uppers, lowers):
        for first, second in pairwise(of_one_kind):
            if second.dose_gy >= first.dose_gy:
                message = (
                    f"{name!r}: {second.operator} {second.dose_gy:g} Gy at {second.volume_percent:g} % adds nothing "
                    f"beside {first.dose_gy:g} Gy at {first.volume_percent:g} %, or has its points out of order."
                )
                found.append(Finding("points-not-monotone", "warning", message, where))
    found += contradictions(name, asked)
    for highest in uppers[:1]:
        for lower in lowers[:1]:
            room = highest.dose_gy - lower.dose_gy
            is_contradiction = room == 0 and highest.volume_percent == lower.volume_percent
            if 0 <= room < _LEAST_ROOM * lower.dose_gy and not is_contradiction:
                message = (
                    f"{name!r} has {room:.2f} Gy between its lower {lower.dose_gy:g} Gy and its upper "
                    f"{highest.dose_gy:g} Gy, less than {100 * _LEAST_ROOM:g} %; hardly any plan is that homogeneous."
                )
                found.append(Finding("target-window-narrow", "warning", message, where))
    return found


@dataclass(frozen=True)
class Overlap:
    """What an organ and a target share.

    Attributes
    ----------
    organ, target
        Names.
    organ_cc, target_cc, shared_cc
        Volumes.
    """

    organ: str
    target: str
    organ_cc: float
    target_cc: float
    shared_cc: float


def about_overlap(overlap: Overlap, objectives: Iterable[Objective]) -> list[Finding]:
    """Tell where an upper point of an organ and a lower point of a target compete for the volume that they share.

    The lower point of ``v`` % lets ``(1 - v) V`` of the target stay below its dose. Where the shared volume exceeds
    that and what the upper point allows, no dose meets both (``overlap-contradicts``); where it exceeds only the
    latter, the shared part of the target must stay cold (``overlap-cold-target``). The worst pair is told.
    """
    points = [objective for objective in objectives if isinstance(objective, PointObjective)]
    uppers = [point for point in points if point.roi_name == overlap.organ and point.operator == "upper"]
    lowers = [point for point in points if point.roi_name == overlap.target and point.operator == "lower"]
    worst: tuple[float, str, PointObjective, PointObjective] | None = None
    for upper in uppers:
        allowed_cc = max(upper.volume_percent / 100.0 * overlap.organ_cc, NEAR_MAXIMUM_CC)
        for lower in lowers:
            excess_cc = overlap.shared_cc - allowed_cc
            if upper.dose_gy >= lower.dose_gy or excess_cc <= 0:
                continue
            may_be_cold_cc = (1.0 - lower.volume_percent / 100.0) * overlap.target_cc
            impossible = excess_cc > may_be_cold_cc
            rank = excess_cc + (1e6 if impossible else 0.0)
            if worst is None or rank > worst[0]:
                worst = (rank, "overlap-contradicts" if impossible else "overlap-cold-target", upper, lower)
    if worst is None:
        return []
    _, code, upper, lower = worst
    consequence = (
        "both cannot be met" if code == "overlap-contradicts" else "it can be met only by a cold part of the target"
    )
    message = (
        f"{overlap.organ!r} and {overlap.target!r} share {overlap.shared_cc:.2f} cc; the organ is asked for at most "
        f"{upper.dose_gy:g} Gy at {upper.volume_percent:g} %, the target for at least {lower.dose_gy:g} Gy at "
        f"{lower.volume_percent:g} %: {consequence}."
    )
    return [Finding(code, "warning", message, {"roi": overlap.organ, "target": overlap.target})]
