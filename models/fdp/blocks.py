"""Building blocks of the networks.

Everything is dense or depthwise convolution, normalization, and reordering of voxels into channels and back, so that
any runtime of ONNX can run it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = [
    "AdaptiveBlock",
    "Backbone",
    "Chain",
    "DepthwiseBlock",
    "GroupScale",
    "ResidualBlock",
    "channels_last",
    "depth_to_space",
    "encoder_block",
    "space_to_depth",
    "standardized",
    "zeroed",
]

Backbone = Literal["resunet", "mednext"]

_EPSILON = 1e-5


def space_to_depth(x: Tensor) -> Tensor:
    """Fold cubes of 2 x 2 x 2 voxels into channels: ``(B, C, z, y, x)`` to ``(B, 8 C, z/2, y/2, x/2)``."""
    b, c, z, y, w = x.shape
    x = x.reshape(b, c, z // 2, 2, y // 2, 2, w // 2, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * 8, z // 2, y // 2, w // 2)


def depth_to_space(x: Tensor) -> Tensor:
    """Undo :func:`space_to_depth`."""
    b, c, z, y, w = x.shape
    x = x.reshape(b, c // 8, 2, 2, 2, z, y, w)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // 8, z * 2, y * 2, w * 2)


def standardized(x: Tensor, inside: Tensor, groups: int) -> Tensor:
    """Bring each group of channels to mean 0 and variance 1 over the voxels inside.

    Most of a box is air. Counted over the body alone, the statistics do not depend on how much air a box holds, so that
    a network can be trained on small boxes and used on large ones.

    Parameters
    ----------
    x
        ``(B, C, z, y, x)``.
    inside
        ``(B, 1, z, y, x)``, 1 where voxels count, else 0.
    groups
        Number of groups; C gives instance normalization.
    """
    if torch.is_autocast_enabled(x.device.type):
        # the digits of half precision are lost in the difference of mean squares
        with torch.autocast(x.device.type, enabled=False):
            return standardized(x.float(), inside.float(), groups)
    b, c = x.shape[:2]
    voxels = x.flatten(2)
    weights = inside.flatten(2).transpose(1, 2)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(1.0)
    mean = (voxels @ weights).reshape(b, groups, c // groups).mean(dim=2)
    square = (voxels.square() @ weights).reshape(b, groups, c // groups).mean(dim=2)
    scale = (square - mean.square()).clamp_min(0.0).add(_EPSILON).rsqrt()
    shape = (b, groups, 1)
    of_channel = [v.reshape(shape).expand(b, groups, c // groups).reshape(b, c, 1, 1, 1) for v in (mean * scale, scale)]
    return torch.sub(x * of_channel[1], of_channel[0])


class GroupScale(nn.Module):
    """Group normalization over the voxels inside, then a scale and a shift of its own for each channel."""

    def __init__(self, groups: int, channels: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight = nn.Parameter(torch.ones(channels, 1, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1, 1))

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Keep the shape."""
        return standardized(x, inside, self.groups) * self.weight + self.bias


class ResidualBlock(nn.Module):
    """Two dense 3 x 3 x 3 convolutions behind group normalization, added to their input; air counts as padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = GroupScale(8, channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = GroupScale(8, channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Keep the shape of ``x``."""
        y = self.conv1(nn.functional.silu(self.norm1(x, inside)) * inside)
        y = self.conv2(nn.functional.silu(self.norm2(y, inside)) * inside)
        return torch.add(x, y)


class DepthwiseBlock(nn.Module):
    """MedNeXt's block (Roy et al., MICCAI 2023): depthwise convolution, expansion, compression, added to the input."""

    def __init__(self, channels: int, expansion: int = 3) -> None:
        super().__init__()
        self.depthwise = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        self.norm = GroupScale(channels, channels)
        self.expand = nn.Conv3d(channels, expansion * channels, 1)
        self.compress = nn.Conv3d(expansion * channels, channels, 1)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """Keep the shape of ``x``."""
        y = self.norm(self.depthwise(x * inside), inside)
        return torch.add(x, self.compress(nn.functional.gelu(self.expand(y))))


class Chain(nn.Sequential):
    """Blocks one after the other, all with the same voxels inside."""

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:  # type: ignore[override]
        """Keep the shape of ``x``."""
        for block in self:
            x = block(x, inside)
        return x


class AdaptiveBlock(nn.Module):
    """A residual block with adaptive instance normalization (Huang and Belongie, ICCV 2017).

    Each channel is brought to mean 0 and variance 1 over the voxels inside, then scaled and shifted by what the
    condition says. Without a condition the scale is 1 and the shift 0.
    """

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.style = nn.Linear(condition, 4 * channels)
        nn.init.zeros_(self.style.weight)
        nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, inside: Tensor, condition: Tensor) -> Tensor:
        """Take ``(B, channels, z, y, x)``, the voxels inside and ``(B, condition)``; keep the first's shape."""
        scale1, shift1, scale2, shift2 = self.style(condition)[:, :, None, None, None].chunk(4, dim=1)
        y = standardized(x, inside, self.channels) * (1 + scale1) + shift1
        y = self.conv1(nn.functional.silu(y) * inside)
        y = standardized(y, inside, self.channels) * (1 + scale2) + shift2
        return torch.add(x, self.conv2(nn.functional.silu(y) * inside))


def encoder_block(backbone: Backbone, channels: int) -> nn.Module:
    """Give a block of the encoder: dense, or MedNeXt's (two of them, for about the same depth)."""
    if backbone == "mednext":
        return Chain(DepthwiseBlock(channels), DepthwiseBlock(channels))
    return ResidualBlock(channels)


def zeroed(layer: nn.Conv3d) -> nn.Conv3d:
    """Start a layer at zero, so that what it adds is learned and not disturbing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def channels_last(module: nn.Module) -> nn.Module:
    """Lay the weights of the convolutions out as the fast kernels want them."""
    for weight in module.parameters():
        # Module.to would try it on everything from four dimensions on, and GroupScale's have four
        if weight.dim() == 5:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
    return module
