"""``train vqvae``: Stage I."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from models.fdp.network import NetworkSettings
from models.fdp.vqvae import VqVae
from models.training.adversary import Adversary
from models.training.clock import Budget, Record, learning_rate
from models.training.dataset import Patient
from models.training.losses import total, uniformity_loss
from models.training.optimizer import Optimizers
from models.training.run import (
    Averaged,
    Progress,
    load_checkpoint,
    place,
    require_no_checkpoint,
    save_checkpoint,
    state_of,
)
from models.training.synthetic import random_doses

__all__ = ["VqVaeSettings", "train_vqvae"]

CHECKPOINT = "vqvae.pt"


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
    path = out / CHECKPOINT
    if not resume:
        require_no_checkpoint(path)
    here = place()
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng((settings.seed, here.rank))
    network = VqVae(settings.network).to(here.device)
    averaged = Averaged(network, 0.995)
    optimizer = Optimizers(network, settings.rate, weight_decay=0.01)
    adversary = Adversary(here.device)
    spent_s, step = 0.0, 0
    if resume:
        content = load_checkpoint(path, here.device, "vqvae", settings.network.as_dict())
        network.load_state_dict(content["network"])
        averaged.network.load_state_dict(content["averaged"])
        optimizer.load_state_dict(content["optimizer"])
        adversary.load(content["adversary"])
        spent_s, step = content["spent_s"], content["step"]
        rng = np.random.default_rng((settings.seed, here.rank, step))
    wrapped = here.wrapped(network)
    record = Record(
        out / "vqvae.csv", ("reconstruction_gy", "plans_gy", "commitment", "uniformity", "perplexity", "adversary")
    )
    budget = Budget(settings.minutes, spent_s)
    saved = written = budget.elapsed_s

    def save() -> None:
        save_checkpoint(
            path,
            {
                "stage": "vqvae",
                "network": state_of(wrapped),
                "averaged": averaged.network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "adversary": adversary.state(),
                "settings": settings.network.as_dict(),
                "spent_s": budget.elapsed_s,
                "step": step,
            },
        )

    while (done := here.agreed(budget.progress)) < 1.0:
        rate = learning_rate(done, settings.rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        doses, bodies, real = random_doses(patients, settings.batch, rng)
        doses, bodies = doses.to(here.device), bodies.to(here.device)
        decoded, codes = wrapped(doses, bodies)
        error = (decoded - doses).abs()
        parts = [
            (1.0, error.mean()),
            (1.0, codes.loss),
            (settings.uniformity, uniformity_loss(codes.latent)),
        ]
        values = {"commitment": float(codes.loss.detach()), "perplexity": float(codes.perplexity)}
        values["uniformity"] = float(parts[2][1].detach())
        values["reconstruction_gy"] = 70.0 * float(parts[0][1].detach())
        if bool(real.any()):
            plans = doses[real] > 0.02
            values["plans_gy"] = 70.0 * float(error.detach()[real][plans].mean())
        if settings.adversarial and done > settings.adversarial_from:
            parts.append((settings.adversarial, adversary.deception(decoded)))
        optimizer.zero_grad(set_to_none=True)
        total(parts).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if len(parts) == 4:
            values["adversary"] = adversary.learn(doses, decoded)
        step += 1
        averaged.update(network, step)
        if step % 20 == 0 and done < 0.7:
            network.revive(doses, bodies)
        record.add(values)
        if here.leads and budget.elapsed_s - written > 20.0:
            written = budget.elapsed_s
            means = record.write(written / 60.0, step)
            if progress is not None:
                progress(
                    done,
                    f"step {step}, plans {means.get('plans_gy', float('nan')):.2f} Gy, {means['perplexity']:.0f} codes",
                )
        if here.leads and budget.elapsed_s - saved > 60.0:
            saved = budget.elapsed_s
            save()
    if here.leads:
        save()
    return path
