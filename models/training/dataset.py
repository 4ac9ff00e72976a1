"""Patients in the network's frame: made once, kept on disk in half precision, cut into boxes for each step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.rt.openkbp import TARGETS
from models.fdp.axes import AlignedAxes
from models.fdp.channels import CHANNELS, CT_CHANNEL, MIRRORED, ORGANS, channels_of
from models.fdp.frame import BOX, SPACING_MM, frame_of
from models.openkbp.reader import GANTRY_ANGLES_DEG, list_patients, read_patient

__all__ = ["ROIS", "Augmentation", "Patient", "Sample", "load_patients", "sample_box", "turn_box"]

MARGIN_VOXELS = (4, 4, 4)

ROIS = (*ORGANS, *TARGETS)
"""Structures with a bit in the packed regions: organs by TG-263 name, targets by OpenKBP's, by ascending level."""

_FORMAT = "1"
_BODY = CHANNELS.index("body")
_STEP = 8
"""Sides of a box are multiples of this: three times the network halves the resolution."""

_MIRRORED_ROIS = tuple(
    ROIS.index({"Parotid_R": "Parotid_L", "Parotid_L": "Parotid_R"}.get(name, name)) for name in ROIS
)


Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Patient:
    """One patient in the frame, with a margin for shifts.

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
    """

    id: str
    channels: NDArray[np.float16]
    dose: NDArray[np.float16]
    regions: NDArray[np.uint16]
    highest_gy: float


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
    starts
        First voxel of each box in the patient's arrays.
    mirrored
        Whether each box is seen in the mirror.
    turned_rad
        Turn of each box about z, after that.
    """

    channels: Tensor
    dose: Tensor
    where: Tensor
    rois: Tensor
    highest_gy: Tensor
    patients: tuple[int, ...]
    starts: tuple[tuple[int, int, int], ...]
    mirrored: tuple[bool, ...]
    turned_rad: tuple[float, ...]

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
        Probability of a turn about z, by up to ``rotate_deg`` or, half of the time, by a multiple of 40 degrees more
        (which maps nine equispaced beams on themselves).
    rotate_deg
        Largest turn.
    """

    mirror: float = 0.5
    ct_dropout: float = 0.2
    rotate: float = 0.0
    rotate_deg: float = 10.0


def load_patients(
    folder: Path, cache: Path, progress: Callable[[int, int], None] | None = None, workers: int = 2
) -> list[Patient]:
    """Give all patients of a folder in the frame, made where the cache does not hold them yet.

    Parameters
    ----------
    folder
        Patients, packed or as CSV.
    cache
        Folder for what is made; delete it to have everything made again.
    progress
        Told how many are there, of how many.

    Raises
    ------
    Refusal
        A patient that cannot be read, or does not fit the frame.
    """
    cache.mkdir(parents=True, exist_ok=True)
    made = {path: cache / _made_name(path) for path in list_patients(folder)}
    missing = {path: target for path, target in made.items() if not target.is_dir()}
    done = len(made) - len(missing)
    if missing:
        with ProcessPoolExecutor(workers) as pool:
            for _ in pool.map(_make, missing.keys(), missing.values(), chunksize=4):
                done += 1
                if progress is not None:
                    progress(done, len(made))
    return [_open(target) for target in made.values()]


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
    parts = [_one(patients[index], rng, augmentation or Augmentation(0.0, 0.0), size) for index in indices]
    channels, dose, where, rois, starts, mirrored, turned_rad = zip(*parts, strict=True)
    return Sample(
        torch.stack(channels),
        torch.stack(dose),
        torch.stack(where),
        torch.stack(rois),
        torch.tensor([patients[index].highest_gy for index in indices], dtype=torch.float32),
        tuple(indices),
        starts,
        mirrored,
        turned_rad,
    )


def _one(
    patient: Patient, rng: np.random.Generator | None, augmentation: Augmentation, size: tuple[int, int, int] | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[int, int, int], bool, float]:
    box = _box(_starts(patient, rng, size or BOX), size or BOX)
    if size is None:
        box = _around_body(patient, rng, box)
    starts = (box[0].start, box[1].start, box[2].start)
    channels = torch.from_numpy(patient.channels[(slice(None), *box)].astype(np.float32))
    dose = torch.from_numpy(patient.dose[box].astype(np.float32))[None]
    regions = patient.regions[box]
    bits = torch.from_numpy(np.stack([(regions >> bit & 1).astype(bool) for bit in range(len(ROIS) + 1)]))
    mirrored = bool(rng is not None and rng.random() < augmentation.mirror)
    if mirrored:
        channels = channels[list(MIRRORED)].flip(-1)
        dose = dose.flip(-1)
        bits = bits[[0, *(1 + index for index in _MIRRORED_ROIS)]].flip(-1)
    if rng is not None and rng.random() < augmentation.ct_dropout:
        channels = channels.clone()
        channels[CT_CHANNEL] = 0.0
    angle = 0.0
    if rng is not None and rng.random() < augmentation.rotate:
        angle = _angle(rng, augmentation.rotate_deg)
        channels, dose, bits = _turned(channels, dose, bits, angle)
    return channels, dose, bits[:1].float(), bits[1:], starts, mirrored, angle


