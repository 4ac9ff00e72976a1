"""``train fdp``: Stage II.

Of plans that nobody labelled, the network first learns what they look like, without wishes. Then steps of three kinds
take turns: plans without a wish, plans with the wish that hindsight gives them (against the network's own prediction at
that time), and random wishes held against what the network says of the same boxes without a wish.

Plans of a library say what they were made for, and no wish has to be made up: every step shows plans, reference plans
without a wish and the others with theirs, from the first step on. There are no random wishes: they hold that a wish is
granted in full and that everything else stays. No optimizer does that, and the labelled plans tell what one does.

Most steps take small boxes, of which there are many in a minute. The network's statistics are counted over the body in
the box, though, and those of a small box are not those of a patient: the last steps see whole patients, as predictions
do, and every voxel of the dose counts alike, as in the dose score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bridge.rt.errors import ModelRefusal
from models.fdp.channels import CHANNELS
from models.fdp.condition import beam_numbers
from models.fdp.model import GRAPHS
from models.fdp.network import Fdp, NetworkSettings, inside_of
from models.fdp.vqvae import VqVae
from models.runtime.torch_backend import read_network
from models.training.dataset import Augmentation, Patient, Sample, grouped, sample_box
from models.training.loop import Training, train
from models.training.losses import dvh_loss, image_loss, spread_loss
from models.training.neutral import Neutral
from models.training.run import Place, Progress, load_checkpoint, load_weights, place
from models.training.wish import NO_WISH, Wish
from models.training.wishes import random_wish, wish_loss

__all__ = ["WHOLE_DVH_SHARE", "FdpSettings", "train_fdp"]

_BODY = CHANNELS.index("body")

_COLUMNS = (
    "image_gy", "latent", "curve_gy", "criteria_gy", "spread", "homogeneity", "prescription_gy", "organs_gy",
    "elsewhere_gy", "adversary",
)  # fmt: skip


WHOLE_DVH_SHARE = 0.2
"""Of the DVH losses' weights on whole patients: dose and DVH score pull in different directions there."""


@dataclass(frozen=True)
class FdpSettings:
    """How Stage II is trained.

    Attributes
    ----------
    minutes
        Wall-clock budget.
    network
        Sizes; the decoder's must be those of Stage I.
    stage1
        Checkpoint of Stage I, or None to start the decoder at random and do without the latent loss.
    start
        Checkpoint of an earlier Stage II to start from, or a model's folder, or None.
    seed
        Of everything drawn at random.
    batch
        Boxes a step.
    rate
        Highest learning rate.
    memory
        Of the moving mean of the weights, which is what ships: the part that a step keeps. None keeps the rate steady
        and ships the plain mean of all steps: for more training of what is trained already.
    roi_weight
        How much more the voxels of targets and organs count.
    latent, adversarial, curve, criteria
        Weights of the losses.
    reference_share
        Of plans with labels: how often a patient is seen with the reference plan rather than with one of the others.
        Without a wish is how most predictions are asked for.
    dvh_from
        Part of the budget after which the DVH losses (``curve``, ``criteria``) join and the latent loss leaves: by then
        the decoder has been taught better latents than those of Stage I.
    wishes_from
        Part of the budget after which wishes join where plans have no labels, and with or without them the adversary.
    whole_from
        Part of the budget after which a step takes one whole patient instead of ``batch`` boxes; with the DVH losses at
        :data:`WHOLE_DVH_SHARE` of their weights, and without ``roi_weight``.
    box
        Voxels of a training box (z, y, x) before that: smaller than those of a prediction, to hold less air.
    augmentation
        What is done to boxes.
    without
        Channels that are set to zero, to measure what they are worth.
    """

    minutes: float
    network: NetworkSettings = field(default_factory=NetworkSettings)
    stage1: Path | None = None
    start: Path | None = None
    seed: int = 1
    batch: int = 2
    rate: float = 2e-3
    memory: float | None = 0.998
    roi_weight: float = 0.5
    latent: float = 0.05
    adversarial: float = 0.001
    curve: float = 0.3
    criteria: float = 0.4
    reference_share: float = 0.4
    dvh_from: float = 0.35
    wishes_from: float = 0.6
    whole_from: float = 0.8
    box: tuple[int, int, int] = (64, 48, 64)
    augmentation: Augmentation = field(default_factory=Augmentation)
    without: tuple[int, ...] = ()


