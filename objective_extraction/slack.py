"""Objective slack: what a plan reached of each objective that it was asked for, in the terms of the objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from bridge.rt.dvh import Dvh
from objective_extraction.near_maximum import near_maximum
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import MeanObjective, Operator, PointObjective

__all__ = ["ObjectiveSlack", "objective_slack", "reached_gy"]


@dataclass(frozen=True)
class ObjectiveSlack:
    """One objective and what a plan made of it.

    Attributes
    ----------
    roi
        Name of the structure, a derived one too.
    kind, operator, volume_percent
        What is asked; a mean dose is an upper one and has no volume.
    rule
        Of the extraction, or of a template.
    priority
        As it was asked for.
    requested_gy, reached_gy
        The dose that was asked for, and what the plan has there.
    """

    roi: str
    kind: str
    operator: Operator
    volume_percent: float | None
    rule: str
    priority: float
    requested_gy: float
    reached_gy: float

    @property
    def achieved_less_requested_gy(self) -> float:
        """Signed difference, whichever side was asked for."""
        return self.reached_gy - self.requested_gy

    @property
    def missed_by_gy(self) -> float:
        """By how much it is missed; negative where there is room."""
        return -self.achieved_less_requested_gy if self.operator == "lower" else self.achieved_less_requested_gy

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return {**asdict(self), "missed_by_gy": self.missed_by_gy}


def objective_slack(objectives: ObjectiveSet, dvhs: Mapping[str, Dvh]) -> tuple[ObjectiveSlack, ...]:
    """Hold a plan against what it was asked for.

    Parameters
    ----------
    objectives
        Of points and means; lines and gEUDs have no single dose in a DVH and are left out.
    dvhs
        By structure name, derived structures too: of the plan's dose, by the policy of the objectives.

    Returns
    -------
    tuple
        One for each objective whose structure has a DVH, in the order of the objectives.
    """
    return tuple(
        ObjectiveSlack(
            roi=one.roi_name,
            kind=one.kind,
            operator=one.operator if isinstance(one, PointObjective) else "upper",
            volume_percent=one.volume_percent if isinstance(one, PointObjective) else None,
            rule=one.origin.rule,
            priority=one.priority,
            requested_gy=one.dose_gy,
            reached_gy=reached_gy(one, dvhs[one.roi_name]),
        )
        for one in objectives.objectives
        if isinstance(one, PointObjective | MeanObjective) and one.roi_name in dvhs
    )


def reached_gy(objective: PointObjective | MeanObjective, dvh: Dvh) -> float:
    """Give what a plan has where an objective asks.

    A maximum (upper, 0 %) is read as it was asked for, as the near-maximum; see
    :func:`objective_extraction.near_maximum.near_maximum`.
    """
    if isinstance(objective, MeanObjective):
        return dvh.mean_gy
    if objective.operator == "upper" and objective.volume_percent == 0:
        return near_maximum(dvh).dose_gy
    return dvh.dose_at_percent(objective.volume_percent)