def _starts(patient: Patient, rng: np.random.Generator | None, size: tuple[int, int, int]) -> tuple[int, int, int]:
    shape = patient.dose.shape
    if any(wanted > n for n, wanted in zip(shape, size, strict=True)):
        raise ValueError(f"A box of {size} voxels does not fit into {patient.id} of {shape}.")
    if rng is None:
        z, y, x = ((n - wanted) // 2 for n, wanted in zip(shape, size, strict=True))
        return z, y, x
    counted = np.flatnonzero(patient.regions & 1)
    voxel = np.unravel_index(counted[int(rng.integers(len(counted)))], shape)
    centre = [(int(place) + n / 2) / 2 for place, n in zip(voxel, shape, strict=True)]
    z, y, x = (
        int(np.clip(round(place - wanted / 2), 0, n - wanted))
        for place, wanted, n in zip(centre, size, shape, strict=True)
    )
    return z, y, x


def _box(starts: tuple[int, int, int], size: tuple[int, int, int]) -> Box:
    z, y, x = (slice(start, start + n) for start, n in zip(starts, size, strict=True))
    return z, y, x


def _around_body(patient: Patient, rng: np.random.Generator | None, box: Box) -> Box:
    """Leave out the air around the body, as far as the step of the sides allows."""
    body = patient.channels[(_BODY, *box)] > 0
    kept = []
    for axis, whole in enumerate(box):
        others = tuple(other for other in range(3) if other != axis)
        filled = np.flatnonzero(body.any(axis=others))
        low, high = int(filled[0]), int(filled[-1]) + 1
        length = -(-(high - low) // _STEP) * _STEP
        first, last = max(0, high - length), min(low, whole.stop - whole.start - length)
        start = whole.start + ((first + last) // 2 if rng is None else int(rng.integers(first, last + 1)))
        kept.append(slice(start, start + length))
    z, y, x = kept
    return z, y, x


def _angle(rng: np.random.Generator, largest_deg: float) -> float:
    turn = 40.0 * int(rng.integers(0, 9)) if rng.random() < 0.5 else 0.0
    return float(np.deg2rad(turn + rng.uniform(-largest_deg, largest_deg)))


def turn_box(values: Tensor, angle: float) -> tuple[Tensor, Tensor]:
    """Turn ``(n, z, y, x)`` about the middle of the box, in the axial plane; voxels there are square.

    Returns
    -------
    tuple
        What was turned, 0 where it comes from outside the box, and the ``(y, x)`` part of each voxel that does not.
    """
    ny, nx = values.shape[-2:]
    cos, sin = np.cos(angle), np.sin(angle)
    theta = torch.tensor([[[cos, -sin * ny / nx, 0.0], [sin * nx / ny, cos, 0.0]]], dtype=torch.float32)
    lattice = torch.nn.functional.affine_grid(theta, [1, 1, ny, nx], align_corners=False)
    plane = values.flatten(0, 1)[None]
    turned = torch.nn.functional.grid_sample(plane, lattice, align_corners=False)[0].view_as(values)
    inside = torch.nn.functional.grid_sample(torch.ones_like(plane[:, :1]), lattice, align_corners=False)[0, 0]
    return turned, inside


def _turned(channels: Tensor, dose: Tensor, bits: Tensor, angle: float) -> tuple[Tensor, Tensor, Tensor]:
    turned, inside = turn_box(torch.cat([channels, dose, bits.float()]), angle)
    n = len(CHANNELS)
    # what lies outside the box is air and far from every target, not "on the surface"
    distances = [CHANNELS.index("distance"), CHANNELS.index("distance_high")]
    turned[distances] = turned[distances] + (1.0 - inside)
    return turned[:n], turned[n : n + 1], turned[n + 1 :] >= 0.5


def _made_name(path: Path) -> str:
    """Name what is made of a patient after all that it depends on: another file or frame is made anew."""
    digest = hashlib.sha256(repr((_FORMAT, CHANNELS, ROIS, BOX, SPACING_MM, MARGIN_VOXELS)).encode())
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return f"{path.name.removesuffix('.npz')}-{digest.hexdigest()[:16]}"


def _make(path: Path, folder: Path) -> None:
    patient = read_patient(path)
    anatomy = patient.anatomy
    frame = frame_of(anatomy, MARGIN_VOXELS)
    aligned = AlignedAxes.of(anatomy.grid)
    highest_gy = max(anatomy.target_levels_gy.values())
    dose = np.maximum(aligned.spline(patient.dose.values, frame.axes), 0.0) / highest_gy
    regions = (aligned.average(patient.possible_dose.astype(np.float32), frame.axes) >= 0.5).astype(np.uint16)
    for bit, name in enumerate(ROIS, start=1):
        if name in anatomy.masks:
            inside = aligned.average(anatomy.masks[name].values, frame.axes) >= 0.5
            regions |= inside.astype(np.uint16) << np.uint16(bit)
    # several processes may make the same patient; each makes it whole, and the first one counts
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    np.save(partial / "channels.npy", channels_of(anatomy, frame, GANTRY_ANGLES_DEG).astype(np.float16))
    np.save(partial / "dose.npy", dose.astype(np.float16))
    np.save(partial / "regions.npy", regions)
    (partial / "patient.json").write_text(json.dumps({"id": patient.id, "highest_gy": highest_gy}), encoding="utf-8")
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(partial)


def _open(folder: Path) -> Patient:
    content = json.loads((folder / "patient.json").read_text(encoding="utf-8"))
    channels, dose, regions = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("channels", "dose", "regions")
    )
    return Patient(content["id"], channels, dose, regions, content["highest_gy"])
