"""``train vqvae``: Stage I."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from models.fdp.network import NetworkSettings
from models.fdp.vqvae import VqVae
from models.training.dataset import Patient
from models.training.loop import Training, train
from models.training.losses import uniformity_loss
from models.training.run import Place, Progress, place
from models.training.synthetic import random_doses

__all__ = ["VqVaeSettings", "train_vqvae"]

_REVIVE_EVERY = 20
"""Steps after which codes that nothing uses are put where doses are."""

_REVIVE_UNTIL = 0.7
"""Part of the budget after which the codes stay where they are."""


@dataclass(frozen=True)
class VqVaeSettings:
    """How Stage I is trained.

    Attributes
    ----------
    minutes
        Wall-clock budget.
    network
        The decoder's size, to be the same in Stage II.
    seed
        Of everything drawn at random.
    batch
        Doses a step.
    rate
        Highest learning rate.
    adversarial, uniformity
        Weights of these losses (the paper gives neither).
    adversarial_from
        Part of the budget after which the adversary joins.
    """

    minutes: float
    network: NetworkSettings = field(default_factory=NetworkSettings)
    seed: int = 1
    batch: int = 4
    rate: float = 2e-3
    adversarial: float = 0.002
    uniformity: float = 0.001
    adversarial_from: float = 0.4


class _Training(Training):
    """The parts of Stage I that live over all steps."""

    stage = "vqvae"
    columns = ("reconstruction_gy", "plans_gy", "commitment", "uniformity", "perplexity", "adversary")

    def __init__(self, patients: Sequence[Patient], settings: VqVaeSettings, here: Place) -> None:
        self.patients = patients
        self.settings = settings
        self.network = VqVae(settings.network).to(here.device)
        super().__init__(self.network, settings.rate, 0.995, 0.01, here)

    def said(self, losses: Mapping[str, float]) -> str:
        """Give the error on plans, and how many codes are in use."""
        return f"plans {losses.get('plans_gy', float('nan')):.2f} Gy, {losses['perplexity']:.0f} codes"

    def step(self, rng: np.random.Generator, progress: float) -> dict[str, float]:
        """Take one step; give its losses."""
        settings = self.settings
        doses, bodies, real = random_doses(self.patients, settings.batch, rng)
        doses, bodies = doses.to(self.here.device), bodies.to(self.here.device)
        decoded, codes = self.wrapped(doses, bodies)
        error = (decoded - doses).abs()
        uniformity = uniformity_loss(codes.latent)
        parts = [(1.0, error.mean()), (1.0, codes.loss), (settings.uniformity, uniformity)]
        values = {
            "reconstruction_gy": 70.0 * float(error.detach().mean()),
            "commitment": float(codes.loss.detach()),
            "uniformity": float(uniformity.detach()),
            "perplexity": float(codes.perplexity),
        }
        if bool(real.any()):
            plans = doses[real] > 0.02
            values["plans_gy"] = 70.0 * float(error.detach()[real][plans].mean())
        adversarial = settings.adversarial > 0 and progress > settings.adversarial_from
        if adversarial:
            parts.append((settings.adversarial, self.adversary.deception(decoded)))
        self.learn(parts)
        if adversarial:
            values["adversary"] = self.adversary.learn(doses, decoded)
        if self.taken % _REVIVE_EVERY == _REVIVE_EVERY - 1 and progress < _REVIVE_UNTIL:
            self.network.revive(doses, bodies)
        return values


def train_vqvae(
    patients: Sequence[Patient],
    out: Path,
    settings: VqVaeSettings,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Train Stage I until the budget is spent.

    Parameters
    ----------
    out
        Folder for the checkpoint ``vqvae.pt`` and the record ``vqvae.csv``.
    resume
        Take up from the checkpoint that is there.

    Returns
    -------
    Path
        The checkpoint, with the averaged weights under ``"averaged"``.
    """
    torch.manual_seed(settings.seed)
    return train(_Training(patients, settings, place()), out, settings, resume, progress)
