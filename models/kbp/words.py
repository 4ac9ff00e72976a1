"""Regions and features of a knowledge-based model as a physicist would call them."""

from __future__ import annotations

from collections.abc import Mapping

from models.kbp.regions import Region

__all__ = ["REGION_WORDS", "feature_in_words"]

REGION_WORDS: Mapping[Region, str] = {
    "overlap": "inside targets",
    "in_field": "in the fields",
    "transmission": "behind the leaves",
    "out_of_field": "out of the fields",
}

_NUMBERS: Mapping[str, str] = {
    "log_organ_cc": "volume of the organ",
    "log_targets_cc": "volume of all targets",
    "log_highest_cc": "volume of the highest target",
    "fields": "part of the fields that see it",
    "share_overlap": "share inside targets",
    "share_in_field": "share in the fields",
    "share_transmission": "share behind the leaves",
}
_CURVES: Mapping[str, str] = {"expected": "expected dose by distance", "conformal": "dose of open fields"}


def feature_in_words(name: str) -> str:
    """Say what a feature measures: a number of :data:`models.kbp.regions.NUMBERS`, or a component of a curve."""
    curve, _, component = name.rpartition("_")
    return _NUMBERS.get(name) or f"{_CURVES[curve]} (component {component})"
