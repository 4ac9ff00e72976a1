"""The network's own neutral prediction for every training patient: what hindsight tells wishes relative to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.fdp.condition import beam_numbers
from models.fdp.frame import BOX
from models.training.dataset import ROIS, Patient
from models.training.wish import NO_WISH, Wish
from models.training.wishes import hindsight, measure

__all__ = ["Neutral", "predict_patient"]


class Neutral:
    """Wishes in hindsight, against neutral predictions that are made once when first asked for."""

    def __init__(self, patients: Sequence[Patient], device: torch.device, without: tuple[int, ...]) -> None:
        self._patients = patients
        self._device = device
        self._without = without
        self._wishes: list[Wish] = []

    def make(self, network: nn.Module) -> None:
        """Predict every patient without a wish, unless that has been done."""
        if self._wishes:
            return
        for patient in self._patients:
            dose, spread = predict_patient(network, patient, NO_WISH, self._device, self._without)
            # where no box was, there is no neutral dose, and certainly not one of zero
            dose[spread == 0] = torch.nan
            rois = torch.from_numpy(
                np.stack([patient.regions >> bit & 1 for bit in range(1, len(ROIS) + 1)]).astype(bool)
            )
            rois &= torch.isfinite(dose)
            plan = torch.from_numpy(patient.dose.astype(np.float32))
            self._wishes.append(hindsight(measure(plan, rois), measure(dose, rois)))

    def hindsight(self, index: int, mirrored: bool) -> Wish:
        """Give the wish that makes a patient's plan of the neutral prediction."""
        return self._wishes[index].seen(mirrored)


@torch.no_grad()
def predict_patient(
    network: nn.Module, patient: Patient, wish: Wish, device: torch.device, without: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Predict dose and scale of its error for the whole frame of a patient, box by box.

    Both are ``(z, y, x)`` over the highest level; where boxes overlap along z, they are averaged. Both are 0 in the
    margin that no box covers.
    """
    numbers = [*wish.numbers(), *beam_numbers(patient.gantry_deg)]
    condition = torch.tensor([numbers], dtype=torch.float32, device=device)
    total = torch.zeros(2, *patient.dose.shape)
    weight = torch.zeros(patient.dose.shape)
    starts = [_covering(n, size) for n, size in zip(patient.dose.shape, BOX, strict=True)]
    for z in starts[0]:
        y, x = starts[1][0], starts[2][0]
        box = (slice(z, z + BOX[0]), slice(y, y + BOX[1]), slice(x, x + BOX[2]))
        channels = torch.from_numpy(patient.channels[(slice(None), *box)].astype(np.float32))[None].to(device)
        channels[:, list(without)] = 0.0
        dose, spread, _ = network(channels.contiguous(memory_format=torch.channels_last_3d), condition)
        total[(slice(None), *box)] += torch.stack([dose[0, 0], spread[0, 0]]).float().cpu()
        weight[box] += 1.0
    joined = total / weight.clamp_min(1.0)
    return joined[0], joined[1]


def _covering(n: int, size: int) -> list[int]:
    """Give starts in the middle where one box is nearly enough, else evenly over the length."""
    spare = n - size
    if spare <= 8:
        return [spare // 2]
    count = 1 + -(-spare // (size // 2))
    return [int(start) for start in np.linspace(0, spare, count).round()]
