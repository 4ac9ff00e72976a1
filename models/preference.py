"""What a planner asks of a prediction beyond the anatomy, and the preferences that have a name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from bridge.rt.errors import ModelRefusal

__all__ = ["COVER", "NAMED", "NEUTRAL", "SPARE", "Preference", "preference_of"]


@dataclass(frozen=True)
class Preference:
    """What a planner asks of a prediction beyond the anatomy.

    Attributes
    ----------
    name
        How the preference is called in lists and reports.
    hi
        Wanted homogeneity of the highest target, in the definition that the model's card gives; None is no wish.
    oar_weight
        Weight of all organs at risk; 1 is usual, more spares them more, None is no wish.
    oar_weights
        Weights of single organs by structure name.

    Raises
    ------
    ModelRefusal
        A value that is negative or not a finite number (``preference-value``).
    """

    name: str
    hi: float | None = None
    oar_weight: float | None = None
    oar_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, value in self.as_dict().items():
            if not (math.isfinite(value) and value >= 0):
                raise ModelRefusal(
                    "preference-value",
                    f"Preference {what} must be a number of 0 or more, got {value}.",
                    preference=what,
                )

    def as_dict(self) -> dict[str, float]:
        """Give the wishes by name, ``oar_weight.<structure>`` for single organs; empty when there are none."""
        single = {"hi": self.hi, "oar_weight": self.oar_weight}
        organs = {f"oar_weight.{organ}": weight for organ, weight in self.oar_weights.items()}
        return {what: value for what, value in single.items() if value is not None} | organs


NEUTRAL = Preference("balanced")
"""No wish at all: the trade-off of the plans that a model was made from. Every model honours it."""

SPARE = Preference("spare", oar_weight=1.25)
"""Organs first: P1 of the FDP paper."""

COVER = Preference("cover", hi=0.06, oar_weight=0.85)
"""Targets first: P2 of the FDP paper. By (D2 - D98)/D50 an index of 0.06 is homogeneous; by D5/D95 it would be
impossible, and a card with that index refuses it."""

NAMED: Mapping[str, Preference] = MappingProxyType({wish.name: wish for wish in (SPARE, NEUTRAL, COVER)})
"""By name, from organs first to targets first."""


def preference_of(
    name: str, hi: float | None, oar_weight: float | None, oar_weights: Mapping[str, float]
) -> Preference:
    """Start from a named preference and add wishes of one's own.

    Raises
    ------
    ModelRefusal
        No preference has that name (``preference-unknown``), or a value is impossible.
    """
    named = NAMED.get(name)
    if named is None:
        raise ModelRefusal(
            "preference-unknown", f"There is no preference {name!r}; known are: {', '.join(NAMED)}.", preference=name
        )
    return replace(
        named,
        hi=named.hi if hi is None else hi,
        oar_weight=named.oar_weight if oar_weight is None else oar_weight,
        oar_weights={**named.oar_weights, **oar_weights},
    )
