"""The desired DVH: one point of a curve is drawn elsewhere, and the sliders that come nearest to it are looked for.

A dose answers to each slider nearly in one direction: between two settings on either side of what is wanted, false
position (with the Illinois rule, so that no end stays for ever) comes near in a few predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from bridge.rt.case import PatientCase
from models.card import ModelCard
from models.preference import Preference

__all__ = ["MOST_PREDICTIONS", "Step", "Wheel", "approach", "wheels_for"]

MOST_PREDICTIONS = 12
"""What is not found by then is not worth a longer wait: the setting that came nearest is given."""

_NEAR_GY = 0.1
"""Nearer than this no model is right."""

_NARROW = 0.01
"""Part of a slider's range that is not divided any further."""


@dataclass(frozen=True)
class Wheel:
    """One slider that may be turned: the name of its wish, where it stands, and its range."""

    name: str
    start: float
    low: float
    high: float


Predicted = TypeVar("Predicted")


@dataclass(frozen=True)
class Step(Generic[Predicted]):
    """One prediction of the search.

    Attributes
    ----------
    number
        From 0, which is the start.
    preference, predicted, reached_gy
        What was asked for, what came out, and its dose at the wanted volume.
    is_nearest
        Whether nothing before came nearer.
    """

    number: int
    preference: Preference
    predicted: Predicted
    reached_gy: float
    is_nearest: bool


def wheels_for(
    card: ModelCard, case: PatientCase, roi_number: int, start: Preference, neutral_hi: float
) -> tuple[Wheel, ...]:
    """Give the sliders that move a structure's dose, the one that moves least else first.

    Parameters
    ----------
    start
        Where they stand.
    neutral_hi
        Homogeneity of the highest target where nothing is wished of it.
    """
    prescription, preferences = case.prescription, card.preferences
    levels = () if prescription is None else prescription.levels
    standard_name = next((one.standard_name for one in case.structures if one.number == roi_number), None)
    if any(level.roi_number == roi_number for level in levels):
        names = ["hi", "oar_weight"]
    else:
        names = [f"oar_weight.{standard_name}", "oar_weight"]
    wishes, wheels = start.as_dict(), []
    for name in names:
        ends = preferences.range_of(name)
        if ends is not None:
            neutral = neutral_hi if name == "hi" else 1.0
            wheels.append(Wheel(name, min(max(wishes.get(name, neutral), ends[0]), ends[1]), *ends))
    return tuple(wheels)


def approach(
    wanted_gy: float,
    start: Preference,
    wheels: Sequence[Wheel],
    predict: Callable[[Preference], Predicted],
    dose_gy: Callable[[Predicted], float],
    most: int = MOST_PREDICTIONS,
) -> Iterator[Step[Predicted]]:
    """Turn one slider after the other until the wanted dose is reached, or the predictions are used up.

    Parameters
    ----------
    wanted_gy
        Dose at the wanted volume.
    start
        Where the sliders stand; also the first prediction.
    wheels
        See :func:`wheels_for`.
    predict
        Takes most of the time.
    dose_gy
        Gives the dose at that volume.
    most
        Predictions at most.
    """
    predicted = predict(start)
    nearest, missed = start, dose_gy(predicted) - wanted_gy
    yield Step(0, start, predicted, missed + wanted_gy, True)
    left, number = most - 1, 0
    for wheel in wheels:
        search = _Bracket(wheel, missed)
        base = nearest
        while left > 0 and abs(missed) > _NEAR_GY and (value := search.next()) is not None:
            preference = _turned(base, wheel.name, value)
            left, number = left - 1, number + 1
            predicted = predict(preference)
            off = dose_gy(predicted) - wanted_gy
            search.add(value, off)
            is_nearest = abs(off) < abs(missed)
            if is_nearest:
                nearest, missed = preference, off
            yield Step(number, preference, predicted, off + wanted_gy, is_nearest)


class _Bracket:
    """Where to look next along one slider."""

    def __init__(self, wheel: Wheel, missed: float) -> None:
        self._low, self._high = wheel.low, wheel.high
        # more weight gives less dose, so that the end that probably helps is tried first
        ends = [wheel.high, wheel.low] if missed > 0 and wheel.name != "hi" else [wheel.low, wheel.high]
        self._ends = [end for end in ends if end != wheel.start]
        self._one = (wheel.start, missed)
        self._other: tuple[float, float] | None = None

    def next(self) -> float | None:
        """Give the next value to try, or None where this slider has no more to give."""
        if self._other is None:
            return self._ends.pop(0) if self._ends else None
        (a, missed_a), (b, missed_b) = self._one, self._other
        if abs(b - a) <= _NARROW * (self._high - self._low):
            return None
        return a + (b - a) * missed_a / (missed_a - missed_b)

    def add(self, value: float, missed: float) -> None:
        """Take in what a value gave."""
        if self._other is None:
            if missed * self._one[1] < 0:
                self._other = (value, missed)
            return
        if missed * self._other[1] < 0:
            self._one, self._other = self._other, (value, missed)
        else:
            self._one, self._other = (self._one[0], self._one[1] / 2.0), (value, missed)


def _turned(preference: Preference, name: str, value: float) -> Preference:
    if name == "hi":
        return replace(preference, hi=value)
    organ = name.partition(".")[2]
    if organ:
        return replace(preference, oar_weights={**preference.oar_weights, organ: value})
    return replace(preference, oar_weight=value)
