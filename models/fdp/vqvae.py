"""Stage I: a vector-quantized autoencoder of doses, whose decoder Stage II takes over.

One code for a latent cell of 12 x 16 x 16 mm would be 8 bits for 64 voxels. The latent's channels are therefore cut
into groups that are quantized one by one with a shared codebook (product quantization, Jégou et al., IEEE PAMI 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from monai.networks.layers.vector_quantizer import EMAQuantizer
from torch import Tensor, nn

from models.fdp.blocks import ResidualBlock, space_to_depth
from models.fdp.network import Decoder, NetworkSettings, coarser, inside_of

__all__ = ["Codes", "DoseEncoder", "VqVae"]

CODES = 256
GROUP = 16
_DEAD = 0.05
"""A code used less than once in twenty steps, by the moving mean, is dead."""


@dataclass(frozen=True, eq=False)
class Codes:
    """A quantized latent.

    Attributes
    ----------
    latent
        ``(B, latent, z/4, y/4, x/4)``; gradients pass straight through to the encoder.
    loss
        Commitment loss.
    perplexity
        How many codes are in use, evenly counted: the exponential of the entropy of their use in this batch.
    """

    latent: Tensor
    loss: Tensor
    perplexity: Tensor


class DoseEncoder(nn.Module):
    """Dose ``(B, 1, z, y, x)`` over the highest level to a latent at a quarter of the resolution."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        fine, middle, _ = settings.widths
        self.fine_in = nn.Conv3d(8, fine, 1)
        self.fine = ResidualBlock(fine)
        self.middle_in = nn.Conv3d(8 * fine, middle, 1)
        self.middle = ResidualBlock(middle)
        self.latent = nn.Conv3d(middle, settings.latent, 1)

    def forward(self, dose: Tensor, inside: Tensor) -> Tensor:
        """Give the latent, not yet quantized; ``inside`` is at half resolution."""
        fine = self.fine(self.fine_in(space_to_depth(dose)), inside)
        latent: Tensor = self.latent(self.middle(self.middle_in(space_to_depth(fine)), coarser(inside)))
        return latent


class VqVae(nn.Module):
    """Encoder, quantizer and decoder of doses."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = DoseEncoder(settings)
        self.quantizer = EMAQuantizer(3, CODES, GROUP, commitment_cost=0.25, decay=0.99)
        self.decoder = Decoder(settings)

    def encode(self, dose: Tensor, inside: Tensor) -> Codes:
        """Give the quantized latent of doses; ``inside`` is at half resolution."""
        latent = self.encoder(dose, inside)
        b, c, *sides = latent.shape
        quantized, loss, indices = self.quantizer(latent.reshape(b * c // GROUP, GROUP, *sides))
        use = torch.bincount(indices.flatten(), minlength=CODES).float()
        use = use / use.sum()
        perplexity = (-(use * (use + 1e-10).log()).sum()).exp()
        return Codes(quantized.reshape(latent.shape), loss, perplexity)

    def forward(self, dose: Tensor, body: Tensor) -> tuple[Tensor, Codes]:
        """Give the dose as it comes back, and its codes; both take ``(B, 1, z, y, x)``."""
        inside = inside_of(body, self.settings.masked)
        codes = self.encode(dose, inside)
        style = dose.new_zeros(len(dose), self.settings.style)
        decoded, _ = self.decoder(codes.latent, inside, style)
        return decoded, codes

    @torch.no_grad()
    def revive(self, dose: Tensor, body: Tensor) -> int:
        """Put codes that nothing uses on latents that are there; give how many."""
        dead = (self.quantizer.ema_cluster_size < _DEAD).nonzero().flatten()
        if len(dead):
            latent = self.encoder(dose, inside_of(body, self.settings.masked))
            b, c = latent.shape[:2]
            points = latent.reshape(b * c // GROUP, GROUP, -1).permute(0, 2, 1).reshape(-1, GROUP)
            chosen = points[torch.randint(len(points), (len(dead),), device=points.device)]
            self.quantizer.embedding.weight[dead] = chosen
            self.quantizer.ema_w[dead] = chosen
            self.quantizer.ema_cluster_size[dead] = 1.0
        return len(dead)
