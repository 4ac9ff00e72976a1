"""Networks and patients so small that a step takes no time, in boxes of 16 x 16 x 24 voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.fdp.channels import CHANNELS, ORGANS
from models.fdp.network import NetworkSettings
from models.training import dataset, export, loop, neutral, synthetic
from models.training.clock import Budget, learning_rate
from models.training.cut import Cut
from models.training.dataset import ROIS, Patient, Sample
from models.training.fdp import FdpSettings
from models.training.vqvae import VqVaeSettings

BOX = (16, 16, 24)
MARGIN = 4
NETWORK = NetworkSettings(widths=(8, 16, 24), latent=16, style=8)
NO_CUDA = "ignore:User provided device_type of 'cuda'"
"""MONAI's quantizer turns autocast of CUDA off, and torch says that there is no CUDA."""

BOXES = {
    "SpinalCord": np.s_[:, 17:20, 15:18],
    "Parotid_R": np.s_[8:18, 9:14, 9:12],
    "Parotid_L": np.s_[8:18, 9:14, 21:24],
    "Larynx": np.s_[6:10, 6:10, 14:18],  # partly in the target
    "PTV56": np.s_[10:16, 8:15, 18:21],
    "PTV70": np.s_[8:16, 8:16, 12:18],
}
"""In a frame of 24 x 24 x 32 voxels: the box, and four voxels around it."""


def shrink(patch: pytest.MonkeyPatch, box: tuple[int, int, int] = BOX) -> None:
    """Make every box and every crop of training small."""
    for module in (dataset, neutral, export):
        patch.setattr(module, "BOX", box)
    patch.setattr(dataset.sample_box, "__defaults__", (None, box))  # bound when the function was made
    patch.setattr(synthetic, "CROP", BOX)


def regions_of(boxes: dict[str, tuple[slice, ...]], shape: tuple[int, int, int]) -> np.ndarray:
    """Pack structures into bits; the plan counts dose within two voxels of the border."""
    regions = np.zeros(shape, dtype=np.uint16)
    regions[2:-2, 2:-2, 2:-2] = 1
    for name, box in boxes.items():
        regions[box] |= np.uint16(1 << (1 + ROIS.index(name)))
    return regions


def patient(seed: int = 0, length: int = BOX[0] + 2 * MARGIN) -> Patient:
    """A patient whose dose follows from his channels: level in the targets, fall-off and a bit of pattern outside."""
    rng = np.random.default_rng(seed)
    shape = (length, BOX[1] + 2 * MARGIN, BOX[2] + 2 * MARGIN)
    channels = rng.uniform(0.0, 0.1, (len(CHANNELS), *shape))
    regions = regions_of(BOXES, shape)
    for name in ORGANS:
        channels[CHANNELS.index(name)] = regions >> (1 + ROIS.index(name)) & 1
    level = np.zeros(shape)
    level[BOXES["PTV56"]], level[BOXES["PTV70"]] = 0.8, 1.0
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    distance = np.clip(np.hypot(np.hypot(z - 12, y - 12), x - 15) / 12.0 - 0.3, -1.0, 1.0)
    plate = 0.5 + 0.5 * np.cos(x * 0.7 + seed)
    for name, values in (
        ("level", level), ("target", level > 0), ("target_high", level == 1.0), ("body", np.ones(shape)),
        ("distance", distance), ("distance_high", distance), ("plate", plate), ("plate_attenuated", plate * 0.8),
    ):  # fmt: skip
        channels[CHANNELS.index(name)] = values
    dose = np.maximum(level, 0.6 * np.exp(-2.0 * np.maximum(distance, 0.0)) * (0.6 + 0.4 * plate))
    dose += 0.03 * rng.standard_normal(shape) * (level > 0)
    return Patient(f"pt_{seed}", channels.astype(np.float16), dose.astype(np.float16), regions, 70.0)


def sample(
    dose: torch.Tensor, rois: dict[str, torch.Tensor], where: torch.Tensor | None = None, batch: int = 1
) -> Sample:
    """A batch of one dose ``(z, y, x)`` with structures by name."""
    masks = torch.stack([rois.get(name, torch.zeros(dose.shape, dtype=torch.bool)) for name in ROIS])
    counted = torch.ones(dose.shape) if where is None else where
    return Sample(
        torch.zeros(batch, len(CHANNELS), *dose.shape), dose[None, None].repeat(batch, 1, 1, 1, 1),
        counted[None, None].repeat(batch, 1, 1, 1, 1), masks[None].repeat(batch, 1, 1, 1, 1),
        torch.full((batch,), 70.0), (0,) * batch, (Cut((slice(None),) * 3),) * batch,
    )  # fmt: skip


class Steps:
    """Lets a training's clock run by its steps: one step is 61 seconds, so each is saved and recorded."""

    SECONDS = 61.0

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.taken = 0
        self.progress: list[float] = []
        steps = self

        class StepBudget(Budget):
            def __init__(self, minutes: float, spent_s: float = 0.0) -> None:
                super().__init__(minutes, spent_s)
                self.before = steps.taken

            @property
            def elapsed_s(self) -> float:
                return self.spent_s + steps.SECONDS * (steps.taken - self.before)

        def counted(progress: float, highest: float, *, steady: bool) -> float:
            steps.taken += 1
            steps.progress.append(progress)
            return learning_rate(progress, highest, steady=steady)

        patch.setattr(loop, "Budget", StepBudget)
        patch.setattr(loop, "learning_rate", counted)

    @classmethod
    def minutes(cls, steps: int) -> float:
        """Give a budget that ends with a number of steps."""
        return (steps - 0.5) * cls.SECONDS / 60.0


def weights(path: Path, key: str = "network") -> dict[str, torch.Tensor]:
    """Read the weights of a checkpoint."""
    content: dict[str, torch.Tensor] = torch.load(path, weights_only=True)[key]
    return content


def stage1(steps: int, **changes: object) -> VqVaeSettings:
    settings = {"network": NETWORK, "batch": 2, **changes}
    return VqVaeSettings(Steps.minutes(steps), **settings)


def stage2(steps: int, **changes: object) -> FdpSettings:
    settings = {"network": NETWORK, "batch": 1, "box": BOX, **changes}
    return FdpSettings(Steps.minutes(steps), **settings)


def trained(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name
