"""Preferences in training: what a plan turned out to be, and what a random wish asks for.

OpenKBP has no preference labels. Two sources stand in for them. In hindsight, a plan that spared a parotid more than
the network would have is a plan made with that wish. And a random wish has no plan, but says itself what the dose
should measure; beyond that it should stay what it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.fdp.channels import ORGANS
from models.fdp.condition import HI_UNIT, WEIGHT_UNIT
from models.training.dataset import ROIS, Sample
from models.training.losses import quantile
from models.training.wish import Wish

__all__ = ["Measures", "hindsight", "measure", "random_wish", "wish_loss"]

_ORGANS = slice(0, len(ORGANS))
_TARGETS = slice(len(ORGANS), len(ROIS))
_FEWEST_VOXELS = 30
_TAIL = 0.04
"""The mean of the lowest or highest twenty-fifth of the voxels is near D98 or D2, and moves with each of them."""

_KEPT = 0.5
"""Weight of the organs that nobody wished for, against those that somebody did."""

_LARGEST = 2.0
"""Wishes beyond twice the unit are beyond what plans of this kind differ by."""


@dataclass(frozen=True)
class Measures:
    """What a preference speaks of, on one dose.

    Attributes
    ----------
    hi
        (D2 - D98) / D50 of the highest target (ICRU 83).
    d95
        Of each target that is there, over the highest level, in the order of the targets.
    organs
        Mean dose of each organ outside all targets, over the highest level; not a number where there is none.
    """

    hi: Tensor
    d95: Tensor
    organs: Tensor


def measure(dose: Tensor, rois: Tensor) -> Measures:
    """Measure a dose ``(z, y, x)`` on the structures ``(len(ROIS), z, y, x)`` of the same box."""
    targets = rois[_TARGETS]
    outside = ~targets.any(dim=0)
    organs = []
    for organ in rois[_ORGANS]:
        inside = organ & outside
        few = int(inside.sum()) < _FEWEST_VOXELS
        organs.append(dose.new_full((), torch.nan) if few else dose[inside].mean())
    present = [dose[target].sort().values for target in targets if int(target.sum()) >= _FEWEST_VOXELS]
    if not present:
        return Measures(dose.new_full((), torch.nan), dose.new_empty(0), torch.stack(organs))
    highest = present[-1]  # ROIS lists the targets by ascending level
    hi = (quantile(highest, 0.98) - quantile(highest, 0.02)) / quantile(highest, 0.5).clamp_min(0.1)
    return Measures(hi, torch.stack([quantile(values, 0.05) for values in present]), torch.stack(organs))


def hindsight(plan: Measures, neutral: Measures) -> Wish:
    """Name the wish that makes the plan of the neutral prediction."""
    hi = float((plan.hi - neutral.hi) / HI_UNIT)
    organs = (neutral.organs.clamp_min(1e-3) / plan.organs.clamp_min(1e-3)).log() / WEIGHT_UNIT
    return Wish(_limited(hi), tuple(_limited(float(value)) for value in organs))


def random_wish(rng: np.random.Generator) -> Wish:
    """Draw a wish: homogeneity, and either all organs alike, or single ones."""
    hi = float(rng.uniform(-1.0, 1.5)) if rng.random() < 0.6 else 0.0
    if rng.random() < 1 / 3:
        return Wish(hi, (float(rng.uniform(-1.5, 1.5)),) * len(ORGANS))
    chosen = rng.random(len(ORGANS)) < 0.4
    return Wish(hi, tuple(float(value) for value in np.where(chosen, rng.uniform(-1.5, 1.5, len(ORGANS)), 0.0)))


def wish_loss(dose: Tensor, neutral: Tensor, sample: Sample, wishes: list[Wish]) -> dict[str, Tensor]:
    """Hold a dose against random wishes: FDP's objective consistency, relative to the neutral dose.

    Parameters
    ----------
    dose, neutral
        ``(B, 1, z, y, x)``; the second is taken as it is.
    wishes
        One for each box.

    Returns
    -------
    dict
        ``homogeneity`` ``|h~ - h^|``, by the means of the tails of the highest target: a quantile's gradient reaches
        two voxels, and nothing is learned from it. ``prescription`` ``|p - p^|`` (D95 of each target stays);
        ``organs`` ``|u/w~ - u^|``, organs with a wish and organs without averaged apart; ``elsewhere``: the rest of
        the dose stays.
    """
    losses: dict[str, list[Tensor]] = {"homogeneity": [], "prescription": [], "organs": [], "elsewhere": []}
    for index, wish in enumerate(wishes):
        rois = sample.rois[index]
        before, now = measure(neutral[index, 0], rois), measure(dose[index, 0], rois)
        # nobody can be more homogeneous than this, but a neutral dose that already is may stay so
        floor = torch.minimum(before.hi, before.hi.new_tensor(0.02))
        wanted_hi = torch.maximum(before.hi + wish.hi * HI_UNIT, floor)
        if torch.isfinite(now.hi):
            highest = [target for target in rois[_TARGETS] if int(target.sum()) >= _FEWEST_VOXELS][-1]
            change = _width(dose[index, 0][highest]) - _width(neutral[index, 0][highest])
            losses["homogeneity"].append((change - (wanted_hi - before.hi)).abs())
            losses["prescription"].append((now.d95 - before.d95).abs().mean())
        weights = dose.new_tensor(wish.organs)
        wished, factor = weights != 0.0, torch.exp(-WEIGHT_UNIT * weights)
        there = torch.isfinite(before.organs)
        missed = (now.organs - before.organs * factor).abs()
        groups = [(1.0, missed[there & wished]), (_KEPT, missed[there & ~wished])]
        if bool(there.any()):
            losses["organs"].append(torch.stack([w * values.mean() for w, values in groups if len(values)]).sum())
        free = rois[_TARGETS].any(dim=0) | rois[_ORGANS][wished].any(dim=0)
        kept = (sample.where[index, 0] > 0) & ~free
        if bool(kept.any()):
            losses["elsewhere"].append((dose[index, 0] - neutral[index, 0])[kept].abs().mean())
    zero = dose.sum() * 0.0
    return {name: torch.stack(values).mean() if values else zero for name, values in losses.items()}


def _width(dose: Tensor) -> Tensor:
    """Give the mean of the highest doses less the mean of the lowest, over the median."""
    ordered = dose.sort().values
    tail = max(1, round(_TAIL * len(ordered)))
    return (ordered[-tail:].mean() - ordered[:tail].mean()) / quantile(ordered, 0.5).clamp_min(0.1)


def _limited(value: float) -> float:
    return float(np.clip(value, -_LARGEST, _LARGEST)) if np.isfinite(value) else 0.0
