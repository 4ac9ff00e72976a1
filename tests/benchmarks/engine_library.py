"""What a library of plans costs, and what is lost where it costs less.

    python -m tests.benchmarks.engine_library PATIENT... [--weightings N] [--only NAME...] [--json FILE]

Every patient gets one plan with the weights as they are, and from there N others whose weights are up to 8 times higher
or lower, all together and each from the fluence of the first. Upper and lower points as in
``tests.benchmarks.engine``, and a mean objective for each organ at a third of its point, so that a plan has something
to do below its limits. Each setting is compared with the same plans optimized to the end: objective values of the same
function of the dose, D(1 %) to D(99 %) of the organs, and D95% of the targets, in voxels of the dose grid.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bridge.rt.arrays import FloatArray
from esapi_stub.engine import radplan
from esapi_stub.engine.fluence import even_fluence, optimize_fluences
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.objectives import DoseFunction, dose_function
from esapi_stub.engine.optimizer import StoppingRule
from esapi_stub.engine.patient import PlanningPatient
from esapi_stub.planning import MeanObjective, PlannedObjective, PointObjective
from tests.benchmarks.engine import DOSE_GRID_MM, REST, directions_of, patient_and_objectives

VOLUMES_PERCENT: FloatArray = np.arange(1.0, 100.0)
FACTOR = 8.0
MEAN_PRIORITY = 5.0


@dataclass(frozen=True)
class Setting:
    """How finely, and for how long."""

    beamlet_mm: float
    dose_grid_mm: float
    rule: StoppingRule


THOROUGH = "to the end"
SETTINGS = {
    THOROUGH: Setting(7.0, 5.0, StoppingRule(max_iterations=1000, relative_decrease=1e-5)),
    "default": Setting(7.0, 5.0, StoppingRule()),
    "0.5 %": Setting(7.0, 5.0, StoppingRule(relative_decrease=5e-3)),
    "2 %": Setting(7.0, 5.0, StoppingRule(relative_decrease=2e-2)),
    "10 mm": Setting(10.0, 5.0, StoppingRule()),
    "10 mm, 0.5 %": Setting(10.0, 5.0, StoppingRule(relative_decrease=5e-3)),
    "10 mm, 7 mm grid, 0.5 %": Setting(10.0, 7.0, StoppingRule(relative_decrease=5e-3)),
}


@dataclass(frozen=True, eq=False)
class Plans:
    """What one setting gave for one patient: first the plan with the weights as they are."""

    seconds: dict[str, float]
    values: FloatArray
    organs_gy: FloatArray
    targets_gy: FloatArray
    iterations: list[int]


@dataclass(frozen=True, eq=False)
class Case:
    """A patient on a dose grid, with the influence of beamlets of one width."""

    patient: PlanningPatient
    points: tuple[PlannedObjective, ...]
    level_gy: float
    influence: DoseInfluence
    seconds: float


def case_of(path: Path, setting: Setting) -> Case:
    """Read a patient and compute the influence."""
    patient, points, level_gy = patient_and_objectives(path, setting.dose_grid_mm)
    begun = time.perf_counter()
    influence = radplan.dose_influence(patient, directions_of(patient), setting.beamlet_mm)
    return Case(patient, points, level_gy, influence, time.perf_counter() - begun)


def planned(case: Case, rule: StoppingRule, weightings: int) -> Plans:
    """Make all plans of a patient."""
    patient, points, influence = case.patient, case.points, case.influence
    seconds = {"influence": case.seconds}
    function = dose_function(patient, [*points, *_means(points)], None, case.level_gy)
    begun = time.perf_counter()
    start = even_fluence(influence, patient, case.level_gy)[None]
    (first,) = _optimized(influence, [function], start, rule)
    seconds["first plan"] = time.perf_counter() - begun
    functions = [function.weighted(factors) for factors in _factors(patient, weightings)]
    begun = time.perf_counter()
    others = _optimized(influence, functions, np.tile(first.fluence, (weightings, 1)), rule)
    seconds["each other"] = (time.perf_counter() - begun) / weightings
    doses = [influence.dose(plan.fluence).values for plan in (first, *others)]
    targets = {one.roi_number for one in points if one.operator == "lower"}
    organs = [number for number in patient.masks if number not in targets and number != REST]
    return Plans(
        seconds,
        np.array([plan.value for plan in (first, *others)]),
        np.array([[_curve(dose, patient, number) for number in organs] for dose in doses]),
        np.array([[_curve(dose, patient, number)[94] for number in sorted(targets)] for dose in doses]),
        [plan.iterations for plan in (first, *others)],
    )


def _means(points: Sequence[PlannedObjective]) -> list[PlannedObjective]:
    uppers = [one for one in points if isinstance(one, PointObjective) and one.operator == "upper"]
    lowers = {one.roi_number for one in points if isinstance(one, PointObjective) and one.operator == "lower"}
    organs = [one for one in uppers if one.roi_number != REST and one.roi_number not in lowers]
    return [MeanObjective(one.roi_number, one.dose_gy / 3.0, MEAN_PRIORITY) for one in organs]


def _factors(patient: PlanningPatient, weightings: int) -> list[dict[int | None, float]]:
    random = np.random.default_rng(1)
    return [{number: FACTOR ** random.uniform(-1.0, 1.0) for number in patient.masks} for _ in range(weightings)]


def _optimized(influence: DoseInfluence, functions: list[DoseFunction], starts: FloatArray, rule: StoppingRule) -> Any:
    return optimize_fluences(influence, functions, starts, rule, lambda *_: None, lambda: False)


def _curve(dose: Any, patient: PlanningPatient, number: int) -> FloatArray:
    """Give D(1 %) to D(99 %)."""
    return np.percentile(dose[patient.masks[number] > 0], 100.0 - VOLUMES_PERCENT)


def compared(plans: Plans, thorough: Plans, setting: Setting) -> dict[str, Any]:
    """Give what is lost."""
    difference = plans.organs_gy - thorough.organs_gy
    found: dict[str, Any] = {**plans.seconds, "iterations": plans.iterations}
    found["mean |dD(v)|"] = float(np.abs(difference).mean())
    found["mean dD(v)"] = float(difference.mean())
    found["mean |dD95|"] = float(np.abs(plans.targets_gy - thorough.targets_gy).mean())
    if setting.dose_grid_mm == DOSE_GRID_MM:
        found["value above, %"] = 100.0 * float((plans.values / thorough.values - 1.0).mean())
    return found


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patients", type=Path, nargs="+")
    parser.add_argument("--weightings", type=int, default=9)
    parser.add_argument("--only", choices=SETTINGS, nargs="+", default=list(SETTINGS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    warm = Setting(10.0, 10.0, StoppingRule(max_iterations=2))
    planned(case_of(given.patients[0], warm), warm.rule, 2)  # imports, and compiles
    result: dict[str, Any] = {}
    for path in given.patients:
        cases: dict[tuple[float, float], Case] = {}
        done: dict[str, Plans] = {}
        for name in dict.fromkeys([THOROUGH, *given.only]):
            setting = SETTINGS[name]
            kind = setting.beamlet_mm, setting.dose_grid_mm
            if kind not in cases:
                cases[kind] = case_of(path, setting)
            done[name] = planned(cases[kind], setting.rule, given.weightings)
            told = compared(done[name], done[THOROUGH], setting)
            result.setdefault(path.stem, {})[name] = told
            numbers = {key: round(value, 3) for key, value in told.items() if key != "iterations"}
            print(path.stem, name, numbers, told["iterations"], flush=True)  # noqa: T201
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
