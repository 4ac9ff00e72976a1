"""The wish for homogeneity, as one factor on the doses of the highest target.

Hot and cold voxels of a target look nearly alike to a network: asked to move them apart, it gets gradients that cancel.
What a wish for homogeneity means is simple, though: the target's doses spread more or less around a dose that stays.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.fdp.condition import HI_UNIT

__all__ = ["TargetSpread"]

_NORMAL_WIDTH = 4.107
"""D2 - D98 of normally distributed doses in standard deviations: where learning starts."""

_NORMAL_D95 = 1.645
"""How many standard deviations D95 lies below the mean, likewise."""

_LEAST = 0.25
"""No wish makes a target's doses spread less than this part of what they did."""

_NARROWEST = 0.005
"""No plan's target doses have a smaller standard deviation; those of a uniform dose cannot be spread."""


class TargetSpread(nn.Module):
    """Spread the doses of the highest target about their D95, so that coverage stays and homogeneity follows the wish.

    Two numbers are learned: how many standard deviations of the target's dose make one homogeneity index, and how many
    of them D95 lies below the mean. Without a wish the dose is what it was.
    """

    def __init__(self) -> None:
        super().__init__()
        self.width = nn.Parameter(torch.tensor(_NORMAL_WIDTH))
        self.below = nn.Parameter(torch.tensor(_NORMAL_D95))

    def forward(self, dose: Tensor, highest: Tensor, wish: Tensor) -> Tensor:
        """Keep the shape of the dose.

        Parameters
        ----------
        dose, highest
            ``(B, 1, z, y, x)``: dose over the highest level, and the part of each voxel in the highest target.
        wish
            ``(B, 1, 1, 1, 1)``: change of (D2 - D98) / D50 in units of :data:`~models.fdp.condition.HI_UNIT`.
        """
        dose = dose.float()  # the digits of half precision are lost in deviations from a mean
        inside = (highest >= 0.5).to(dose.dtype)
        everywhere = (1, 2, 3, 4)
        count = inside.sum(dim=everywhere, keepdim=True).clamp_min(1.0)
        mean = (dose * inside).sum(dim=everywhere, keepdim=True) / count
        variance = ((dose - mean).square() * inside).sum(dim=everywhere, keepdim=True) / count
        deviation = (variance + 1e-12).sqrt()
        change = wish * HI_UNIT * mean / (self.width * deviation.clamp_min(_NARROWEST))
        d95 = mean - self.below * deviation
        return dose + inside * change.clamp_min(_LEAST - 1.0) * (dose - d95)
