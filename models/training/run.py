"""What every training has: a device, several processes where torchrun started them, means of weights, checkpoints."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bridge.rt.errors import ModelRefusal

__all__ = [
    "Averaged",
    "Place",
    "Progress",
    "Stage",
    "load_checkpoint",
    "load_weights",
    "place",
    "require_no_checkpoint",
    "save_checkpoint",
    "state_of",
]

Stage = Literal["vqvae", "fdp"]

Progress = Callable[[float, str], None]
"""Told the part of the budget that is spent, and a line about the losses."""


@dataclass(frozen=True)
class Place:
    """Where this process trains.

    Attributes
    ----------
    device
        CUDA where there is one, else the CPU.
    rank, world
        Number of this process and of all, as torchrun says; 0 and 1 without it.
    """

    device: torch.device
    rank: int
    world: int

    @property
    def leads(self) -> bool:
        """Say whether this process writes files."""
        return self.rank == 0

    @property
    def autocast(self) -> bool:
        """Say whether half precision pays: on CUDA, and on CPUs with matrix units for it."""
        return self.device.type == "cuda" or torch.cpu._is_amx_tile_supported()

    def agreed(self, progress: float) -> float:
        """Give the leading process's progress: all have to stop after the same step."""
        if self.world == 1:
            return progress
        shared = torch.tensor([progress], dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(shared, src=0)
        return float(shared)

    def wrapped(self, module: nn.Module) -> nn.Module:
        """Give the module as it takes part in training over all processes."""
        if self.world == 1:
            return module
        # the spread's layer and unused wishes get no gradient in some steps
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=True)


def place() -> Place:
    """Find out where to train, and join the other processes where torchrun has started some."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True
    if world > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if cuda else "gloo")
    return Place(device, rank, world)


class Averaged:
    """Mean of a network's weights over the steps: what is evaluated and shipped.

    Parameters
    ----------
    memory
        Part of a moving mean that each step keeps. None is the plain mean of all steps, for trainings at a steady rate
        (stochastic weight averaging; Izmailov et al., UAI 2018).
    """

    def __init__(self, network: nn.Module, memory: float | None) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._memory = memory

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after the given number of steps; a moving mean forgets the first ones faster."""
        decay = (step - 1) / step if self._memory is None else min(self._memory, (1 + step) / (10 + step))
        for mine, theirs in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for buffer, newest in zip(self.network.buffers(), network.buffers(), strict=True):
            buffer.copy_(newest)


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never half of one."""
    partial = path.with_suffix(".part")
    torch.save(dict(content), partial)
    os.replace(partial, path)


def load_checkpoint(
    path: Path, device: torch.device, stage: Stage, network: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are taken, no code.

    Parameters
    ----------
    stage
        Which training it has to be of.
    network
        Sizes that its network has to have, None for any.

    Raises
    ------
    ModelRefusal
        It is not there or cannot be read (``checkpoint-unreadable``), is of another training
        (``checkpoint-stage``), or of a network of other sizes (``checkpoint-network``).
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise ModelRefusal("checkpoint-unreadable", f"{path.name} is no checkpoint that can be read.") from error
    if not isinstance(content, dict):
        raise ModelRefusal("checkpoint-unreadable", f"{path.name} is no checkpoint of a training.")
    if content.get("stage") != stage:
        raise ModelRefusal("checkpoint-stage", f"{path.name} is no checkpoint of `train {stage}`.")
    if network is not None and content["settings"] != dict(network):
        unlike = [name for name, value in network.items() if content["settings"].get(name) != value]
        raise ModelRefusal(
            "checkpoint-network",
            f"{path.name} is of a network with another {unlike[0]}: {content['settings'].get(unlike[0])}, "
            f"expected {network[unlike[0]]}.",
        )
    return content


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Give a network the weights of a checkpoint, all of them and no others.

    Parameters
    ----------
    source
        Name of the checkpoint's file.

    Raises
    ------
    ModelRefusal
        They are of a network with other layers, as of an older software, or of other sizes (``checkpoint-network``).
    """
    wanted = {name: value.shape for name, value in network.state_dict().items()}
    given = {name: value.shape for name, value in weights.items()}
    unlike = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
    if unlike:
        raise ModelRefusal(
            "checkpoint-network",
            f"{source} is of another network than this software's: {len(unlike)} weights differ, the first is "
            f"{unlike[0]!r}. Go on with the software that it was made with, or train anew.",
        )
    network.load_state_dict(weights)


def require_no_checkpoint(path: Path) -> None:
    """Refuse to begin where another training has been: its hours would be lost.

    Raises
    ------
    ModelRefusal
        There is a checkpoint (``checkpoint-exists``).
    """
    if path.exists():
        raise ModelRefusal(
            "checkpoint-exists", f"There is a {path.name} in the folder already: resume it, or name another folder."
        )


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Give the weights of a network, whether or not it is wrapped for several processes."""
    inner = module.module if isinstance(module, nn.parallel.DistributedDataParallel) else module
    return dict(inner.state_dict())
