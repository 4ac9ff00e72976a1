"""Seconds and memory of the planning engine on an OpenKBP patient, beside the plain pyRadPlan calls.

    python -m tests.benchmarks.engine PATIENT [--repeats N] [--json FILE]

Nine equispaced beams, beamlets of 7 mm, a dose grid of 5 mm, and the same objectives for both. Each program runs in a
process of its own, so that the peak of memory is its own. Both objective values are of the same function of the dose,
each on its own program's dose; ``scipy`` is the optimizer that pyRadPlan uses, on this engine's influence. Times are
given as seconds by the clock, and as seconds of all cores together, which say more on a machine that is busy with other
things.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from scipy import optimize

from bridge.rt.anatomy import dose_grid
from bridge.rt.volume import CtVolume
from esapi_stub.engine import radplan
from esapi_stub.engine.fluence import even_fluence, optimize_fluences
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.objectives import DoseFunction, dose_function
from esapi_stub.engine.optimizer import StoppingRule
from esapi_stub.engine.patient import PlanningPatient, averaged
from esapi_stub.engine.products import DoseProducts
from esapi_stub.planning import PlannedObjective, PointObjective
from models.openkbp.reader import read_patient

DOSE_GRID_MM, BEAMLET_MM = 5.0, 7.0

ORGAN_LIMITS_GY = {
    "Brainstem": 40.0,
    "SpinalCord": 35.0,
    "Parotid_L": 20.0,
    "Parotid_R": 20.0,
    "Esophagus": 25.0,
    "Larynx": 35.0,
    "Bone_Mandible": 60.0,
}
REST, REST_LIMIT_GY = 99, 35.0

T = TypeVar("T")


def patient_and_objectives(
    path: Path, dose_grid_mm: float = DOSE_GRID_MM
) -> tuple[PlanningPatient, tuple[PlannedObjective, ...], float]:
    """Give an OpenKBP patient on the dose grid, points for all its structures, and the highest level in Gy."""
    anatomy = read_patient(path).anatomy
    assert anatomy.ct is not None
    points = anatomy.grid.positions_mm(np.argwhere(anatomy.body.values > 0).astype(np.float64))
    grid = dose_grid(anatomy.grid, points, dose_grid_mm)
    body = averaged(anatomy.body, grid, 0.0) >= 0.5
    inside = {name: (averaged(mask, grid, 0.0) >= 0.5) & body for name, mask in anatomy.masks.items()}
    targets = np.logical_or.reduce([inside[name] for name in anatomy.target_levels_gy])
    objectives: list[PlannedObjective] = [PointObjective(REST, "upper", REST_LIMIT_GY, 0.0, 30.0)]
    for number, name in enumerate(inside, start=1):
        if name in anatomy.target_levels_gy:
            level = anatomy.target_levels_gy[name]
            objectives += [PointObjective(number, "lower", level, 100.0, 100.0)]
            objectives += [PointObjective(number, "upper", 1.05 * level, 0.0, 100.0)]
        else:
            objectives += [PointObjective(number, "upper", ORGAN_LIMITS_GY[name], 0.0, 20.0)]
    masks = {number: mask.astype(np.float32) for number, mask in enumerate(inside.values(), start=1)}
    masks[REST] = (body & ~targets).astype(np.float32)
    ct = CtVolume(np.where(body, averaged(anatomy.ct, grid, -1000.0), np.float32(-1000.0)), grid)
    return PlanningPatient(ct, body, targets, masks), tuple(objectives), max(anatomy.target_levels_gy.values())


def directions_of(patient: PlanningPatient) -> list[radplan.BeamDirection]:
    """Give nine beams onto the middle of the targets."""
    x, y, z = patient.ct.grid.positions_mm(np.argwhere(patient.targets).astype(np.float64)).mean(axis=0)
    return [radplan.BeamDirection(angle, (float(x), float(y), float(z))) for angle in radplan.equispaced_deg()]


def timed(what: Callable[[], T]) -> tuple[T, tuple[float, float]]:
    """Give a result and how long it took: seconds by the clock, and of all cores together."""
    clock, cores = time.perf_counter(), time.process_time()
    result = what()
    return result, (time.perf_counter() - clock, time.process_time() - cores)


def peak_mb() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def measure_ours(path: Path, repeats: int) -> dict[str, Any]:
    """Measure this engine."""
    patient, objectives, level_gy = patient_and_objectives(path)
    directions = directions_of(patient)
    radplan.dose_influence(patient, directions[:1], BEAMLET_MM)  # imports, and compiles
    before = peak_mb()
    influence, influence_s = timed(lambda: radplan.dose_influence(patient, directions, BEAMLET_MM))
    influence_mb = peak_mb()
    function = dose_function(patient, objectives, None, level_gy)
    organs = dose_function(patient, [one for one in objectives if one.roi_number != REST], None, level_gy)
    start = even_fluence(influence, patient, level_gy)
    run_together(influence, [function] * 2, start, StoppingRule(max_iterations=2))
    run_together(influence, [function], start, StoppingRule(max_iterations=2))
    found: dict[str, Any] = {
        "voxels": influence.matrix.shape[0],
        "beamlets": influence.matrix.shape[1],
        "entries_million": influence.matrix.nnz / 1e6,
        "matrix_mb": (influence.matrix.nnz * 8 + len(influence.matrix.indptr) * 4) / 2**20,
        "influence_s": influence_s,
        "base_mb": before,
        "influence_mb": influence_mb,
    }
    with TemporaryDirectory() as folder:
        _, found["save_s"] = timed(lambda: influence.save(Path(folder) / "case.npz"))
        _, found["load_s"] = timed(lambda: DoseInfluence.load(Path(folder) / "case.npz"))
    times = []
    for _ in range(repeats):
        (result,), seconds = timed(lambda: run_together(influence, [function], start, StoppingRule()))
        times.append(seconds)
    found |= {"optimize_s": min(times), "iterations": result.iterations, "evaluations": result.evaluations}
    found |= {"objective": result.value, "start_objective": result.history[0], "optimize_mb": peak_mb()}
    found["history"] = list(result.history)
    found["scipy_objective"], found["scipy_s"] = timed(lambda: minimum_of_scipy(influence, function, start))
    warmer = [function.weighted({number: 1.3 for number in patient.masks if number % 2})]
    (warm,), found["warm_s"] = timed(lambda: run_together(influence, warmer, result.fluence, StoppingRule()))
    found["warm_iterations"] = warm.iterations
    (local,), found["structures_only_s"] = timed(lambda: run_together(influence, [organs], start, StoppingRule()))
    found |= {"structures_only_voxels": len(organs.voxels), "structures_only_iterations": local.iterations}
    weightings = [function.weighted({REST: factor}) for factor in (1.0, 2.0, 4.0, 8.0)]
    fixed = StoppingRule(max_iterations=40, relative_decrease=0.0)
    _, found["forty_iterations_s"] = timed(lambda: run_together(influence, weightings[:1], start, fixed))
    _, found["forty_iterations_of_four_s"] = timed(lambda: run_together(influence, weightings, start, fixed))
    return found


def run_together(influence: DoseInfluence, functions: list[DoseFunction], start: Any, rule: StoppingRule) -> Any:
    """Optimize from one start."""
    starts = np.tile(start, (len(functions), 1))
    return optimize_fluences(influence, functions, starts, rule, lambda *_: None, lambda: False)


def minimum_of_scipy(influence: DoseInfluence, function: DoseFunction, start: Any) -> float:
    """Give the value that pyRadPlan's optimizer, as it sets it, comes to with this engine's influence."""
    products = DoseProducts(influence.matrix).part(function.voxels)

    def evaluate(fluence: Any) -> tuple[float, Any]:
        value, slope = function(products.dose(fluence[None])[0])
        return value, products.gradient(slope[None])[0]

    bounds = optimize.Bounds(np.zeros_like(start), np.inf)
    found = optimize.minimize(
        evaluate, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-6, options={"maxiter": 500}
    )
    return float(found.fun)


def measure_plain(path: Path, _repeats: int) -> dict[str, Any]:
    """Measure pyRadPlan's own calls."""
    from pyRadPlan import calc_dose_influence, fluence_optimization, generate_stf
    from pyRadPlan.cst import StructureSet, create_voi
    from pyRadPlan.optimization.objectives import SquaredOverdosing, SquaredUnderdosing

    patient, objectives, level_gy = patient_and_objectives(path)
    ct, structures, plan = radplan._as_pyradplan(patient, directions_of(patient), BEAMLET_MM)
    plan.prop_opt = {"solver": "scipy", "apply_overlap": False}
    vois = list(structures.vois)
    for number, mask in patient.masks.items():
        voi = create_voi(voi_type="OAR", name=str(number), ct_image=ct, mask=mask.astype(np.uint8))
        voi.objectives = [
            SquaredOverdosing(priority=one.priority, d_max=one.dose_gy)
            if one.operator == "upper"
            else SquaredUnderdosing(priority=one.priority, d_min=one.dose_gy)
            for one in objectives
            if isinstance(one, PointObjective) and one.roi_number == number
        ]
        vois.append(voi)
    structures = StructureSet(vois=vois, ct_image=ct)
    before = peak_mb()
    steering, steering_s = timed(lambda: generate_stf(ct, structures, plan))
    dij, influence_s = timed(lambda: calc_dose_influence(ct, structures, steering, plan))
    influence_mb = peak_mb()
    fluence, optimize_s = timed(lambda: fluence_optimization(ct, structures, steering, dij, plan))
    matrix = dij.physical_dose.flat[0]
    function = dose_function(patient, objectives, None, level_gy)
    dose = (matrix @ fluence.astype(np.float32))[np.flatnonzero(patient.body)][function.voxels]
    return {
        "beamlets": matrix.shape[1],
        "entries_million": matrix.nnz / 1e6,
        "steering_s": steering_s,
        "influence_s": influence_s,
        "optimize_s": optimize_s,
        "objective": function(dose.astype(np.float64))[0],
        "base_mb": before,
        "influence_mb": influence_mb,
        "optimize_mb": peak_mb(),
    }


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "{:.1f} by the clock, {:.1f} of all cores".format(*value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)


PROGRAMS = {"ours": measure_ours, "plain": measure_plain}


def main() -> None:
    """Measure each in a process of its own, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patient", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=PROGRAMS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print("\n" + json.dumps(PROGRAMS[given.only](given.patient, given.repeats)))  # noqa: T201
        return
    result: dict[str, Any] = {"patient": given.patient.stem, "cores": os.cpu_count()}
    for name in PROGRAMS:
        call = [sys.executable, "-m", "tests.benchmarks.engine", str(given.patient), "--only", name]
        call += ["--repeats", str(given.repeats)]
        told = subprocess.run(call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True).stdout
        result[name] = json.loads(told.rstrip().rpartition("\n")[2])
        for key, value in result[name].items():
            if key != "history":
                print(f"{name} {key}: {_text(value)}")  # noqa: T201
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
