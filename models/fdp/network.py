"""FDP's second stage: what the anatomy says is encoded once, and each preference only moves the rest."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from models.fdp.blocks import AdaptiveBlock, Backbone, Chain, depth_to_space, encoder_block, space_to_depth, zeroed
from models.fdp.channels import CHANNELS, ORGANS
from models.fdp.condition import CONDITION_SIZE
from models.fdp.homogeneity import TargetSpread

_BODY = CHANNELS.index("body")
_PLACES = [CHANNELS.index(name) for name in ("target_high", *ORGANS)]
"""Where each of the condition's wishes is about, in the order of the wishes."""

__all__ = ["Decoder", "Encoder", "Fdp", "NetworkSettings", "Proposer"]


@dataclass(frozen=True)
class NetworkSettings:
    """Size of the networks.

    Attributes
    ----------
    backbone
        Blocks of the encoder.
    widths
        Channels at a half, a quarter and an eighth of the resolution.
    latent
        Channels of the latent, at a quarter of the resolution.
    style
        Length of the embedded condition.
    masked
        Whether statistics count the body alone and air is what padding is; else the whole box counts.
    """

    backbone: Backbone = "resunet"
    widths: tuple[int, int, int] = (32, 64, 128)
    latent: int = 64
    style: int = 64
    masked: bool = True

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return asdict(self)


def inside_of(body: Tensor, masked: bool) -> Tensor:
    """Give the voxels at half resolution that hold any body ``(B, 1, z/2, y/2, x/2)``, or all; body is 0 to 1."""
    coarse = nn.functional.max_pool3d(body, 2)
    return (coarse > 0.0).to(body.dtype) if masked else torch.ones_like(coarse)


def coarser(inside: Tensor) -> Tensor:
    """Give the voxels at half the resolution of ``inside`` that hold any of it."""
    return nn.functional.max_pool3d(inside, 2)


class Encoder(nn.Module):
    """Channels of the anatomy to features at a half, a quarter and an eighth of the resolution."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        fine, middle, coarse = settings.widths
        block = settings.backbone
        self.masked = settings.masked
        self.fine_in = nn.Conv3d(8 * len(CHANNELS), fine, 1)
        self.fine = encoder_block(block, fine)
        self.middle_in = nn.Conv3d(8 * fine, middle, 1)
        self.middle = encoder_block(block, middle)
        self.coarse_in = nn.Conv3d(8 * middle, coarse, 1)
        self.coarse = Chain(encoder_block(block, coarse), encoder_block(block, coarse))

    def forward(self, channels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Take ``(B, C, z, y, x)``, sides divisible by 8.

        Returns
        -------
        tuple
            Features, the voxels inside at half resolution, and the places of the wishes ``(B, 1 + organs, z, y, x)``.
        """
        inside = inside_of(channels[:, _BODY : _BODY + 1], self.masked)
        fine = self.fine(self.fine_in(space_to_depth(channels)), inside)
        inside_middle = coarser(inside)
        middle = self.middle(self.middle_in(space_to_depth(fine)), inside_middle)
        coarse = self.coarse(self.coarse_in(space_to_depth(middle)), coarser(inside_middle))
        # where a target or an organ is drawn in the air there is no dose to move
        return fine, middle, coarse, inside, channels[:, _PLACES] * channels[:, _BODY : _BODY + 1]


class Decoder(nn.Module):
    """Latent to dose: trained in Stage I on doses alone, taken over by Stage II.

    What the encoder saw at half resolution is added through a layer that starts at zero: at the start of Stage II the
    decoder is exactly the one of Stage I.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        fine, middle, _ = settings.widths
        self.middle_in = nn.Conv3d(settings.latent, middle, 1)
        self.middle = AdaptiveBlock(middle, settings.style)
        self.fine_in = nn.Conv3d(middle, 8 * fine, 1)
        self.skip = zeroed(nn.Conv3d(fine, fine, 1))
        self.fine = AdaptiveBlock(fine, settings.style)
        self.dose = nn.Conv3d(fine, 8, 3, padding=1)

    def forward(
        self, latent: Tensor, inside: Tensor, style: Tensor, fine: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Give the dose ``(B, 1, z, y, x)`` over the highest level, and the last features at half resolution.

        ``inside`` is at half resolution.
        """
        middle = self.middle(self.middle_in(latent), coarser(inside), style)
        features = depth_to_space(self.fine_in(middle))
        if fine is not None:
            features = features + self.skip(fine)
        features = self.fine(features, inside, style)
        return depth_to_space(self.dose(features * inside)), features


class Proposer(nn.Module):
    """Features and condition to latent and dose.

    A condition reaches the dose in three ways. It scales and shifts whole channels (AdaIN), which says how a plan of
    this kind looks; each wish is added to the features in the organ that it is about, which says where; and homogeneity
    spreads the doses of the highest target. Only the first has a say without a wish.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        fine, middle, coarse = settings.widths
        self.style = nn.Sequential(nn.Linear(CONDITION_SIZE, settings.style), nn.SiLU())
        self.coarse = AdaptiveBlock(coarse, settings.style)
        self.middle_in = nn.Conv3d(coarse, 8 * middle, 1)
        self.middle = AdaptiveBlock(middle, settings.style)
        self.latent = nn.Conv3d(middle, settings.latent, 1)
        self.decoder = Decoder(settings)
        self.spread = nn.Conv3d(fine, 8, 1)
        self.wished_middle = zeroed(nn.Conv3d(len(_PLACES), middle, 3, padding=1, bias=False))
        self.wished_fine = zeroed(nn.Conv3d(len(_PLACES), fine, 3, padding=1, bias=False))
        self.homogeneity = TargetSpread()

    def forward(
        self, fine: Tensor, middle: Tensor, coarse: Tensor, inside: Tensor, places: Tensor, condition: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Give dose, scale of its error (both ``(B, 1, z, y, x)`` over the highest level) and latent."""
        style = self.style(condition)
        wishes = condition[:, : len(_PLACES), None, None, None]
        wished = nn.functional.avg_pool3d(places, 2) * wishes
        inside_middle = coarser(inside)
        context = depth_to_space(self.middle_in(self.coarse(coarse, coarser(inside_middle), style)))
        wished_middle = self.wished_middle(nn.functional.avg_pool3d(wished, 2))
        features = self.middle(context + middle + wished_middle, inside_middle, style)
        latent = self.latent(features)
        dose, last = self.decoder(latent, inside, style, fine + self.wished_fine(wished))
        dose = self.homogeneity(dose, places[:, :1], wishes[:, :1])
        # the scale is learned from the features as they are: it must not pull on the dose
        spread = nn.functional.softplus(depth_to_space(self.spread(last.detach())) - 3.0)
        return dose, spread, latent


class Fdp(nn.Module):
    """Encoder and proposer as one, for training."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(settings)
        self.proposer = Proposer(settings)

    def forward(self, channels: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See :meth:`Proposer.forward`."""
        result: tuple[Tensor, Tensor, Tensor] = self.proposer(*self.encoder(channels), condition)
        return result

    def take_decoder(self, state: dict[str, Tensor]) -> None:
        """Start from the decoder of Stage I; its layer for the encoder's features stays at zero."""
        self.proposer.decoder.load_state_dict(state)
        with torch.no_grad():
            self.proposer.decoder.skip.weight.zero_()
