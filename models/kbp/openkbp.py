"""OpenKBP patients as plans to learn from and to be measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from bridge.rt.errors import error_context
from models.geometric.parameters import GeometricParameters
from models.kbp.training import ObservedPlan, TrainingPlan, observe
from models.openkbp.reader import read_patient

__all__ = ["observe_patients"]


def observe_patients(
    paths: Sequence[Path], expected_dose: GeometricParameters, executor: Executor | None = None
) -> Iterator[ObservedPlan]:
    """Observe patients, in their order.

    Raises
    ------
    Refusal
        A patient that cannot be read; nothing is left out.
    """
    one = partial(_observe, expected_dose=expected_dose)
    yield from map(one, paths) if executor is None else executor.map(one, paths)


def _observe(path: Path, expected_dose: GeometricParameters) -> ObservedPlan:
    with error_context({"patient": path.stem}):
        patient = read_patient(path)
        return observe(TrainingPlan(patient.id, patient.anatomy, patient.dose), expected_dose)
