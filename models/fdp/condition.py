"""Preferences and beams as the numbers that condition the network.

Zero means no wish. A wish is told relative to the network's own neutral prediction for the same patient, so that it
means the same in an easy and in a hard anatomy:

- homogeneity: ``(wanted HI - neutral HI) / 0.05``
- an organ: ``log(weight) / log(1.25)``, where weight = neutral mean / wanted mean of the organ outside the targets

These are our own choices: the FDP paper gives neither its homogeneity index nor its weights' unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bridge.rt.arrays import VoxelArray
from models.fdp.channels import ORGANS

__all__ = ["CONDITION_SIZE", "HI_UNIT", "WEIGHT_UNIT", "beam_numbers", "condition_of"]

HI_UNIT = 0.05
WEIGHT_UNIT = float(np.log(1.25))

_HARMONICS = 4
_USUAL_BEAMS = 9

CONDITION_SIZE = 1 + len(ORGANS) + 1 + 2 * _HARMONICS
"""Homogeneity, the organs in their order, number of beams, and how unevenly the beams lie around the patient."""


def condition_of(hi_difference: float, weights: Mapping[str, float], gantry_deg: Sequence[float]) -> VoxelArray:
    """Give the condition ``(CONDITION_SIZE,)``.

    Parameters
    ----------
    hi_difference
        Wanted minus neutral homogeneity index.
    weights
        Weight of organs by name; 1 where missing.
    gantry_deg
        Beams of the plan.
    """
    organs = [np.log(weights.get(organ, 1.0)) / WEIGHT_UNIT for organ in ORGANS]
    return np.array([hi_difference / HI_UNIT, *organs, *beam_numbers(gantry_deg)], dtype=np.float32)


def beam_numbers(gantry_deg: Sequence[float]) -> list[float]:
    """Describe a set of beams whatever their order: how many against nine, and the mean of their first harmonics."""
    angles = np.deg2rad(np.asarray(gantry_deg, dtype=np.float64))
    orders = np.arange(1, _HARMONICS + 1)[:, None]
    count = float(np.log(len(angles) / _USUAL_BEAMS))
    return [count, *np.cos(orders * angles).mean(axis=1), *np.sin(orders * angles).mean(axis=1)]
