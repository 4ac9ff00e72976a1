"""How much of a known dose survives objectives and optimizer: DVHs -> objectives -> engine -> DVHs again.

    python -m tests.benchmarks.conversion --data DIR --patients N --out DIR [--doses NAME ...] [--arms NAME ...]

Two known doses. ``reference`` was made by the engine itself, so that it can be reached: the reference plan of the plan
library, by config/protocols/head_and_neck.yaml and with the organs pressed down outside the targets. ``clinical`` is
OpenKBP's reference plan, which this engine's beams never made: upper objectives are inequalities, and what comes out
lower than asked is sparing and no misfit. Nine beams,
beamlets of 7 mm, a dose grid of 5 mm. The DVHs of what was asked and of what came out are of one policy, from contours
along the voxels of OpenKBP's masks.

Every patient, dose and arm is one JSON file in the folder; those that are there with the same settings are not done
again; after a change of the code, take another folder. The dose influences stay beside them, some 500 MB a patient, and
may be deleted. The table goes to the standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from bridge import __version__
from bridge.rt.dvh import Dvh
from bridge.rt.dvh_prepared import prepare_dvhs
from bridge.rt.grid import Grid
from bridge.rt.provenance import Provenance
from bridge.rt.volume import Dose
from bridge.workflow.library.build import LIBRARY_RULE, LibraryOptions
from bridge.workflow.library.case import PlanningCase, read_planning_case
from bridge.workflow.library.goals import protocol_goals
from bridge.workflow.library.planner import Planner as LibraryPlanner
from bridge.workflow.library.planner import prepare_case
from bridge.workflow.library.reference import reference_plan
from config.protocol import load_protocol
from esapi_stub.engine.engine import EngineSettings, PencilBeamEngine
from esapi_stub.engine.radplan import cached_influence
from models.openkbp.reader import GANTRY_ANGLES_DEG, list_patients, patient_folder
from objective_extraction.extract import extract_objectives
from objective_extraction.objective_set import CaseReference, ObjectiveSet
from objective_extraction.second_pass import second_pass
from objective_extraction.settings import ExtractionSettings
from tests.benchmarks.conversion_case import ConversionCase, case_of
from tests.benchmarks.conversion_plan import (
    POLICY,
    Planner,
    organ_difference,
    target_difference,
)
from tests.benchmarks.conversion_table import markdown

PROTOCOL = "head_and_neck"
SOURCES = ("reference", "clinical")
PROVENANCE = Provenance(__version__, "", "", "", {}, datetime(2026, 1, 1, tzinfo=UTC), {})
LARGEST_CHANGE_PERCENT = 10.0
INFLUENCES = "influence"

_COMMON = (load_protocol(PROTOCOL), EngineSettings(), LIBRARY_RULE)
"""What every row depends on."""

ALL_ORGANS = ("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Esophagus", "Larynx", "Bone_Mandible")


@dataclass(frozen=True)
class Arm:
    """One way to extract; with a second pass, the plan of the first is the start of the second."""

    settings: ExtractionSettings = field(default_factory=ExtractionSettings)
    second_pass: bool = False


ARMS: Mapping[str, Arm] = {
    "defaults": Arm(),
    "4 points": Arm(ExtractionSettings(volumes_percent=(0.0, 20.0, 50.0, 80.0), mean_objective_for=())),
    "8 points": Arm(
        ExtractionSettings(volumes_percent=(0.0, 5.0, 20.0, 40.0, 60.0, 80.0, 95.0, 100.0), mean_objective_for=())
    ),
    "mean only": Arm(ExtractionSettings(volumes_percent=(), mean_objective_for=ALL_ORGANS)),
    "margin of 3 %": Arm(ExtractionSettings(margin_percent=3.0)),
    "mean of all": Arm(ExtractionSettings(mean_objective_for=ALL_ORGANS)),
    "also in targets": Arm(ExtractionSettings(overlap_percent=100.0)),
    "no ring": Arm(ExtractionSettings(ring_volumes_percent=())),
    "organs weigh twice": Arm(ExtractionSettings(organ_total_priority=100.0)),
    "second pass": Arm(second_pass=True),
}


@dataclass(frozen=True)
class Job:
    """One patient with the arms that are missing, by source."""

    patient: Path
    out: Path
    missing: Mapping[str, tuple[str, ...]]


def measure(job: Job) -> str:
    """Do what is missing of one patient, and give its id."""
    planning = read_planning_case(job.patient)
    case = case_of(planning)
    planner = Planner(case, PencilBeamEngine(EngineSettings(cache=job.out / INFLUENCES)))
    doses = {"clinical": case.dose}
    if job.missing.get("reference"):
        doses["reference"] = _reference_dose(planning, job.out)
    for source, arms in job.missing.items():
        dvhs = prepare_dvhs(case.structures, doses[source].grid, POLICY).dvhs(doses[source]) if arms else ()
        for arm in arms:
            begun = time.perf_counter()
            objectives = _extracted(case, doses[source], dvhs, ARMS[arm].settings)
            extract_s = time.perf_counter() - begun
            row = _planned_row(planner, objectives, {dvh.roi_name: dvh for dvh in dvhs}, ARMS[arm].second_pass)
            row |= {"patient": case.id, "source": source, "arm": arm, "key": key_of(arm), "extract_s": extract_s}
            _write(job.out / row_name(case.id, source, arm), row)
    return case.id


def _planned_row(
    planner: Planner, objectives: ObjectiveSet, requested: Mapping[str, Dvh], with_second_pass: bool
) -> dict[str, Any]:
    plan, seconds = planner.optimize(planner.planned(objectives))
    iterations = plan.iterations
    if with_second_pass:
        reached = planner.dvhs(plan.dose, objectives.derived_structures)
        again = second_pass(objectives, reached, largest_change_percent=LARGEST_CHANGE_PERCENT)
        plan, more_s = planner.optimize(planner.planned(again), start=plan.fluence)
        seconds, iterations = seconds + more_s, iterations + plan.iterations
    optimized = planner.dvhs(plan.dose)
    organs = [one.name for one in planner.case.structures if one.kind == "organ" and not requested[one.name].is_empty]
    return {
        "organs": {name: asdict(organ_difference(requested[name], optimized[name])) for name in organs},
        "targets": {
            level.roi_name: {
                **target_difference(requested[level.roi_name], optimized[level.roi_name]),
                "prescribed": level.dose_gy,
            }
            for level in planner.case.prescription.levels
        },
        "objectives": len(objectives.objectives),
        "findings": sorted({finding.code for finding in objectives.findings}),
        "objective_value": plan.objective_value,
        "iterations": iterations,
        "optimize_s": seconds,
    }


def _extracted(case: ConversionCase, dose: Dose, dvhs: Sequence[Dvh], settings: ExtractionSettings) -> ObjectiveSet:
    frame = case.ct.grid.frame_of_reference_uid
    return extract_objectives(
        case.structures, case.prescription, dose, dvhs, case=CaseReference("2.25.1", "2.25.2", frame),
        dose_source="given", settings=settings, policy=POLICY, provenance=PROVENANCE,
    )  # fmt: skip


def _reference_dose(planning: PlanningCase, out: Path) -> Dose:
    """Give the dose of the plan library's reference plan, made where the folder does not hold it yet."""
    path = out / f"{planning.id}.reference.npz"
    key = sha256(repr(_COMMON).encode()).hexdigest()
    if path.exists():
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) == key:
                values = file["values"]
                return Dose(values, Grid(values.shape, file["affine"], planning.ct.grid.frame_of_reference_uid))
    protocol, settings = load_protocol(PROTOCOL), EngineSettings(rule=LIBRARY_RULE)
    prepared = prepare_case(planning, protocol_goals(protocol, planning), settings.dose_grid_mm)
    influence_of = partial(cached_influence, out / INFLUENCES)
    planner = LibraryPlanner(prepared, len(GANTRY_ANGLES_DEG), settings, influence_of)
    dose = reference_plan(planner, LibraryOptions().rounds).planned.dose
    np.savez(path, values=dose.values, affine=dose.grid.affine, key=np.array(key))
    return dose


