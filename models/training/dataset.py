"""Patients in the network's frame, cut into boxes for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.rt.openkbp import TARGETS
from models.fdp.channels import CHANNELS, CT_CHANNEL, MIRRORED, ORGANS
from models.fdp.frame import BOX
from models.openkbp.reader import GANTRY_ANGLES_DEG
from models.training.cut import Box, Cut, body_in
from models.training.wish import NO_WISH, Wish

__all__ = ["ROIS", "Augmentation", "Patient", "Sample", "grouped", "sample_box"]

ROIS = (*ORGANS, *TARGETS)
"""Structures with a bit in the packed regions: organs by TG-263 name, targets by OpenKBP's, by ascending level."""

_BODY = CHANNELS.index("body")
_DISTANCES = [CHANNELS.index("distance"), CHANNELS.index("distance_high")]
_MIRRORED_ROIS = tuple(
    ROIS.index({"Parotid_R": "Parotid_L", "Parotid_L": "Parotid_R"}.get(name, name)) for name in ROIS
)


@dataclass(frozen=True, eq=False)
class Patient:
    """One plan of one patient in the frame, with a margin for shifts.

    Attributes
    ----------
    id
        ``pt_N``.
    channels
        Half precision ``(C, z, y, x)``, see :mod:`models.fdp.channels`.
    dose
        Half precision ``(z, y, x)``, over the highest level.
    regions
        ``(z, y, x)`` uint16: bit 0 where the plan counts dose, then one bit for each of :data:`ROIS`.
    highest_gy
        Highest target level.
    gantry_deg
        Beams of the plan.
    wish
        What sets the plan apart from the reference plan of the same patient and beams, none for the reference plan
        itself; None where nobody knows, as of a plan that is the only one.
    """

    id: str
    channels: NDArray[np.float16]
    dose: NDArray[np.float16]
    regions: NDArray[np.uint16]
    highest_gy: float
    gantry_deg: tuple[float, ...] = GANTRY_ANGLES_DEG
    wish: Wish | None = None


