"""What is asked of targets and of the dose around them where no dose says it: the limits of the settings.

A band of DVHs has no dose to read this from. Two ways of predicting can only be compared by their plans where both ask
for the same of everything but the organs, so a dose can have its targets asked for by this template too.
"""

from __future__ import annotations

from bridge.rt.prescription import TargetLevel
from bridge.rt.structure import Structure
from objective_extraction.objectives import NormalTissueObjective, Operator, Origin, PointObjective
from objective_extraction.rules import least_of_target_gy, most_of_target_gy
from objective_extraction.settings import ExtractionSettings

__all__ = ["template_fall_off", "template_lower", "template_upper"]


def template_lower(target: Structure, level: TargetLevel, settings: ExtractionSettings) -> tuple[PointObjective, ...]:
    """Ask for coverage of a target."""
    return tuple(
        _point(target, level, "lower", volume, least_of_target_gy(volume, level), settings)
        for volume in sorted(settings.target_lower_volumes_percent, reverse=True)
    )


def template_upper(
    rest: Structure, level: TargetLevel, next_higher_gy: float | None, settings: ExtractionSettings
) -> tuple[PointObjective, ...]:
    """Ask for homogeneity of what no hotter target overlaps; see :func:`objective_extraction.rules.target_upper`."""
    return tuple(
        _point(rest, level, "upper", limit.volume_percent, most_of_target_gy(limit, level, next_higher_gy), settings)
        for limit in sorted(settings.target_upper_limits, key=lambda limit: limit.volume_percent)
    )


def template_fall_off(settings: ExtractionSettings) -> NormalTissueObjective:
    """Ask for the planning system's own fall-off, as strongly as for all of a ring."""
    return NormalTissueObjective(settings.ring_total_priority)


def _point(
    structure: Structure, level: TargetLevel, operator: Operator, volume_percent: float, dose_gy: float,
    settings: ExtractionSettings,
) -> PointObjective:  # fmt: skip
    in_set = structure.number >= 0
    sentence = f"Template: {100.0 * dose_gy / level.dose_gy:.1f} % of the prescribed {level.dose_gy:g} Gy."
    return PointObjective(
        roi_number=structure.number if in_set else None,
        roi_name=structure.name,
        standard_name=structure.standard_name if in_set else None,
        priority=settings.target_priority,
        operator=operator,
        dose_gy=round(dose_gy, 2),
        volume_percent=volume_percent,
        origin=Origin("target-template", None, 0.0, sentence),
    )
