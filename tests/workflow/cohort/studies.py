"""Studies that take seconds: two patients of a few slices, and an engine of Gaussian beamlets."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bridge.workflow.cohort.run import CohortRun, patients_of, run_cohort
from bridge.workflow.cohort.study import StudyOptions
from bridge.workflow.library.planner import InfluenceOf
from esapi_stub.engine.engine import EngineSettings
from esapi_stub.engine.optimizer import StoppingRule
from tests.workflow.library.small import GRID_MM, gaussian_influence, write_patient

OPTIONS = StudyOptions(
    model="geometric",
    baseline="kbp-openkbp-v1",
    preferences=("balanced",),
    beams=5,
    settings=EngineSettings(dose_grid_mm=GRID_MM, beamlet_mm=7.0, rule=StoppingRule(max_iterations=25)),
)


def write_cohort(folder: Path) -> Path:
    """Two patients; the parotid of the second lies farther from the targets."""
    write_patient(folder, "pt_1")
    write_patient(folder, "pt_2", parotid=np.s_[56:66, 70:77, 60:68])
    return folder


def study(
    cohort: Path,
    folder: Path,
    options: StudyOptions = OPTIONS,
    executor: Executor | None = None,
    influence_of: InfluenceOf = gaussian_influence,
    patients: int | None = None,
) -> CohortRun:
    paths = patients_of(cohort, patients)
    if executor is not None:
        return run_cohort(paths, folder, options, executor, influence_of=influence_of)
    with ThreadPoolExecutor(1) as threads:
        return run_cohort(paths, folder, options, threads, influence_of=influence_of)