@dataclass(frozen=True, eq=False)
class Sample:
    """A batch of boxes.

    Attributes
    ----------
    channels
        ``(B, C, z, y, x)``.
    dose
        ``(B, 1, z, y, x)`` over the highest level.
    where
        ``(B, 1, z, y, x)``: 1 where the loss counts.
    rois
        ``(B, len(ROIS), z, y, x)`` boolean.
    highest_gy
        ``(B,)``.
    patients
        Index of the patient of each box.
    cuts
        Which part of him it is, and how it is seen.
    """

    channels: Tensor
    dose: Tensor
    where: Tensor
    rois: Tensor
    highest_gy: Tensor
    patients: tuple[int, ...]
    cuts: tuple[Cut, ...]

    def to(self, device: torch.device) -> Sample:
        """Move the tensors."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("channels", "dose", "where", "rois", "highest_gy")
        }
        return replace(self, **moved)


@dataclass(frozen=True)
class Augmentation:
    """What is done to a box at random; everything keeps CT, structures, beams and dose together.

    Attributes
    ----------
    mirror
        Probability of a patient seen in the mirror, left and right parotid exchanged.
    ct_dropout
        Probability of a CT of zeros: a model must not hang on CT numbers that a scanner may not give.
    rotate
        Probability of a turn about z, beams and all. Small boxes lose their corners, whole patients nothing.
    rotate_deg
        Largest turn.
    """

    mirror: float = 0.5
    ct_dropout: float = 0.2
    rotate: float = 0.0
    rotate_deg: float = 10.0


def grouped(patients: Sequence[Patient]) -> list[list[int]]:
    """Give the numbers of the plans of each patient and set of beams, the reference plan first.

    Raises
    ------
    ValueError
        Some plans have labels and others none, or the reference plan is missing: mixed up by whoever put them together.
    """
    groups: dict[tuple[str, tuple[float, ...]], list[int]] = {}
    for number, patient in enumerate(patients):
        groups.setdefault((patient.id, patient.gantry_deg), []).append(number)
    found = [sorted(group, key=lambda number: patients[number].wish != NO_WISH) for group in groups.values()]
    labelled = {patient.wish is not None for patient in patients}
    if labelled == {True} and all(patients[first].wish == NO_WISH for first, *_ in found):
        return found
    if labelled == {False} and len(found) == len(patients):
        return found
    raise ValueError("Plans with labels and a reference plan each, or one plan without a label of each patient.")


def sample_box(
    patients: Sequence[Patient],
    indices: Sequence[int],
    rng: np.random.Generator | None,
    augmentation: Augmentation | None = None,
    size: tuple[int, int, int] | None = BOX,
) -> Sample:
    """Cut one box of each patient: at random with ``rng``, else in the middle.

    A box at random lies half way between the middle of the frame and some voxel where the plan counts dose: most of it
    is body, and often it holds the targets.

    Parameters
    ----------
    indices
        Which patients.
    rng
        Chooses place and augmentation.
    augmentation
        What may be done; None is nothing.
    size
        Voxels of a box (z, y, x). None is the box of a prediction less the air around the body, which is of another
        size for each patient: such a batch has one box.
    """
    wanted = augmentation or Augmentation(0.0, 0.0)
    cuts = [_cut(patients[index], rng, wanted, size) for index in indices]
    parts = [_seen(patients[index], cut) for index, cut in zip(indices, cuts, strict=True)]
    channels, dose, where, rois = (torch.stack(values) for values in zip(*parts, strict=True))
    for box in channels:
        if rng is not None and rng.random() < wanted.ct_dropout:
            box[CT_CHANNEL] = 0.0
    highest_gy = torch.tensor([patients[index].highest_gy for index in indices], dtype=torch.float32)
    return Sample(channels, dose, where, rois, highest_gy, tuple(indices), tuple(cuts))


def _cut(
    patient: Patient, rng: np.random.Generator | None, augmentation: Augmentation, size: tuple[int, int, int] | None
) -> Cut:
    box = _box(patient, rng, size or BOX)
    if rng is None:
        cut = Cut(box, roomy=size is None)
    else:
        mirrored = bool(rng.random() < augmentation.mirror)
        turn_deg = rng.uniform(-1.0, 1.0) * augmentation.rotate_deg if rng.random() < augmentation.rotate else 0.0
        cut = Cut(box, mirrored, float(np.deg2rad(turn_deg)), roomy=size is None)
    if size is not None:
        return cut
    return replace(cut, kept=body_in(cut.of(patient.channels[_BODY][None])[0], rng))


def _seen(patient: Patient, cut: Cut) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Give channels, dose, where it counts, and structures, as :class:`Sample` has them of one box."""
    channels, dose = cut.of(patient.channels), cut.of(patient.dose[None])
    bits = np.stack([(patient.regions >> bit & 1).astype(bool) for bit in range(len(ROIS) + 1)])
    inside = cut.of(bits) >= 0.5
    where, rois = inside[:1], inside[1:]
    if cut.mirrored:
        channels, rois = channels[list(MIRRORED)], rois[list(_MIRRORED_ROIS)]
    if cut.turned_rad:
        # what lies outside the box is air and far from every target, not "on the surface"
        channels[_DISTANCES] += 1.0 - cut.of(np.ones((1, *patient.dose.shape), dtype=bool))
    return channels, dose, where.float(), rois


def _box(patient: Patient, rng: np.random.Generator | None, size: tuple[int, int, int]) -> Box:
    shape = patient.dose.shape
    if any(wanted > n for n, wanted in zip(shape, size, strict=True)):
        raise ValueError(f"A box of {size} voxels does not fit into {patient.id} of {shape}.")
    if rng is None:
        starts = [(n - wanted) // 2 for n, wanted in zip(shape, size, strict=True)]
    else:
        counted = np.flatnonzero(patient.regions & 1)
        voxel = np.unravel_index(counted[int(rng.integers(len(counted)))], shape)
        centre = [(int(place) + n / 2) / 2 for place, n in zip(voxel, shape, strict=True)]
        starts = [
            int(np.clip(round(place - wanted / 2), 0, n - wanted))
            for place, wanted, n in zip(centre, size, shape, strict=True)
        ]
    z, y, x = (slice(start, start + wanted) for start, wanted in zip(starts, size, strict=True))
    return z, y, x
