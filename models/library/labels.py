"""Preference labels: how a plan differs from the reference plan of the same patient and beams, as a planner would ask.

An organ's weight is the mean dose of its part outside the targets in the reference plan over that in this plan: 1 for
the reference plan, more where the organ is spared more. That is what the weights of FDP's condition mean
(:mod:`models.fdp.condition`), with the reference plan in the place of the neutral prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from models.library.measures import PlanMeasures
from models.preference import Preference

__all__ = ["PreferenceLabel", "label_of"]

_LEAST_MEAN_GY = 0.5
"""Below this an organ is out of the beams, and a ratio of two such means says nothing of anybody's wish."""


@dataclass(frozen=True)
class PreferenceLabel:
    """What a planner would have had to ask for to get a plan.

    Attributes
    ----------
    hi
        (D2% - D98%) / D50% of the highest target.
    hi_difference
        The same less that of the reference plan.
    oar_weight
        Geometric mean of the weights of all organs.
    oar_weights
        Weight of each organ; an organ that lies in the targets, or out of all beams, has none.
    """

    hi: float
    hi_difference: float
    oar_weight: float
    oar_weights: Mapping[str, float]

    def preference(self, name: str) -> Preference:
        """Give the preference that asks for the plan: homogeneity and organs one by one, no common weight on top."""
        return Preference(name, hi=self.hi, oar_weights=dict(self.oar_weights))


def label_of(plan: PlanMeasures, reference: PlanMeasures) -> PreferenceLabel:
    """Label a plan by what sets it apart from the reference plan."""
    usual, now = reference.organ_means_gy(), plan.organ_means_gy()
    weights = {
        organ: usual[organ] / now[organ]
        for organ in usual
        if organ in now and min(usual[organ], now[organ]) >= _LEAST_MEAN_GY
    }
    logs = [math.log(weight) for weight in weights.values()]
    common = math.exp(sum(logs) / len(logs)) if logs else 1.0
    return PreferenceLabel(plan.hi, plan.hi - reference.hi, common, weights)
