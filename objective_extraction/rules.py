"""The rules of extraction, one structure at a time: from a DVH to what the optimizer is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

from bridge.rt.dvh import Dvh
from bridge.rt.prescription import TargetLevel
from bridge.rt.structure import Structure
from objective_extraction.near_maximum import NEAR_MAXIMUM_CC, near_maximum
from objective_extraction.objectives import (
    CurvePoint,
    LineObjective,
    MeanObjective,
    Objective,
    Origin,
    PointObjective,
)
from objective_extraction.settings import ExtractionSettings, TargetUpperLimit

__all__ = [
    "NEAR_MAXIMUM_CC",
    "asks_for_mean",
    "least_of_target_gy",
    "most_of_target_gy",
    "organ_objectives",
    "ring_objectives",
    "target_lower",
    "target_upper",
]

_COVERED_PERCENT = 95.0
_COVERAGE_FLOOR = 0.95
"""At 95 % of the volume or less a target is asked for all of its prescription, at more for 95 % of it (ICRU 83)."""

_LEAST_UPPER = 1.03
"""No upper objective begins below this part of the prescription: an optimizer needs room above the lower ones, which
end at the prescription itself, as more buys nothing."""


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
        too, or nothing would bound the dose of a serial organ where it meets a target. Without any volumes in the
        settings there is no point at all.
    """
    margin = settings.margin_percent
    points = _distinct_points(_curve(dvh, settings.volumes_percent), settings)
    of_whole = [] if whole is None or not settings.volumes_percent else _curve(whole[1], (0.0,))
    maximum = _distinct_points(of_whole, settings)
    ask_mean = mean and _matters(dvh.mean_gy, settings)
    as_line = settings.organ_form == "line" and bool(points)
    parts = (1 if as_line else len(points)) + len(maximum) + ask_mean
    priority = _share(settings.organ_total_priority, parts)
    objectives: list[Objective] = []
    if whole is not None:
        objectives += [_upper(whole[0], asked, margin, priority, "organ-maximum") for asked in maximum]
    if as_line:
        objectives.append(_line(structure, dvh, margin, priority))
    else:
        objectives += [_upper(structure, asked, margin, priority, "organ-curve") for asked in points]
    if ask_mean:
        sentence = f"Mean dose {dvh.mean_gy:.2f} Gy{_margin_words(margin)}."
        objectives.append(
            MeanObjective(
                **_of(structure),
                priority=priority,
                dose_gy=_with_margin(dvh.mean_gy, margin),
                origin=Origin("organ-mean", dvh.mean_gy, margin, sentence),
            )
        )
    return tuple(objectives)


def asks_for_mean(organ: Structure, settings: ExtractionSettings) -> bool:
    """Whether an organ is one of the parallel ones that get an upper mean dose."""
    return (organ.standard_name or organ.name) in settings.mean_objective_for


def ring_objectives(structure: Structure, dvh: Dvh, settings: ExtractionSettings) -> tuple[Objective, ...]:
    """Ask that the dose around the targets falls off as it does in the dose."""
    points = _distinct_points(_curve(dvh, settings.ring_volumes_percent), settings)
    priority = _share(settings.ring_total_priority, len(points))
    return tuple(_upper(structure, asked, 0.0, priority, "ring") for asked in points)


def target_lower(
    structure: Structure, dvh: Dvh, level: TargetLevel, settings: ExtractionSettings
) -> tuple[Objective, ...]:
    """Ask for coverage: the dose of each lower volume, but no less than the prescription demands.

    A point that the one at the next larger volume already implies is left out.
    """
    objectives: list[PointObjective] = []
    for volume in sorted(settings.target_lower_volumes_percent, reverse=True):
        predicted = dvh.dose_at_percent(volume)
        floor = least_of_target_gy(volume, level)
        asked = _rounded(min(max(predicted, floor), level.dose_gy))
        if objectives and asked <= objectives[-1].dose_gy:
            continue
        sentence = f"D{volume:g}% is {predicted:.2f} Gy; {_lower_rule(predicted, floor, level)}."
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


def _lower_rule(predicted_gy: float, floor_gy: float, level: TargetLevel) -> str:
    """Say by which rule a lower objective of a target comes by its dose."""
    least = f"{100 * floor_gy / level.dose_gy:.0f} % of the prescription"
    if predicted_gy >= level.dose_gy:
        return f"asked for {level.dose_gy:.2f} Gy, the prescription, as more buys nothing"
    if predicted_gy < floor_gy:
        return f"asked for {floor_gy:.2f} Gy, which is {least} and the least that is asked"
    return f"asked for as much, being above the least of {floor_gy:.2f} Gy, {least}"


