"""The plans of a library in the network's frame, each with the wish that it was made for.

Channels are made once for each patient and set of beams; the doses of all plans with these beams lie in one file beside
them. Which plans are left out, :func:`models.library.sources.usable` says.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge.rt.errors import ModelRefusal
from models.fdp.channels import CHANNELS, channels_of
from models.library.engine_dose import EngineDoses
from models.library.library import Library, LibraryPatient, LibraryPlan
from models.library.sources import sources_of, usable
from models.openkbp.reader import read_patient
from models.training.dataset import Patient
from models.training.prepare import (
    Progress,
    allow_open_files,
    frame_with_margin,
    frame_words,
    in_processes,
    mapped,
    regions_of,
    write_folder,
)
from models.training.wish import wish_of

__all__ = ["load_plans"]

_FORMAT = "1"
_BODY = CHANNELS.index("body")
_OPEN_FILES = 3
"""Of each patient and set of beams; they stay open as long as the plans are in use."""


def load_plans(
    data: Path, library: Library, set_name: str, cache: Path, progress: Progress | None = None, workers: int = 2
) -> list[Patient]:
    """Give the plans of one set of a library in the frame, those of one patient and set of beams behind each other.

    Parameters
    ----------
    data
        The patients that the library was made of.
    cache
        Folder for what is made; delete it to have everything made again.
    progress
        Told after each patient and set of beams.

    Raises
    ------
    ModelRefusal
        The library has no plan of that set (``library-no-plans``), was made of other files than the data's
        (``library-source``), or a file of it is not what it was.
    Refusal
        A patient that cannot be read, or does not fit the frame.
    """
    cache.mkdir(parents=True, exist_ok=True)
    jobs = [job for path, patient in sources_of(data, library, set_name) for job in _jobs(path, patient, cache)]
    if not jobs:
        raise ModelRefusal("library-no-plans", f"The library has no plan of the set {set_name!r} to learn from.")
    allow_open_files(_OPEN_FILES * len(jobs))
    missing = [job for job in jobs if not (job.anatomy.is_dir() and job.doses.is_dir())]
    in_processes(_make, missing, len(jobs), progress, workers)
    return [plan for job in jobs for plan in _open(job)]


@dataclass(frozen=True, eq=False)
class _Job:
    """The plans of one patient and set of beams, and the folders for what is made of them."""

    source: Path
    patient: LibraryPatient
    plans: tuple[LibraryPlan, ...]
    anatomy: Path
    doses: Path

    @property
    def highest_gy(self) -> float:
        """Highest target level."""
        return max(self.patient.manifest.levels_gy.values())


def _jobs(path: Path, patient: LibraryPatient, cache: Path) -> list[_Job]:
    jobs = []
    for beams in patient.manifest.beam_sets:
        plans = usable(patient.with_beams(beams.name))
        if plans:
            manifest = patient.manifest
            words = (_FORMAT, frame_words(), manifest.source_sha256, manifest.grid, beams.gantry_deg)
            name = f"{patient.id}-{beams.name}"
            doses = (words, [(plan.name, plan.entry.dose_sha256) for plan in plans])
            anatomy_folder, dose_folder = (
                cache / f"{name}-{kind}-{hashlib.sha256(repr(what).encode()).hexdigest()[:16]}"
                for kind, what in (("anatomy", words), ("doses", doses))
            )
            jobs.append(_Job(path, patient, plans, anatomy_folder, dose_folder))
    return jobs


def _make(job: _Job) -> None:
    source = read_patient(job.source)
    frame = frame_with_margin(source.anatomy)
    engine = EngineDoses(source.anatomy.body, job.patient.grid)
    if not job.anatomy.is_dir():
        channels = channels_of(source.anatomy, frame, job.plans[0].beams.gantry_deg)
        regions = regions_of(source.anatomy, frame, engine.counted(frame.axes))
        regions[regions & 1 == 0] = 0  # of structures in the air there is no dose to compare
        write_folder(job.anatomy, {"channels": channels.astype(np.float16), "regions": regions}, {"id": job.patient.id})
    if not job.doses.is_dir():
        body = mapped(job.anatomy, "channels")[_BODY] > 0
        highest_gy = np.float32(job.highest_gy)
        doses = [(engine.on(plan, frame.axes) * body / highest_gy).astype(np.float16) for plan in job.plans]
        write_folder(job.doses, {"doses": np.stack(doses)}, {"plans": [plan.name for plan in job.plans]})


def _open(job: _Job) -> list[Patient]:
    channels, regions, doses = (
        mapped(job.anatomy, "channels"),
        mapped(job.anatomy, "regions"),
        mapped(job.doses, "doses"),
    )
    return [
        Patient(job.patient.id, channels, dose, regions, job.highest_gy, plan.beams.gantry_deg, wish_of(plan.label))
        for plan, dose in zip(job.plans, doses, strict=True)
    ]
