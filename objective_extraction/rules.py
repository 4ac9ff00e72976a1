"""The rules of extraction, one structure at a time: from a DVH to what the optimizer is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from bridge.rt.dvh import Dvh
from bridge.rt.prescription import TargetLevel
from bridge.rt.structure import Structure
from objective_extraction.objectives import (
    CurvePoint,
    LineObjective,
    MeanObjective,
    Objective,
    Origin,
    PointObjective,
)
from objective_extraction.settings import ExtractionSettings

__all__ = ["NEAR_MAXIMUM_CC", "organ_objectives", "ring_objectives", "target_lower", "target_upper"]

NEAR_MAXIMUM_CC = 0.03
"""Volume that stands for a maximum: a single hottest sample depends on the sampling."""

_COVERED_PERCENT = 95.0
_COVERAGE_FLOOR = 0.95
"""At 95 % of the volume or less a target is asked for all of its prescription, at more for 95 % of it (ICRU 83)."""

_MOST_LOWER = 1.02
_LEAST_UPPER = 1.03
"""Parts of the prescription between which the lower objectives end and the upper ones begin: room for an optimizer."""


def organ_objectives(
    structure: Structure,
    dvh: Dvh,
    settings: ExtractionSettings,
    *,
    mean: bool,
    whole: tuple[Structure, Dvh] | None = None,
) -> tuple[Objective, ...]:
    """Ask that an organ gets no more than in the dose: upper points along its curve, and perhaps its mean.

    All of them share one priority.

    Parameters
    ----------
    structure
        The organ, or what is left of it outside the targets.
    dvh
        Its DVH, not empty.
    mean
        Whether it is a parallel organ.
    whole
        The organ and its DVH, where ``structure`` is only its part outside the targets: its maximum is asked for
        too, or nothing would bound the dose of a serial organ where it meets a target.
    """
    margin = settings.margin_percent
    points = _distinct_points(_curve(dvh, settings.volumes_percent), settings)
    maximum = [] if whole is None else _distinct_points(_curve(whole[1], (0.0,)), settings)
    ask_mean = mean and dvh.mean_gy > settings.minimum_dose_gy
    as_line = settings.organ_form == "line" and bool(points)
    parts = (1 if as_line else len(points)) + len(maximum) + ask_mean
    priority = _share(settings.organ_total_priority, parts)
    objectives: list[Objective] = []
    if whole is not None:
        objectives += [_upper(whole[0], volume, dose, margin, priority, "organ-maximum") for volume, dose in maximum]
    if as_line:
        objectives.append(_line(structure, dvh, margin, priority))
    else:
        objectives += [_upper(structure, volume, dose, margin, priority, "organ-curve") for volume, dose in points]
    if ask_mean:
        asked = _with_margin(dvh.mean_gy, margin)
        sentence = f"Mean dose {dvh.mean_gy:.2f} Gy{_margin_words(margin)}."
        objectives.append(
            MeanObjective(
                **_of(structure),
                priority=priority,
                dose_gy=asked,
                origin=Origin("organ-mean", dvh.mean_gy, margin, sentence),
            )
        )
    return tuple(objectives)


def ring_objectives(structure: Structure, dvh: Dvh, settings: ExtractionSettings) -> tuple[Objective, ...]:
    """Ask that the dose around the targets falls off as it does in the dose."""
    points = _distinct_points(_curve(dvh, settings.ring_volumes_percent), settings)
    priority = _share(settings.ring_total_priority, len(points))
    return tuple(_upper(structure, volume, dose, 0.0, priority, "ring") for volume, dose in points)


def target_lower(
    structure: Structure, dvh: Dvh, level: TargetLevel, settings: ExtractionSettings
) -> tuple[Objective, ...]:
    """Ask for coverage: the dose of each lower volume, but no less than the prescription demands.

    A point that the one at the next larger volume already implies is left out.
    """
    objectives: list[PointObjective] = []
    for volume in sorted(settings.target_lower_volumes_percent, reverse=True):
        predicted = dvh.dose_at_percent(volume)
        floor = level.dose_gy * (1.0 if volume <= _COVERED_PERCENT else _COVERAGE_FLOOR)
        asked = _rounded(min(max(predicted, floor), _MOST_LOWER * level.dose_gy))
        if objectives and asked <= objectives[-1].dose_gy:
            continue
        sentence = f"D{volume:g}% is {predicted:.2f} Gy; asked for no less than {floor:.2f} Gy of the prescription."
        objectives.append(
            PointObjective(
                **_of(structure),
                priority=settings.target_priority,
                operator="lower",
                dose_gy=asked,
                volume_percent=volume,
                origin=Origin("target-lower", predicted, 0.0, sentence),
            )
        )
    return tuple(objectives)


def target_upper(
    structure: Structure, dvh: Dvh, level: TargetLevel, next_higher_gy: float | None, settings: ExtractionSettings
) -> tuple[Objective, ...]:
    """Ask for homogeneity: the dose of each upper volume, within what the protocol allows.

    Where a level is not the highest, the limits are those of the next higher level, ``next_higher_gy``: beside it the
    dose must fall from one to the other inside the lower target. In clinical head and neck plans D5% of a 56 Gy
    target beside one of 70 Gy is 62 to 69 Gy, and asking for 105 % of 56 Gy would be asking for what no plan has.
    A point that the one at the next smaller volume already implies is left out.
    """
    objectives: list[PointObjective] = []
    reference = next_higher_gy or level.dose_gy
    of_whom = f", {{:g}} % of the next higher level of {reference:g} Gy" if next_higher_gy else ""
    for limit in sorted(settings.target_upper_limits, key=lambda limit: limit.volume_percent):
        volume, most = limit.volume_percent, limit.limit_percent / 100.0 * reference
        predicted = dvh.dose_at_percent(volume) if volume > 0 else dvh.dose_at_cc(NEAR_MAXIMUM_CC)
        asked = _rounded(min(max(predicted, _LEAST_UPPER * level.dose_gy), most))
        if objectives and asked >= objectives[-1].dose_gy:
            continue
        what = f"D{volume:g}%" if volume > 0 else f"D{NEAR_MAXIMUM_CC:g}cc"
        sentence = (
            f"{what} is {predicted:.2f} Gy; the protocol allows {most:.2f} Gy{of_whom.format(limit.limit_percent)}."
        )
        objectives.append(
            PointObjective(
                **_of(structure),
                priority=settings.target_priority,
                operator="upper",
                dose_gy=asked,
                volume_percent=volume,
                origin=Origin("target-upper", predicted, 0.0, sentence),
            )
        )
    return tuple(objectives)


def _curve(dvh: Dvh, volumes_percent: Sequence[float]) -> list[tuple[float, float]]:
    """Give (volume, dose) at ascending volumes; 0 % stands for the near-maximum."""
    return [
        (volume, dvh.dose_at_percent(volume) if volume > 0 else dvh.dose_at_cc(NEAR_MAXIMUM_CC))
        for volume in sorted(volumes_percent)
    ]


def _distinct_points(points: Sequence[tuple[float, float]], settings: ExtractionSettings) -> list[tuple[float, float]]:
    """Drop points that are too low to matter or too close to the one kept before; the first always stays."""
    kept: list[tuple[float, float]] = []
    for volume, dose in points:
        low = dose <= settings.minimum_dose_gy
        close = bool(kept) and kept[-1][1] - dose < settings.minimum_step_gy
        if not low and not close:
            kept.append((volume, dose))
    return kept


def _upper(
    structure: Structure, volume: float, predicted: float, margin_percent: float, priority: float, rule: str
) -> PointObjective:
    what = f"D{volume:g}%" if volume > 0 else f"D{NEAR_MAXIMUM_CC:g}cc"
    sentence = f"{what} is {predicted:.2f} Gy{_margin_words(margin_percent)}."
    return PointObjective(
        **_of(structure), priority=priority, operator="upper", dose_gy=_with_margin(predicted, margin_percent),
        volume_percent=volume, origin=Origin(rule, predicted, margin_percent, sentence),
    )  # fmt: skip


def _line(structure: Structure, dvh: Dvh, margin_percent: float, priority: float) -> LineObjective:
    """Ask for the whole curve, at each percent of the volume from 99 to 0."""
    points = dict(_curve(dvh, tuple(float(volume) for volume in range(100))))
    # D0.03cc of a very small structure is below its D1%, and a curve must not fall towards smaller volumes
    points[0.0] = max(points[0.0], points[1.0])
    return LineObjective(
        **_of(structure),
        priority=priority,
        operator="upper",
        curve=tuple(
            CurvePoint(volume, _with_margin(dose, margin_percent)) for volume, dose in sorted(points.items())[::-1]
        ),
        origin=Origin("organ-line", points[0.0], margin_percent, f"The whole DVH{_margin_words(margin_percent)}."),
    )


def _with_margin(dose_gy: float, margin_percent: float) -> float:
    return _rounded(dose_gy * (1.0 - margin_percent / 100.0))


def _rounded(dose_gy: float) -> float:
    """Give hundredths of a gray: what planning systems show, and finer than any dose is known."""
    return round(dose_gy, 2)


def _margin_words(margin_percent: float) -> str:
    return f", asked {margin_percent:g} % lower" if margin_percent else ""


def _share(total: float, parts: int) -> float:
    """Split a priority evenly into whole numbers, which is all that Eclipse has been seen to import."""
    return float(max(1, round(total / parts))) if parts else 0.0


class _Roi(TypedDict):
    roi_number: int | None
    roi_name: str
    standard_name: str | None


def _of(structure: Structure) -> _Roi:
    in_set = structure.number > 0
    return {
        "roi_number": structure.number if in_set else None,
        "roi_name": structure.name,
        "standard_name": structure.standard_name if in_set else None,
    }