def least_of_target_gy(volume_percent: float, level: TargetLevel) -> float:
    """Give the dose that the prescription demands for a volume of a target."""
    return level.dose_gy * (1.0 if volume_percent <= _COVERED_PERCENT else _COVERAGE_FLOOR)


def most_of_target_gy(limit: TargetUpperLimit, level: TargetLevel, next_higher_gy: float | None) -> float:
    """Give the dose that the settings allow for a volume of a target; see :func:`target_upper` for the reference."""
    return limit.limit_percent / 100.0 * (next_higher_gy or level.dose_gy)


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
    of_whom = f"the next higher level of {reference:g} Gy" if next_higher_gy else "the prescription"
    least = _LEAST_UPPER * level.dose_gy
    for limit in sorted(settings.target_upper_limits, key=lambda limit: limit.volume_percent):
        most = most_of_target_gy(limit, level, next_higher_gy)
        read = _read(dvh, limit.volume_percent)
        asked = _rounded(min(max(read.dose_gy, least), most))
        if objectives and asked >= objectives[-1].dose_gy:
            continue
        rule = _upper_rule(read.dose_gy, least, most, f"{limit.limit_percent:g} % of {of_whom}")
        objectives.append(
            PointObjective(
                **_of(structure),
                priority=settings.target_priority,
                operator="upper",
                dose_gy=asked,
                volume_percent=read.volume_percent,
                origin=Origin("target-upper", read.dose_gy, 0.0, f"{read.what} is {read.dose_gy:.2f} Gy; {rule}."),
            )
        )
    return tuple(objectives)


def _upper_rule(predicted_gy: float, least_gy: float, most_gy: float, most_is: str) -> str:
    """Say by which rule an upper objective of a target comes by its dose."""
    if max(predicted_gy, least_gy) >= most_gy:
        return f"asked for the most that is allowed, {most_gy:.2f} Gy, {most_is}"
    if predicted_gy < least_gy:
        return f"asked for {least_gy:.2f} Gy, {100 * _LEAST_UPPER:g} % of the prescription, for the optimizer's room"
    return f"asked for as much, within the allowed {most_gy:.2f} Gy, {most_is}"


class _Read(NamedTuple):
    """One point of a DVH: the dose at a volume, and what it is called."""

    volume_percent: float
    dose_gy: float
    what: str


def _read(dvh: Dvh, volume_percent: float) -> _Read:
    """Give the dose at a volume; 0 % stands for the near-maximum."""
    if volume_percent > 0:
        return _Read(volume_percent, dvh.dose_at_percent(volume_percent), f"D{volume_percent:g}%")
    maximum = near_maximum(dvh)
    return _Read(0.0, maximum.dose_gy, maximum.name)


def _curve(dvh: Dvh, volumes_percent: Sequence[float]) -> list[_Read]:
    """Give the points at ascending volumes."""
    return [_read(dvh, volume) for volume in sorted(volumes_percent)]


def _distinct_points(points: Sequence[_Read], settings: ExtractionSettings) -> list[_Read]:
    """Drop points that are too low to matter or too close to the one kept before; the first always stays."""
    kept: list[_Read] = []
    for point in points:
        close = bool(kept) and kept[-1].dose_gy - point.dose_gy < settings.minimum_step_gy
        if _matters(point.dose_gy, settings) and not close:
            kept.append(point)
    return kept


def _matters(dose_gy: float, settings: ExtractionSettings) -> bool:
    """Whether a dose is worth an objective: above the least, and not 0 in the hundredths that are asked for."""
    return dose_gy > settings.minimum_dose_gy and _with_margin(dose_gy, settings.margin_percent) > 0


def _upper(structure: Structure, read: _Read, margin_percent: float, priority: float, rule: str) -> PointObjective:
    return PointObjective(
        **_of(structure),
        priority=priority,
        operator="upper",
        dose_gy=_with_margin(read.dose_gy, margin_percent),
        volume_percent=read.volume_percent,
        origin=Origin(
            rule, read.dose_gy, margin_percent, f"{read.what} is {read.dose_gy:.2f} Gy{_margin_words(margin_percent)}."
        ),
    )


def _line(structure: Structure, dvh: Dvh, margin_percent: float, priority: float) -> LineObjective:
    """Ask for the whole curve, at each percent of the volume from 99 to 0."""
    points = {read.volume_percent: read.dose_gy for read in _curve(dvh, tuple(float(v) for v in range(100)))}
    # the near-maximum of a small structure may be below its D1%, and a curve must not fall towards smaller volumes
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
    in_set = structure.number >= 0  # 0 is a ROI number like any other; what is derived here has a negative one
    return {
        "roi_number": structure.number if in_set else None,
        "roi_name": structure.name,
        "standard_name": structure.standard_name if in_set else None,
    }