class _Training(Training):
    """The parts of Stage II that live over all steps."""

    stage = "fdp"
    columns = _COLUMNS

    def __init__(self, patients: Sequence[Patient], settings: FdpSettings, here: Place) -> None:
        self.patients = patients
        self.settings = settings
        network = Fdp(settings.network).to(here.device)
        self.stage1: VqVae | None = None
        if settings.stage1 is not None:
            content = load_checkpoint(settings.stage1, here.device, "vqvae")
            if _decoder_sizes(content["settings"]) != _decoder_sizes(settings.network.as_dict()):
                raise ModelRefusal(
                    "checkpoint-network", f"{settings.stage1.name} has a decoder of other sizes than this network's."
                )
            self.stage1 = VqVae(settings.network).to(here.device).eval().requires_grad_(False)
            load_weights(self.stage1, content["averaged"], settings.stage1.name)
            network.take_decoder(self.stage1.decoder.state_dict())
        if settings.start is not None:
            load_weights(network, _weights_of(settings.start, settings.network, here.device), settings.start.name)
        super().__init__(network, settings.rate, settings.memory, 0.02, here)
        self.neutral = Neutral(patients, here.device, settings.without)
        self.groups = grouped(patients)
        self.labelled = patients[0].wish is not None
        self.queue: list[int] = []

    def notes(self) -> dict[str, object]:
        """Give the channels that were never shown."""
        return {"without": list(self.settings.without)}

    def said(self, losses: Mapping[str, float]) -> str:
        """List the losses."""
        return ", ".join(f"{name} {value:.2f}" for name, value in losses.items())

    def draw(self, rng: np.random.Generator, whole: bool) -> Sample:
        """Cut the boxes of a step, or take one whole patient; every patient comes once before any comes twice.

        Of a patient with several plans, chance takes the reference plan or any of the others.
        """
        indices = []
        for _ in range(1 if whole else self.settings.batch):
            if not self.queue:
                self.queue = rng.permutation(len(self.groups)).tolist()
            reference, *others = self.groups[self.queue.pop()]
            is_other = bool(others) and rng.random() >= self.settings.reference_share
            indices.append(others[int(rng.integers(len(others)))] if is_other else reference)
        size = None if whole else self.settings.box
        sample = sample_box(self.patients, indices, rng, self.settings.augmentation, size)
        sample.channels[:, list(self.settings.without)] = 0.0
        return sample.to(self.here.device)

    def condition(self, wishes: Sequence[Wish], sample: Sample) -> Tensor:
        """Give the conditions of a step: what is wished for, and the beams as they are seen."""
        beams = [
            cut.beams_deg(self.patients[index].gantry_deg)
            for index, cut in zip(sample.patients, sample.cuts, strict=True)
        ]
        rows = [[*wish.numbers(), *beam_numbers(gantry)] for wish, gantry in zip(wishes, beams, strict=True)]
        return torch.tensor(rows, dtype=torch.float32, device=self.here.device)

    def asked(self, sample: Sample, rng: np.random.Generator, progress: float) -> tuple[list[Wish], bool]:
        """Give what a step asks for, and whether these are wishes at random, of which there is no plan."""
        seen = list(zip(sample.patients, sample.cuts, strict=True))
        if self.labelled:
            return [(self.patients[i].wish or NO_WISH).seen(cut.mirrored) for i, cut in seen], False
        kind = "plan"
        if progress >= self.settings.wishes_from:
            self.neutral.make(self.averaged.network)
            kind = ("plan", "plan", "hindsight", "wish")[int(rng.integers(4))]
        if kind == "hindsight":
            return [self.neutral.hindsight(i, cut.mirrored) for i, cut in seen], False
        if kind == "wish":
            return [random_wish(rng) for _ in seen], True
        return [NO_WISH] * len(seen), False

    def step(self, rng: np.random.Generator, progress: float) -> dict[str, float]:
        """Take one step; give its losses."""
        settings = self.settings
        whole = progress >= settings.whole_from
        sample = self.draw(rng, whole)
        wishes, at_random = self.asked(sample, rng, progress)
        channels = sample.channels.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(self.here.device.type, torch.bfloat16, enabled=self.here.autocast):
            dose, spread, latent = self.wrapped(channels, self.condition(wishes, sample))
        dose, spread, latent = dose.float(), spread.float(), latent.float()
        adversarial = settings.adversarial > 0 and progress >= settings.wishes_from
        if at_random:
            # of this very network and these boxes: against any other dose, the difference between the two would drown
            # what the wish asks for
            with torch.no_grad(), torch.autocast(self.here.device.type, torch.bfloat16, enabled=self.here.autocast):
                unasked = self.condition([NO_WISH] * len(wishes), sample)
                neutral = self.wrapped(channels, unasked)[0].float()
            losses = wish_loss(dose, neutral, sample, wishes)
            parts = [
                (2.0, losses["homogeneity"]),
                (2.0, losses["prescription"]),
                (2.0, losses["organs"]),
                (0.3, losses["elsewhere"]),
            ]
            gy = {"prescription": "prescription_gy", "organs": "organs_gy", "elsewhere": "elsewhere_gy"}
            values = {gy.get(n, n): float(v.detach()) * (70.0 if n in gy else 1.0) for n, v in losses.items()}
        else:
            image = image_loss(dose, sample, 0.0 if whole else settings.roi_weight)
            parts = [(1.0, image), (0.01, spread_loss(spread, dose, sample))]
            values = {"image_gy": 70.0 * float(image.detach()), "spread": float(parts[1][1].detach())}
            if self.stage1 is not None and settings.latent and progress < settings.dvh_from:
                # before quantization: what the encoder says of this dose, not the nearest thing the codebook has
                with torch.no_grad():
                    inside = inside_of(sample.channels[:, _BODY : _BODY + 1], settings.network.masked)
                    wanted = self.stage1.encoder(sample.dose, inside)
                parts.append((settings.latent, (latent - wanted).abs().mean()))
                values["latent"] = float(parts[-1][1].detach())
            if (whole or progress >= settings.dvh_from) and settings.curve + settings.criteria > 0:
                dvh = dvh_loss(dose, sample)
                share = WHOLE_DVH_SHARE if whole else 1.0
                parts += [(share * settings.curve, dvh.curve), (share * settings.criteria, dvh.criteria)]
                values |= {
                    "curve_gy": 70.0 * float(dvh.curve.detach()),
                    "criteria_gy": 70.0 * float(dvh.criteria.detach()),
                }
        # outside the counted region there is no telling what a dose should look like
        proposed, plan = dose * sample.where, sample.dose * sample.where
        if adversarial:
            parts.append((settings.adversarial, self.adversary.deception(proposed)))
        self.learn(parts)
        if adversarial:
            values["adversary"] = self.adversary.learn(plan, proposed)
        return values


