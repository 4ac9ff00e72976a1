"""The plans that a training learns from: those that came with the patients, or those of a library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.library.library import open_library
from models.openkbp.reader import patient_folder
from models.training.dataset import Patient, grouped
from models.training.library_plans import load_plans
from models.training.origin import OPENKBP, TRAINING_SET, Origin, library_origin
from models.training.prepare import Progress, load_patients

__all__ = ["calibration_plans", "training_plans"]

_EVERY = 10


def training_plans(
    data: Path, library: Path | None, out: Path, progress: Progress | None = None
) -> tuple[list[Patient], Origin]:
    """Give the plans and what they are.

    Parameters
    ----------
    data
        Patients, in a folder of their set or all in one.
    library
        Folder of a library of these patients; None takes the plans that came with them.
    out
        Folder of the training: what is prepared is kept in ``patients`` or ``plans`` inside it.
    progress
        Told while they are prepared.

    Raises
    ------
    Refusal
        See :func:`~models.training.prepare.load_patients` and :func:`~models.training.library_plans.load_plans`.
    """
    if library is None:
        return load_patients(patient_folder(data, TRAINING_SET), out / "patients", progress), OPENKBP
    opened = open_library(library)
    return load_plans(data, opened, TRAINING_SET, out / "plans", progress), library_origin(opened)


def calibration_plans(plans: Sequence[Patient]) -> list[Patient]:
    """Give plans of every tenth patient to calibrate the error's scale on: the first, and one in the middle."""
    groups = grouped(plans)[::_EVERY]
    return [plans[number] for group in groups for number in dict.fromkeys((group[0], group[len(group) // 2]))]
