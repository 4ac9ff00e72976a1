"""The loop that both stages share: steps until the budget is spent, with checkpoints, a record, and resumption."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.fdp.blocks import channels_last
from models.fdp.network import NetworkSettings
from models.training.adversary import Adversary
from models.training.clock import Budget, Record, learning_rate
from models.training.losses import total
from models.training.optimizer import Optimizers
from models.training.run import (
    Averaged,
    Place,
    Progress,
    Stage,
    load_checkpoint,
    load_weights,
    require_no_checkpoint,
    save_checkpoint,
    state_of,
)

__all__ = ["Settings", "Training", "train"]

_WRITE_EVERY_S = 30.0
_SAVE_EVERY_S = 60.0


class Settings(Protocol):
    """What the loop has to know of a stage's settings."""

    @property
    def minutes(self) -> float:
        """Wall-clock budget."""

    @property
    def rate(self) -> float:
        """Highest learning rate."""

    @property
    def seed(self) -> int:
        """Seed of everything drawn at random."""

    @property
    def network(self) -> NetworkSettings:
        """Sizes of the network."""


class Training(ABC):
    """What lives over all steps of a stage.

    Parameters
    ----------
    network
        What is trained, its weights as they are to be at the start.
    memory
        Of the mean of the weights, see :class:`~models.training.run.Averaged`; a plain mean goes with a steady rate.
    weight_decay
        Of the optimizer.
    """

    stage: ClassVar[Stage]
    columns: ClassVar[tuple[str, ...]]
    """Losses that the record keeps."""

    def __init__(self, network: nn.Module, rate: float, memory: float | None, weight_decay: float, here: Place) -> None:
        self.here = here
        self.wrapped = here.wrapped(channels_last(network))
        self.averaged = Averaged(network, memory)
        self.steady = memory is None
        self.optimizer = Optimizers(network, rate, weight_decay)
        self.adversary = Adversary(here.device)
        self.taken = 0

    @abstractmethod
    def step(self, rng: np.random.Generator, progress: float) -> dict[str, float]:
        """Take a step at this part of the budget; give its losses by the names of the columns."""

    @abstractmethod
    def said(self, losses: Mapping[str, float]) -> str:
        """Put the mean losses of the last steps into a line."""

    def notes(self) -> dict[str, object]:
        """Give what else a checkpoint has to say."""
        return {}

    def learn(self, parts: Sequence[tuple[float, Tensor]]) -> None:
        """Take a step down the weighted losses."""
        self.optimizer.zero_grad(set_to_none=True)
        total(parts).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.wrapped.parameters(), 1.0)
        self.optimizer.step()

    def state(self) -> dict[str, object]:
        """Give all that a checkpoint needs to go on from here."""
        return {
            "stage": self.stage,
            "network": state_of(self.wrapped),
            "averaged": self.averaged.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary": self.adversary.state(),
            "step": self.taken,
            **self.notes(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up from a checkpoint."""
        inner = self.wrapped.module if isinstance(self.wrapped, nn.parallel.DistributedDataParallel) else self.wrapped
        load_weights(inner, state["network"], f"{self.stage}.pt")
        load_weights(self.averaged.network, state["averaged"], f"{self.stage}.pt")
        self.optimizer.load_state_dict(state["optimizer"])
        self.adversary.load(state["adversary"])
        self.taken = state["step"]


def train(training: Training, out: Path, settings: Settings, resume: bool, progress: Progress | None) -> Path:
    """Take steps until the budget is spent.

    Parameters
    ----------
    out
        Folder for the checkpoint ``STAGE.pt`` and the record ``STAGE.csv``.
    resume
        Take up from the checkpoint that is there.

    Returns
    -------
    Path
        The checkpoint, with the averaged weights under ``"averaged"``.

    Raises
    ------
    ModelRefusal
        There is a checkpoint and it is not to be resumed, or it cannot be (see :func:`load_checkpoint`).
    """
    here = training.here
    path = out / f"{training.stage}.pt"
    spent_s = 0.0
    rng = np.random.default_rng((settings.seed, here.rank))
    if resume:
        content = load_checkpoint(path, here.device, training.stage, settings.network.as_dict())
        training.load(content)
        spent_s = content["spent_s"]
        rng = np.random.default_rng((settings.seed, here.rank, training.taken))
    else:
        require_no_checkpoint(path)
    record = Record(out / f"{training.stage}.csv", training.columns)
    budget = Budget(settings.minutes, spent_s)
    saved = written = budget.elapsed_s

    def save() -> None:
        content = {**training.state(), "settings": settings.network.as_dict(), "spent_s": budget.elapsed_s}
        save_checkpoint(path, content)

    while (done := here.agreed(budget.progress)) < 1.0:
        training.optimizer.set_rate(learning_rate(done, settings.rate, steady=training.steady))
        record.add(training.step(rng, done))
        training.taken += 1
        training.averaged.update(training.wrapped, training.taken)
        if not here.leads:
            continue
        if budget.elapsed_s - written > _WRITE_EVERY_S:
            written = budget.elapsed_s
            losses = record.write(written / 60.0, training.taken)
            if progress is not None:
                progress(done, f"step {training.taken}, {training.said(losses)}")
        if budget.elapsed_s - saved > _SAVE_EVERY_S:
            saved = budget.elapsed_s
            save()
    if here.leads:
        save()
    return path