def _weights_of(start: Path, wanted: NetworkSettings, device: torch.device) -> Mapping[str, Tensor]:
    """Read the weights of a checkpoint, or of a model's folder: what ships can be trained on."""
    if not start.is_dir():
        averaged: Mapping[str, Tensor] = load_checkpoint(start, device, "fdp", wanted.as_dict())["averaged"]
        return averaged
    network = read_network(start, GRAPHS)
    if network.settings != wanted:
        raise ModelRefusal(
            "checkpoint-network", f"Model {start.name!r} has a network of other sizes.", model=start.name
        )
    return network.state_dict()


def _decoder_sizes(settings: Mapping[str, object]) -> list[object]:
    widths = settings["widths"]
    assert isinstance(widths, tuple | list)  # noqa: S101 - our own settings
    return [*widths[:2], settings["latent"], settings["style"], settings.get("masked", False)]


def train_fdp(
    patients: Sequence[Patient],
    out: Path,
    settings: FdpSettings,
    resume: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Train Stage II until the budget is spent.

    Parameters
    ----------
    out
        Folder for the checkpoint ``fdp.pt`` and the record ``fdp.csv``.
    resume
        Take up from the checkpoint that is there.

    Returns
    -------
    Path
        The checkpoint, with the averaged weights under ``"averaged"``.
    """
    torch.manual_seed(settings.seed)
    return train(_Training(patients, settings, place()), out, settings, resume, progress)
