"""What the sliders of a case are: the wishes that the model honours for the structures that are there."""

from __future__ import annotations

import math
from typing import Any

from bridge.report.case_data import in_order
from bridge.rt.case import PatientCase
from bridge.rt.structure import Structure
from models.card import ModelCard

__all__ = ["sliders_of"]

_STEP_HI, _STEP_WEIGHT = 0.005, 0.01
_ROUNDING = 1e-6
"""Of a quotient that is a whole number but for the last digit."""


def sliders_of(card: ModelCard, case: PatientCase) -> list[dict[str, Any]]:
    """Give the sliders, with their ranges in whole steps, in the order in which tables list their structures.

    ``name`` is that of the wish (:meth:`models.card.Preferences.names`); ``neutral`` is the value that is no wish, and
    null for the homogeneity index: there it is what the dose without a wish has.
    """
    sliders = []
    for name in card.preferences.names():
        organ = name.partition(".")[2]
        structure = _organ(case, organ) if organ else None
        if organ and structure is None:
            continue  # a weight for an organ that is not there moves nothing
        step = _STEP_HI if name == "hi" else _STEP_WEIGHT
        low, high = _in_steps(card.preferences.range_of(name) or (0.0, 0.0), step)
        sliders.append(
            {
                "name": name,
                "roi_number": structure.number if structure else None,
                "roi_name": structure.name if structure else None,
                "low": low,
                "high": high,
                "step": step,
                "neutral": None if name == "hi" else 1.0,
                "metric": card.preferences.hi_definition if name == "hi" else None,
            }
        )
    assert case.prescription is not None  # noqa: S101 - a case without one was refused
    order = [structure.number for structure in in_order(case.structures, case.prescription)]
    return sorted(sliders, key=lambda one: -1 if one["roi_number"] is None else order.index(one["roi_number"]))


def _in_steps(ends: tuple[float, float], step: float) -> tuple[float, float]:
    """Give the multiples of a step within a range: a browser counts steps from the low end, and 1 has to be one."""
    low, high = ends
    return round(math.ceil(low / step - _ROUNDING) * step, 6), round(math.floor(high / step + _ROUNDING) * step, 6)


def _organ(case: PatientCase, standard_name: str) -> Structure | None:
    for structure in case.structures:
        if structure.standard_name == standard_name and not structure.is_empty:
            return structure
    return None
