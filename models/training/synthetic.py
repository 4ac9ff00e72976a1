"""Doses for Stage I beyond the plans: a codebook needs more of them than there are patients.

Three kinds: plans as they are, scaled; blends of two plans; and fields made from a patient's targets and beam plates
with random levels, fall-offs and depth of the beams' pattern.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bridge.rt.arrays import VoxelArray
from models.fdp.channels import CHANNELS, PLATES
from models.training.dataset import Patient

__all__ = ["CROP", "random_doses"]

CROP = (48, 48, 64)
"""Stage I sees parts of boxes: the decoder is convolutional, and more different doses are better than larger ones."""

_DISTANCE_UNIT_MM = 50.0
_BODY = CHANNELS.index("body")


def random_doses(patients: Sequence[Patient], count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw doses over the highest level and bodies, both ``(count, 1, *CROP)``, and whether each is a plan as it is."""
    doses, bodies, real = [], [], []
    for _ in range(count):
        patient = patients[int(rng.integers(len(patients)))]
        kind = rng.random()
        box = _crop(patient, rng)
        dose = patient.dose[box].astype(np.float32)
        body = patient.channels[(_BODY, *box)].astype(np.float32)
        if kind < 0.25:
            other = patients[int(rng.integers(len(patients)))]
            share = np.float32(rng.uniform(0.2, 0.8))
            place = _crop(other, rng)
            dose = share * dose + (1 - share) * other.dose[place].astype(np.float32)
            body = np.maximum(body, other.channels[(_BODY, *place)].astype(np.float32))
        elif kind < 0.5:
            dose = _field(patient, box, rng)
        if rng.random() < 0.5:
            dose, body = dose[:, :, ::-1], body[:, :, ::-1]
        doses.append(torch.from_numpy(np.ascontiguousarray(dose)))
        bodies.append(torch.from_numpy(np.ascontiguousarray(body)))
        real.append(kind >= 0.5)
    return torch.stack(doses)[:, None], torch.stack(bodies)[:, None], torch.tensor(real)


def _crop(patient: Patient, rng: np.random.Generator) -> tuple[slice, slice, slice]:
    """Choose a part near the middle, where the dose is."""
    starts = []
    for n, size in zip(patient.dose.shape, CROP, strict=True):
        middle = (n - size) / 2
        starts.append(int(np.clip(round(middle + rng.uniform(-1, 1) * middle * 0.8), 0, n - size)))
    z, y, x = (slice(start, start + size) for start, size in zip(starts, CROP, strict=True))
    return z, y, x


def _field(patient: Patient, box: tuple[slice, slice, slice], rng: np.random.Generator) -> VoxelArray:
    channels = {
        name: patient.channels[(CHANNELS.index(name), *box)].astype(np.float32)
        for name in ("level", "distance", "distance_high", "body", *PLATES)
    }
    distance_mm = np.maximum(channels["distance"] * _DISTANCE_UNIT_MM, 0.0)
    inner_mm = np.maximum(channels["distance_high"] * _DISTANCE_UNIT_MM, 0.0)
    steep, shallow = rng.uniform(4.0, 12.0), rng.uniform(15.0, 60.0)
    pattern = channels[PLATES[int(rng.integers(len(PLATES)))]]
    depth = rng.uniform(0.2, 1.0)
    bath = rng.uniform(0.3, 0.7) * np.exp(-distance_mm / shallow) * (1 - depth + depth * pattern)
    shoulder = rng.uniform(0.0, 0.15) * np.exp(-inner_mm / steep)
    outer = rng.uniform(0.75, 0.95) * np.exp(-((distance_mm / steep) ** 2))
    noise = 1.0 + rng.uniform(0.0, 0.03) * rng.standard_normal(distance_mm.shape)
    field = np.maximum(np.maximum(outer, bath) + shoulder, channels["level"]) * noise
    return np.asarray(np.clip(field * channels["body"], 0.0, 1.3), dtype=np.float32)
