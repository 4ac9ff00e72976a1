"""What ESAPI can be asked for: a point, a mean or a gEUD; a line becomes points."""

from __future__ import annotations

from objective_extraction.objectives import (
    GeudObjective,
    LineObjective,
    MeanObjective,
    NormalTissueObjective,
    Objective,
    PointObjective,
)

__all__ = ["LINE_VOLUMES_PERCENT", "Term", "normal_tissue_words", "terms", "words"]

LINE_VOLUMES_PERCENT = (0.0, 5.0, 20.0, 40.0, 60.0, 80.0, 95.0)
"""Where a line objective is sampled: ESAPI has no call that adds a line."""

Term = PointObjective | MeanObjective | GeudObjective


def terms(objective: Objective) -> tuple[Term, ...]:
    """Give what is asked of ESAPI for one objective; nothing for a line that is at 0 Gy wherever it is sampled."""
    return objective.sampled(LINE_VOLUMES_PERCENT) if isinstance(objective, LineObjective) else (objective,)


def words(objective: Objective) -> str:
    """Say what an objective asks, as receipts and previews do."""
    match objective:
        case MeanObjective():
            return f"mean at most {objective.dose_gy:g} Gy"
        case GeudObjective():
            return f"gEUD (a = {objective.a:g}) {objective.operator} {objective.dose_gy:g} Gy"
        case LineObjective():
            return f"{objective.operator} line of {len(objective.curve)} points, sampled"
        case PointObjective():
            return f"{objective.operator} {objective.dose_gy:g} Gy at {objective.volume_percent:g} %"


def normal_tissue_words(asked: NormalTissueObjective) -> str:
    """Say what a normal tissue objective asks."""
    if asked.is_automatic:
        return f"normal tissue objective, automatic ({asked.priority:g})"
    return (
        f"normal tissue objective, {asked.distance_mm:g} mm, {asked.start_dose_percent:g} % to "
        f"{asked.end_dose_percent:g} %, fall-off {asked.fall_off_per_mm:g} per mm ({asked.priority:g})"
    )
