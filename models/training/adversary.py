"""The adversary: a patch discriminator that learns to tell proposed doses from plans."""

from __future__ import annotations

import torch
from monai.networks.nets.patchgan_discriminator import PatchDiscriminator
from torch import Tensor, nn

__all__ = ["Adversary"]


class Adversary:
    """Least-squares adversarial loss (Mao et al., ICCV 2017) with a discriminator of its own optimizer."""

    def __init__(self, device: torch.device, rate: float = 2e-4, channels: int = 8) -> None:
        # instance norm: with one or two boxes in a batch, batch norm knows nothing
        self.network: nn.Module = PatchDiscriminator(
            spatial_dims=3, channels=channels, in_channels=1, num_layers_d=2, norm="INSTANCE"
        ).to(device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=rate, betas=(0.5, 0.9))

    def deception(self, dose: Tensor) -> Tensor:
        """Give the loss of a dose that the discriminator sees through."""
        self.network.requires_grad_(False)
        loss: Tensor = (self.network(dose)[-1] - 1.0).square().mean()
        self.network.requires_grad_(True)
        return loss

    def learn(self, plan: Tensor, proposed: Tensor) -> float:
        """Take a step towards telling them apart; give the loss."""
        real = (self.network(plan)[-1] - 1.0).square().mean()
        fake = self.network(proposed.detach())[-1].square().mean()
        loss: Tensor = 0.5 * (real + fake)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.detach())

    def state(self) -> dict[str, object]:
        """Give what a checkpoint keeps."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, dict[str, object]]) -> None:
        """Take up from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