def key_of(arm: str) -> str:
    """Give the hash of what a row depends on."""
    parts = (ARMS[arm], LARGEST_CHANGE_PERCENT, *_COMMON)
    return sha256(repr(parts).encode()).hexdigest()


def row_name(patient: str, source: str, arm: str) -> str:
    """Give the file of a row."""
    return f"{patient}.{source}.{arm.replace(' ', '-').replace('%', 'percent')}.json"


def _write(path: Path, row: Mapping[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def finished(
    out: Path, patients: Sequence[str], sources: Sequence[str], arms: Sequence[str]
) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Give the rows that are there, by patient, source and arm."""
    rows = {}
    for patient in patients:
        for source in sources:
            for arm in arms:
                path = out / row_name(patient, source, arm)
                if path.exists():
                    row = json.loads(path.read_text(encoding="utf-8"))
                    if row["key"] == key_of(arm):
                        rows[patient, source, arm] = row
    return rows


def main() -> None:
    """Do what is missing, patient by patient, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of OpenKBP, or of patients")
    parser.add_argument("--patients", type=int, default=10, help="the first so many of the validation set")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--doses", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table-only", action="store_true", help="print the table of what is there")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    paths = list_patients(patient_folder(given.data, "validation"))[: given.patients]
    patients = [path.name.removesuffix(".npz") for path in paths]
    if not given.table_only:
        _run(paths, given.out, given.doses, given.arms, given.processes)
    rows = finished(given.out, patients, given.doses, given.arms)
    print(markdown(list(rows.values()), given.doses, given.arms))  # noqa: T201


def _run(paths: Sequence[Path], out: Path, sources: Sequence[str], arms: Sequence[str], processes: int) -> None:
    done = finished(out, [path.name.removesuffix(".npz") for path in paths], sources, arms)
    jobs = []
    for path in paths:
        patient = path.name.removesuffix(".npz")
        missing = {source: tuple(arm for arm in arms if (patient, source, arm) not in done) for source in sources}
        if any(missing.values()):
            jobs.append(Job(path, out, missing))
    # numba reads it when it is imported, in the processes to come
    os.environ["NUMBA_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // processes))
    begun = time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(measure, job) for job in jobs]):
            print(f"{future.result()} done after {time.perf_counter() - begun:.0f} s", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
