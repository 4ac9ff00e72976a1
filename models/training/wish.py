"""A wish in the units of the condition, and how a plan of a library says what wish it was made for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from models.fdp.channels import ORGANS
from models.fdp.condition import HI_UNIT, WEIGHT_UNIT
from models.library.labels import PreferenceLabel

__all__ = ["NO_WISH", "Wish", "wish_of"]

_MIRRORED = tuple(ORGANS.index({"Parotid_R": "Parotid_L", "Parotid_L": "Parotid_R"}.get(name, name)) for name in ORGANS)

_LARGEST_LABEL = 4.0
"""An organ at two fifths of its usual dose. What a plan did beyond that is told as this much: an organ at the edge of
the beams has ratios of any size, and a few of them would outweigh all the others."""


@dataclass(frozen=True)
class Wish:
    """A wish in the units of the condition.

    Attributes
    ----------
    hi
        In units of :data:`~models.fdp.condition.HI_UNIT`.
    organs
        In units of :data:`~models.fdp.condition.WEIGHT_UNIT`, in the order of the organs.
    """

    hi: float
    organs: tuple[float, ...]

    def numbers(self) -> list[float]:
        """Give the first numbers of a condition."""
        return [self.hi, *self.organs]

    def seen(self, mirrored: bool) -> Wish:
        """Give the wish for the patient in the mirror, where left and right parotid change places, or as it is."""
        return Wish(self.hi, tuple(self.organs[place] for place in _MIRRORED)) if mirrored else self


NO_WISH = Wish(0.0, (0.0,) * len(ORGANS))


def wish_of(label: PreferenceLabel) -> Wish:
    """Turn a plan's label into the wish that asks for the plan; an organ without a label is not wished for."""
    organs = [math.log(label.oar_weights.get(organ, 1.0)) / WEIGHT_UNIT for organ in ORGANS]
    hi, *rest = np.clip([label.hi_difference / HI_UNIT, *organs], -_LARGEST_LABEL, _LARGEST_LABEL).tolist()
    return Wish(hi, tuple(rest))
