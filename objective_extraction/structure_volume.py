"""How large the structures were that objectives were made for: by this, contours that were edited since are noticed.

A planning system keeps the UID of a structure set whose contours a planner changes. Its own volumes are not quite ours:
it makes a grid of the contours. Five systems misjudged spheres of 3 to 20 mm by up to 5 % on average and by a third at
worst (Stanley et al. 2021, PMC8248418). A shell of one thickness explains both, because small structures are mostly
shell; so the tolerance has one, and a part of the volume beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bridge.rt.errors import Refusal
from bridge.rt.structure import Structure

__all__ = ["StructureVolume", "structure_volumes"]

_PART = 0.02
"""Of the volume."""

_SHELL_CM = 0.03
"""Thickness of the shell around a sphere of the same volume."""

_SPHERE = (36.0 * math.pi) ** (1.0 / 3.0)
"""Surface of a sphere over its volume to the power of two thirds."""

_DECIMALS = 4


@dataclass(frozen=True)
class StructureVolume:
    """A structure of the structure set, and how large it is.

    Attributes
    ----------
    roi_number, roi_name
        As in the structure set.
    volume_cc
        Without end caps, as Eclipse counts.
    tolerance_cc
        How far the planning system's own volume may be from it: 2 % of it, and a shell of 0.3 mm around a sphere of
        this volume. That is 17 % of 1 cc, 7 % of 30 cc, 4 % of 400 cc.

    Raises
    ------
    Refusal
        A number is negative or not finite (``volume-range``).
    """

    roi_number: int
    roi_name: str
    volume_cc: float
    tolerance_cc: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) and number >= 0 for number in (self.volume_cc, self.tolerance_cc)):
            raise Refusal(
                "volume-range",
                f"{self.roi_name!r} cannot have {self.volume_cc!r} cc, give or take {self.tolerance_cc!r} cc.",
                roi=self.roi_name,
            )

    def fits(self, found_cc: float) -> bool:
        """Tell if a planning system's volume can be that of the same contours; one that is no number is not."""
        return abs(found_cc - self.volume_cc) <= self.tolerance_cc


def structure_volumes(structures: Iterable[Structure]) -> tuple[StructureVolume, ...]:
    """Give the volumes of the structures that have contours."""
    return tuple(_volume_of(structure) for structure in structures if not structure.is_empty)


def _volume_of(structure: Structure) -> StructureVolume:
    volume_cc = structure.volume_cc
    tolerance_cc = _PART * volume_cc + _SHELL_CM * _SPHERE * volume_cc ** (2.0 / 3.0)
    return StructureVolume(
        structure.number, structure.name, round(volume_cc, _DECIMALS), round(tolerance_cc, _DECIMALS)
    )
