"""How the knowledge-based estimate depends on the number of plans: ``python -m tests.benchmarks.kbp_plans --data DIR``.

For each organ, N of the training patients who have it are drawn five times; each draw is learned from and measured on
all validation patients who have the organ. The population's mean curve stands beside it: what one would say of a
patient without having looked. A second table gives the residuals of the model from all plans by every definition of
variability.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import DvhPolicy
from bridge.rt.structure import Structure
from models.kbp.estimate import estimate_organ, unknown_regions
from models.kbp.evaluation import OrganScore, score_organ
from models.kbp.fit import FEWEST_PLANS, OrganPlan, fit_organ
from models.kbp.openkbp import observe_patients
from models.kbp.training import ObservedPlan, built_in_expected_dose, train_kbp
from models.openkbp.reader import list_patients, patient_folder
from objective_extraction.variability.definitions import organ_variability
from objective_extraction.variability.deviation import Conditions, Series, deviation

NUMBERS = (20, 50, 100)
DRAWS = 5


def observed(data: Path, set_name: str, workers: int) -> list[ObservedPlan]:
    """Observe all patients of a set."""
    with ProcessPoolExecutor(workers) as executor:
        paths = list_patients(patient_folder(data, set_name))
        return list(observe_patients(paths, built_in_expected_dose(), executor))


def measured(organ: str, plans: Sequence[OrganPlan], tests: Sequence[OrganPlan]) -> OrganScore:
    """Learn one organ and measure it."""
    fitted = fit_organ(organ, plans)
    if fitted is None:
        raise ValueError(f"{organ} needs {FEWEST_PLANS} plans, got {len(plans)}.")
    model = fitted[0]
    known = [plan for plan in tests if not unknown_regions(model, plan.geometry)]
    pairs = [(estimate_organ(organ, model, plan.geometry), plan) for plan in known]
    return score_organ(len(plans), pairs, len(tests) - len(known))


def drawn(organ: str, plans: Sequence[OrganPlan], tests: Sequence[OrganPlan], number: int) -> list[OrganScore]:
    """Measure an organ learned from ``number`` plans, several times."""
    scores = []
    for draw in range(DRAWS):
        chosen = np.random.default_rng(draw).choice(len(plans), number, replace=False)
        scores.append(measured(organ, [plans[i] for i in sorted(chosen)], tests))
    return scores


def table(train: Sequence[ObservedPlan], validation: Sequence[ObservedPlan]) -> str:
    """Give the table as Markdown."""
    header = ["organ", "plans", "n", "mean curve", *(f"N = {n}" for n in NUMBERS), "all", "\\|dDmean\\|"]
    header += [f"in band %, {n}" for n in (*NUMBERS, "all")]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    columns: list[list[float]] = []
    for organ in dict.fromkeys(name for plan in train for name in plan.organs):
        plans = [plan.organs[organ] for plan in train if organ in plan.organs]
        tests = [plan.organs[organ] for plan in validation if organ in plan.organs]
        mean_curve = np.mean([plan.dose_gy for plan in plans], axis=0)
        population = float(np.mean([np.abs(mean_curve - plan.dose_gy) for plan in tests]))
        draws = [drawn(organ, plans, tests, n) if len(plans) >= n else [] for n in NUMBERS]
        whole = measured(organ, plans, tests)
        errors = [_mean([one.mean_abs_gy for one in of_number]) for of_number in draws]
        held = [_mean([100.0 * one.within_band for one in of_number]) for of_number in draws]
        row = [
            population, *errors, whole.mean_abs_gy, whole.mean_dose_abs_gy, *held, 100.0 * whole.within_band,
        ]  # fmt: skip
        columns.append(row)
        lines.append(_line(organ, str(len(plans)), str(whole.n), row))
    values = np.array(columns)
    enough = np.isfinite(values).all(axis=1)
    lines.append(_line("mean", "", "", values.mean(axis=0)))
    lines.append(_line(f"mean of those with {NUMBERS[-1]} plans", "", "", values[enough].mean(axis=0)))
    return "\n".join(lines)


def definitions(train: Sequence[ObservedPlan], validation: Sequence[ObservedPlan]) -> str:
    """Give mean and std of the middle of the band against the reference plans, by every definition of variability."""
    policy = DvhPolicy("half_slice", None, "prism")
    conditions = Conditions(
        "kbp", "band_middle", "none: reference plans", "none", "none", policy.end_caps, policy.between_planes
    )
    parameters = train_kbp(train, built_in_expected_dose()).parameters
    rows = []
    for organ, model in parameters.organs.items():
        found = {}
        structure = Structure(1, organ, "organ", (), "2.25.1", 1.0, organ)
        for patient in validation:
            plan = patient.organs.get(organ)
            if plan is not None and not unknown_regions(model, plan.geometry):
                band = estimate_organ(organ, model, plan.geometry)
                achieved = replace(band, middle_gy=plan.dose_gy)
                found[patient.id] = deviation(band.dvh(structure, policy), achieved.dvh(structure, policy))
        rows.append(organ_variability(Series(organ, conditions, found)))
    header = ["organ", "n", *(f"{figure.definition} mean / std" for figure in rows[0].figures), "B std / mean"]
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    for row in rows:
        cells = [f"{figure.mean:.2f} / {figure.std:.2f}" for figure in row.figures]
        ratio = row.std_over_curve_gy / row.abs_mean_gy
        lines.append("| " + " | ".join([row.organ, str(row.n), *cells, f"{ratio:.2f}"]) + " |")
    return "\n".join(lines)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _line(organ: str, plans: str, n: str, row: Sequence[float] | FloatArray) -> str:
    bands = len(NUMBERS) + 1
    cells = [f"{value:.2f}" if np.isfinite(value) else "" for value in row[:-bands]]
    cells += [f"{value:.0f}" if np.isfinite(value) else "" for value in row[-bands:]]
    return "| " + " | ".join([organ, plans, n, *cells]) + " |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.kbp_plans", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the OpenKBP sets train and validation")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    given = parser.parse_args(arguments)
    sets = [observed(given.data, name, given.workers) for name in ("train", "validation")]
    sys.stdout.write(table(*sets) + "\n\n" + definitions(*sets) + "\n")


if __name__ == "__main__":
    main()
