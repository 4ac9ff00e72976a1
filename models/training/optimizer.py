"""The optimizer of the networks: Muon for dense convolutions, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "Optimizers", "orthogonalized"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_STYLE_TIMES = 3.0
"""The condition's layers start at zero and are asked in few of the steps only: they learn faster than the rest."""

_LIKE_ADAM = 0.2
"""With this factor an update is as large as one of AdamW, so that both take the same learning rate and decay."""


def orthogonalized(matrix: Tensor) -> Tensor:
    """Bring the singular values of a matrix ``(m, n)`` near 1 by five Newton-Schulz steps (Jordan et al., 2024)."""
    a, b, c = _COEFFICIENTS
    x: Tensor = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


class Muon(torch.optim.Optimizer):
    """Momentum whose update of each weight, seen as a matrix of outputs and inputs, is orthogonalized."""

    def __init__(
        self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.02
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                gradient = weight.grad.reshape(len(weight), -1)
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(gradient)
                momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
                update = orthogonalized(gradient.lerp(momentum, group["momentum"]))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                size = _LIKE_ADAM * max(update.shape) ** 0.5
                weight.add_(update.reshape(weight.shape), alpha=-group["lr"] * size)


class Optimizers:
    """Both, used as one."""

    def __init__(self, network: nn.Module, lr: float, weight_decay: float) -> None:
        dense = [
            m.weight for m in network.modules() if isinstance(m, nn.Conv3d) and m.groups == 1 and m.weight.shape[1] > 1
        ]
        known = {id(weight) for weight in dense}
        rest: dict[bool, list[Tensor]] = {False: [], True: []}
        for name, weight in network.named_parameters():
            if id(weight) not in known and weight.requires_grad:
                rest["style" in name.split(".")].append(weight)
        groups = [{"params": rest[False], "times": 1.0}, {"params": rest[True], "times": _STYLE_TIMES}]
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            Muon(dense, lr, weight_decay=weight_decay),
            torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=weight_decay),
        )
        self.set_rate(lr)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of both; the condition's layers take a multiple of it."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate * group.get("times", 1.0)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for part in self._parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        """Take one step with both."""
        for part in self._parts:
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Give what a checkpoint keeps."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Take up from a checkpoint."""
        for part, content in zip(self._parts, state, strict=True):
            part.load_state_dict(content)
