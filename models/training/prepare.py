"""Patients brought into the network's frame: made once, kept on disk in half precision, mapped into memory."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import VoxelArray
from bridge.rt.case import Anatomy
from models.fdp.axes import AlignedAxes
from models.fdp.channels import CHANNELS, channels_of
from models.fdp.frame import BOX, SPACING_MM, Frame, frame_of
from models.openkbp.reader import GANTRY_ANGLES_DEG, list_patients, read_patient
from models.training.dataset import ROIS, Patient

__all__ = [
    "Progress",
    "allow_open_files",
    "frame_with_margin",
    "frame_words",
    "in_processes",
    "load_patients",
    "mapped",
    "regions_of",
    "write_folder",
]

MARGIN_VOXELS = (4, 4, 4)

Progress = Callable[[int, int], None]
"""Told how many patients are there, of how many."""

_FORMAT = "2"
_OTHER_FILES = 256

_Job = TypeVar("_Job")


def load_patients(folder: Path, cache: Path, progress: Progress | None = None, workers: int = 2) -> list[Patient]:
    """Give all patients of a folder in the frame, each with the plan that came with him.

    Parameters
    ----------
    folder
        Patients, packed or as CSV.
    cache
        Folder for what is made; delete it to have everything made again.
    progress
        Told after each patient.

    Raises
    ------
    Refusal
        A patient that cannot be read, or does not fit the frame.
    """
    cache.mkdir(parents=True, exist_ok=True)
    made = {path: cache / _made_name(path) for path in list_patients(folder)}
    missing = [(path, target) for path, target in made.items() if not target.is_dir()]
    in_processes(_make, missing, len(made), progress, workers)
    return [_open(target) for target in made.values()]


def in_processes(
    make: Callable[[_Job], None], missing: Iterable[_Job], total: int, progress: Progress | None, workers: int
) -> None:
    """Make what is missing of a total."""
    jobs = list(missing)
    if not jobs:
        return
    with ProcessPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(make, jobs, chunksize=4), start=total - len(jobs) + 1):
            if progress is not None:
                progress(done, total)


def allow_open_files(more: int) -> None:
    """Raise the limit of open files, as far as the system lets us: each array that is mapped keeps its file open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _OTHER_FILES + more:
        highest = _OTHER_FILES + more if hard == resource.RLIM_INFINITY else min(_OTHER_FILES + more, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))


def frame_words() -> tuple[object, ...]:
    """Say what everything in the frame depends on, whoever the patient is."""
    return (_FORMAT, CHANNELS, ROIS, BOX, SPACING_MM, MARGIN_VOXELS)


def frame_with_margin(anatomy: Anatomy) -> Frame:
    """Lay the frame around a patient, with room for shifts."""
    return frame_of(anatomy, MARGIN_VOXELS)


def regions_of(anatomy: Anatomy, frame: Frame, counted: VoxelArray) -> NDArray[np.uint16]:
    """Pack where dose counts and the structures, as of :class:`Patient`.

    Parameters
    ----------
    counted
        Part of each voxel of the frame where dose counts.
    """
    aligned = AlignedAxes.of(anatomy.grid)
    regions = (counted >= 0.5).astype(np.uint16)
    for bit, name in enumerate(ROIS, start=1):
        if name in anatomy.masks:
            inside = aligned.average(anatomy.masks[name].values, frame.axes) >= 0.5
            regions |= inside.astype(np.uint16) << np.uint16(bit)
    return regions


def write_folder(folder: Path, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, object]) -> None:
    """Write arrays as ``NAME.npy`` and words as ``patient.json``, so that the folder is there whole or not at all.

    Several processes may make the same folder; each makes it whole, and the first one counts.
    """
    partial = folder.with_name(f".{folder.name}-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name, values in arrays.items():
        np.save(partial / f"{name}.npy", values)
    (partial / "patient.json").write_text(json.dumps(dict(words)), encoding="utf-8")
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(partial)


def mapped(folder: Path, name: str) -> NDArray[Any]:
    """Map an array of a folder into memory."""
    values: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r")
    return values


def _made_name(path: Path) -> str:
    """Name what is made of a patient after all that it depends on: another file or frame is made anew."""
    digest = hashlib.sha256(repr(frame_words()).encode())
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return f"{path.name.removesuffix('.npz')}-{digest.hexdigest()[:16]}"


def _make(job: tuple[Path, Path]) -> None:
    path, folder = job
    patient = read_patient(path)
    anatomy = patient.anatomy
    frame = frame_with_margin(anatomy)
    aligned = AlignedAxes.of(anatomy.grid)
    highest_gy = max(anatomy.target_levels_gy.values())
    dose = np.maximum(aligned.spline(patient.dose.values, frame.axes), 0.0) / highest_gy
    counted = aligned.average(patient.possible_dose.astype(np.float32), frame.axes)
    arrays = {
        "channels": channels_of(anatomy, frame, GANTRY_ANGLES_DEG).astype(np.float16),
        "dose": dose.astype(np.float16),
        "regions": regions_of(anatomy, frame, counted),
    }
    write_folder(folder, arrays, {"id": patient.id, "highest_gy": highest_gy})


def _open(folder: Path) -> Patient:
    content = json.loads((folder / "patient.json").read_text(encoding="utf-8"))
    channels, dose, regions = (mapped(folder, name) for name in ("channels", "dose", "regions"))
    return Patient(content["id"], channels, dose, regions, content["highest_gy"])
