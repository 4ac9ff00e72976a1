"""Optimization objectives as small, validated values.

Each says what is asked of which structure, how strongly, and where the number came from. Dose is total dose over all
fractions in Gy, volume is percent of the structure's volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from bridge.rt.errors import Refusal

__all__ = [
    "HIGHEST_DOSE_GY",
    "CurvePoint",
    "GeudObjective",
    "LineObjective",
    "MeanObjective",
    "NormalTissueObjective",
    "Objective",
    "Operator",
    "Origin",
    "PointObjective",
    "check_name",
    "check_number",
]

Operator = Literal["upper", "lower"]

HIGHEST_DOSE_GY = 200.0
"""No objective of external beam radiotherapy reaches this; cGy read as Gy does."""

_LONGEST_NAME = 64
"""ROI Name (3006,0026) is LO: at most 64 characters."""


def check_number(what: str, value: float, low: float, high: float, roi_name: str = "") -> None:
    """Refuse a number that is not finite, at or below ``low`` or above ``high``.

    Raises
    ------
    Refusal
        ``objective-range``.
    """
    if not (math.isfinite(value) and low < value <= high):
        raise Refusal(
            "objective-range",
            f"The {what} of an objective must be above {low:g} and at most {high:g}, got {value!r}.",
            **({"roi": roi_name} if roi_name else {}),
        )


def check_name(name: str, longest: int = _LONGEST_NAME) -> None:
    """Refuse a structure name that is empty, too long, or holds characters that do not print.

    Raises
    ------
    Refusal
        ``structure-name``.
    """
    if not name.strip() or len(name) > longest or not name.isprintable():
        raise Refusal(
            "structure-name",
            f"A structure name must have 1 to {longest} printable characters, got {name!r}; rename the structure.",
        )


def _check_volume(value: float, roi_name: str) -> None:
    if not (math.isfinite(value) and 0.0 <= value <= 100.0):
        raise Refusal("objective-range", f"The volume of an objective must be 0 to 100 %, got {value!r}.", roi=roi_name)


def _check_operator(value: str, roi_name: str) -> None:
    if value not in ("upper", "lower"):
        raise Refusal("objective-operator", f"An operator is 'upper' or 'lower', got {value!r}.", roi=roi_name)


@dataclass(frozen=True)
class Origin:
    """Where the numbers of an objective come from.

    Attributes
    ----------
    rule
        Identifier of the extraction rule (``"organ-curve"``), or ``"manual"``.
    predicted_gy
        The value in the dose that was read, before any margin or limit; None where no dose was read for it.
    margin_percent
        How far below (upper objectives) the predicted value was asked for.
    sentence
        The same for a person.
    """

    rule: str
    predicted_gy: float | None
    margin_percent: float
    sentence: str

    def __post_init__(self) -> None:
        numbers = [self.margin_percent] + ([] if self.predicted_gy is None else [self.predicted_gy])
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise Refusal("objective-range", f"The origin of an objective holds impossible numbers: {numbers}.")


@dataclass(frozen=True, kw_only=True)
class _Common:
    """What every objective has.

    Attributes
    ----------
    roi_number
        ROI Number in the structure set; None for a derived structure, which no structure set holds.
    roi_name
        Name of the structure in the planning system.
    standard_name
        TG-263 name, where known.
    priority
        Weight, above 0. Only whole numbers have been seen to import into Eclipse from a template.
    origin
        Where it came from.
    """

    roi_number: int | None
    roi_name: str
    standard_name: str | None
    priority: float
    origin: Origin

    def __post_init__(self) -> None:
        check_name(self.roi_name)
        check_number("priority", self.priority, 0.0, 1000.0, self.roi_name)


@dataclass(frozen=True, kw_only=True)
class PointObjective(_Common):
    """At most (``upper``) or at least (``lower``) ``volume_percent`` of the structure gets ``dose_gy`` or more."""

    kind: ClassVar[Literal["point"]] = "point"
    operator: Operator
    dose_gy: float
    volume_percent: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_operator(self.operator, self.roi_name)
        check_number("dose in Gy", self.dose_gy, 0.0, HIGHEST_DOSE_GY, self.roi_name)
        _check_volume(self.volume_percent, self.roi_name)


@dataclass(frozen=True, kw_only=True)
class MeanObjective(_Common):
    """The mean dose is not to exceed ``dose_gy``."""

    kind: ClassVar[Literal["mean"]] = "mean"
    dose_gy: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("dose in Gy", self.dose_gy, 0.0, HIGHEST_DOSE_GY, self.roi_name)


@dataclass(frozen=True, kw_only=True)
class GeudObjective(_Common):
    """The generalized equivalent uniform dose with exponent ``a`` is at most or at least ``dose_gy``.

    An upper objective needs ``a`` of 1 or more (1 is the mean, large values approach the maximum), a lower one needs
    ``a`` of 1 or less and not 0 (large negative values approach the minimum).
    """

    kind: ClassVar[Literal["geud"]] = "geud"
    operator: Operator
    dose_gy: float
    a: float

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_operator(self.operator, self.roi_name)
        check_number("dose in Gy", self.dose_gy, 0.0, HIGHEST_DOSE_GY, self.roi_name)
        fits = 1.0 <= self.a <= 100.0 if self.operator == "upper" else -100.0 <= self.a <= 1.0 and self.a != 0
        if not fits:
            raise Refusal(
                "objective-range",
                f"A gEUD exponent must be 1 to 100 for an upper objective and -100 to 1, not 0, for a lower one, got "
                f"{self.a!r} for {self.operator}.",
                roi=self.roi_name,
            )


@dataclass(frozen=True)
class CurvePoint:
    """One point of a DVH curve: ``volume_percent`` gets ``dose_gy`` or more."""

    volume_percent: float
    dose_gy: float


@dataclass(frozen=True, kw_only=True)
class LineObjective(_Common):
    """A whole DVH curve not to be exceeded (``upper``) or fallen short of (``lower``).

    Attributes
    ----------
    curve
        At least two points, volumes descending, doses not descending.
    """

    kind: ClassVar[Literal["line"]] = "line"
    operator: Operator
    curve: tuple[CurvePoint, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_operator(self.operator, self.roi_name)
        for point in self.curve:
            check_number("dose in Gy", point.dose_gy, -1e-9, HIGHEST_DOSE_GY, self.roi_name)
            _check_volume(point.volume_percent, self.roi_name)
        volumes = [point.volume_percent for point in self.curve]
        doses = [point.dose_gy for point in self.curve]
        if len(volumes) < 2 or (np.diff(volumes) >= 0).any() or (np.diff(doses) < 0).any():
            raise Refusal(
                "objective-curve",
                "A line objective needs two or more points with descending volumes and doses that never descend.",
                roi=self.roi_name,
            )

    def sampled(self, volumes_percent: tuple[float, ...]) -> tuple[PointObjective, ...]:
        """Give point objectives at the volumes, sharing the priority evenly; a point at 0 Gy is left out.

        This is how a curve reaches a planning system that takes points only. Volumes outside the curve take its end.
        """
        ascending = self.curve[::-1]
        doses = np.interp(
            volumes_percent,
            [point.volume_percent for point in ascending],
            [point.dose_gy for point in ascending],
        )
        asked = [(volume, float(dose)) for volume, dose in zip(volumes_percent, doses, strict=True) if dose > 0]
        return tuple(
            PointObjective(
                roi_number=self.roi_number,
                roi_name=self.roi_name,
                standard_name=self.standard_name,
                priority=self.priority / len(asked),
                origin=self.origin,
                operator=self.operator,
                dose_gy=dose,
                volume_percent=volume,
            )
            for volume, dose in asked
        )


Objective: TypeAlias = PointObjective | MeanObjective | GeudObjective | LineObjective


@dataclass(frozen=True)
class NormalTissueObjective:
    """The fall-off asked of the dose outside the targets.

    Attributes
    ----------
    priority
        Weight, above 0.
    distance_mm, start_dose_percent, end_dose_percent, fall_off_per_mm
        Distance from the target border at which it starts, the dose there and far away in percent of the targets'
        upper objective, and the steepness between them. All None: the planning system chooses (automatic).
    """

    priority: float
    distance_mm: float | None = None
    start_dose_percent: float | None = None
    end_dose_percent: float | None = None
    fall_off_per_mm: float | None = None

    def __post_init__(self) -> None:
        check_number("priority", self.priority, 0.0, 1000.0)
        manual = (self.distance_mm, self.start_dose_percent, self.end_dose_percent, self.fall_off_per_mm)
        given = [value for value in manual if value is not None]
        if given and (len(given) < len(manual) or not all(math.isfinite(value) and value >= 0 for value in given)):
            raise Refusal(
                "objective-range",
                f"A normal tissue objective needs all four numbers, none negative, or none at all; got {manual}.",
            )

    @property
    def is_automatic(self) -> bool:
        """Whether the planning system chooses the fall-off."""
        return self.distance_mm is None
