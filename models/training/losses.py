"""What training minimizes, on doses over the highest level.

Sorting is exact and differentiable almost everywhere; histograms of dose have no gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bridge.rt.openkbp import TARGETS
from models.fdp.frame import SPACING_MM
from models.training.dataset import ROIS, Sample

__all__ = ["DvhLoss", "dvh_loss", "image_loss", "quantile", "spread_loss", "uniformity_loss"]

_VOXEL_MM3 = SPACING_MM[0] * SPACING_MM[1] * SPACING_MM[2]
_FEWEST_VOXELS = 8


def image_loss(dose: Tensor, sample: Sample, roi_weight: float) -> Tensor:
    """Mean absolute error where the plan counts dose; voxels of targets and organs count ``1 + roi_weight`` times."""
    weight = sample.where * (1.0 + roi_weight * sample.rois.any(dim=1, keepdim=True))
    return ((dose - sample.dose).abs() * weight).sum() / weight.sum().clamp_min(1.0)


@dataclass(frozen=True, eq=False)
class DvhLoss:
    """Two distances between DVHs.

    Attributes
    ----------
    curve
        Mean over structures of the mean absolute difference of the sorted doses: the area between two DVHs.
    criteria
        Mean absolute difference of the criteria of the OpenKBP DVH score (Babier et al., Med Phys 48:5549, 2021).
    """

    curve: Tensor
    criteria: Tensor


def dvh_loss(dose: Tensor, sample: Sample) -> DvhLoss:
    """Compare the DVHs of all structures in the boxes."""
    curves, criteria = [], []
    for index in range(len(dose)):
        for number, name in enumerate(ROIS):
            inside = sample.rois[index, number]
            if int(inside.sum()) < _FEWEST_VOXELS:
                continue
            predicted = dose[index, 0][inside].sort().values
            reference = sample.dose[index, 0][inside].sort().values
            curves.append((predicted - reference).abs().mean())
            if name in TARGETS:
                for part in (0.01, 0.05, 0.99):
                    criteria.append((quantile(predicted, part) - quantile(reference, part)).abs())
            else:
                # the challenge's near-maximum: a percentile that leaves out as many voxels as 0.1 cc has
                part = 1.0 - max(1, round(100.0 / _VOXEL_MM3)) / len(predicted)
                criteria.append((quantile(predicted, part) - quantile(reference, part)).abs())
                criteria.append((predicted.mean() - reference.mean()).abs())
    if not curves:
        zero = dose.sum() * 0.0
        return DvhLoss(zero, zero)
    return DvhLoss(torch.stack(curves).mean(), torch.stack(criteria).mean())


def quantile(ordered: Tensor, part: float) -> Tensor:
    """Interpolate the quantile of ascending values linearly, as :func:`numpy.percentile` does."""
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread_loss(spread: Tensor, dose: Tensor, sample: Sample) -> Tensor:
    """Negative log likelihood of the error under a Laplace distribution with scale ``spread``; blind to the dose."""
    error = (dose.detach() - sample.dose).abs()
    likelihood = error / (spread + 1e-3) + (spread + 1e-3).log()
    return (likelihood * sample.where).sum() / sample.where.sum().clamp_min(1.0)


def uniformity_loss(latents: Tensor, temperature: float = 2.0) -> Tensor:
    """Spread the latents of a batch over the sphere.

    ``log mean exp(-t |zi - zj|²)`` over the pairs of a batch, with each box's latent averaged over its voxels and
    brought to length 1 (Wang and Isola, ICML 2020, equation 3; FDP takes the same term into Stage I).

    Parameters
    ----------
    latents
        ``(B, C, z, y, x)``; a batch of one has no pair, and no loss.
    """
    if len(latents) < 2:
        return latents.sum() * 0.0
    points = torch.nn.functional.normalize(latents.mean(dim=(2, 3, 4)), dim=1)
    distances = torch.pdist(points).square()
    return (-temperature * distances).exp().mean().log()


def total(parts: Sequence[tuple[float, Tensor]]) -> Tensor:
    """Add up weighted losses, leaving out those with weight 0."""
    return torch.stack([weight * value for weight, value in parts if weight != 0.0]).sum()
