"""Promise against reach: what a model says of organs and homogeneity, and what the engine makes of it.

    python -m tests.benchmarks.promise --data DIR --model ID --out DIR [--zoo DIR] [--patients N]

Each patient is predicted without a wish and with four, as far as the model's sliders go. Objectives are extracted from
each dose, targets included, and the engine plans for them from an even fluence, all on one dose influence, by the
library's stopping rule. Promised and reached are the DVH of each organ, its mean dose outside the targets, and the
homogeneity index of the highest target, from contours by one policy. Every patient is one JSON file in the folder; one
that is there for the same model is not done again. After a change of the code, take another folder. The table goes to
the standard output.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from bridge.rt.dvh import Dvh
from bridge.rt.dvh_prepared import prepare_dvhs
from bridge.rt.errors import StructureRefusal
from bridge.workflow.cohort.planner import CohortPlanner, one_thread
from bridge.workflow.cohort.promise import dose_promise
from bridge.workflow.cohort.study import POLICY
from bridge.workflow.library.build import LIBRARY_RULE
from bridge.workflow.library.case import PlanningCase, read_planning_case
from bridge.workflow.library.measuring import measures_of
from bridge.workflow.library.planner import InfluenceOf
from esapi_stub.engine.engine import EngineSettings
from esapi_stub.engine.radplan import dose_influence, equispaced_deg
from models.checks import within_sliders
from models.library.measures import PlanMeasures
from models.openkbp.reader import list_patients, patient_folder
from models.predictor import DosePredictor
from models.preference import COVER, NEUTRAL, SPARE, Preference
from models.registry import load_model
from objective_extraction.settings import ExtractionSettings
from objective_extraction.variability.deviation import Deviation, deviation

SETTINGS = (
    NEUTRAL,
    SPARE,
    COVER,
    Preference("parotids", oar_weights={"Parotid_L": 1.3, "Parotid_R": 1.3}),
    Preference("homogeneous", hi=0.05),
)


@dataclass(frozen=True)
class Row:
    """One patient with one setting.

    Attributes
    ----------
    held
        What was asked for beyond the model's sliders.
    promised_hi, reached_hi
        Homogeneity of the highest target.
    promised_gy, reached_gy
        Mean doses of organs outside the targets.
    curves_signed_gy, curves_abs_gy
        Mean over the curve of dD(v), reached less promised, and of its size; of whole organs (definition B) that both
        doses cover.
    """

    setting: str
    held: tuple[str, ...]
    promised_hi: float
    reached_hi: float
    promised_gy: Mapping[str, float]
    reached_gy: Mapping[str, float]
    curves_signed_gy: Mapping[str, float]
    curves_abs_gy: Mapping[str, float]


def measure(
    case: PlanningCase, predictor: DosePredictor, beams: int, settings: EngineSettings, influence_of: InfluenceOf
) -> list[Row]:
    """Hold the promises of one patient against what the engine reaches."""
    prepared = predictor.prepare(replace(case.patient.anatomy, gantry_angles_deg=equispaced_deg(beams)))
    on_patient = prepare_dvhs((*case.structures, *case.outside.values()), case.ct.grid, POLICY)
    wishes = {wish.name: within_sliders(predictor.card, wish) for wish in SETTINGS}
    promises = {
        name: dose_promise(case, prepared.predict(wish), on_patient, ExtractionSettings())
        for name, (wish, _) in wishes.items()
    }
    with one_thread():
        planner = CohortPlanner(
            case, [one.objectives for one in promises.values()], beams, settings, "none", influence_of
        )
        achieved = {name: planner.optimize(one.objectives) for name, one in promises.items()}
    rows = []
    for name, promise in promises.items():
        assert promise.dose is not None
        promised = measures_of(case, (), promise.curves["prediction"], promise.dose)
        reached = measures_of(case, (), achieved[name].dvhs, achieved[name].dose)
        curves = deviations(promise.curves["prediction"], achieved[name].dvhs, [organ.name for organ in case.organs])
        rows.append(_row(name, wishes[name][1], promised, reached, curves))
    return rows


def deviations(promised: Mapping[str, Dvh], reached: Mapping[str, Dvh], organs: Iterable[str]) -> dict[str, Deviation]:
    """Compare organs, less those of which the doses cover different parts, as a cord beyond the box of the model."""
    found = {}
    for organ in organs:
        try:
            found[organ] = deviation(promised[organ], reached[organ])
        except StructureRefusal as refusal:
            if refusal.code != "variability-coverage":
                raise
    return found


def _row(
    setting: str,
    held: tuple[str, ...],
    promised: PlanMeasures,
    reached: PlanMeasures,
    curves: Mapping[str, Deviation],
) -> Row:
    return Row(
        setting, held, promised.hi, reached.hi, promised.organ_means_gy(), reached.organ_means_gy(),
        {organ: one.signed_mean_gy for organ, one in curves.items()},
        {organ: one.abs_mean_gy for organ, one in curves.items()},
    )  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Give means of reached less promised, and of its size, by setting; organs of all patients count alike."""
    columns = ("setting", "n", "dD(v) of organs (Gy)", "its size", "organ means (Gy)", "their size", "HI", "its size")
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join(['---'] * len(columns))} |"]
    for setting in dict.fromkeys(row.setting for row in rows):
        own = [row for row in rows if row.setting == setting]
        curves = np.mean([gy for row in own for gy in row.curves_signed_gy.values()])
        sizes = np.mean([gy for row in own for gy in row.curves_abs_gy.values()])
        means = np.array([row.reached_gy[organ] - gy for row in own for organ, gy in row.promised_gy.items()])
        hi = np.array([row.reached_hi - row.promised_hi for row in own])
        gy = f"{curves:+.2f} | {sizes:.2f} | {means.mean():+.2f} | {np.abs(means).mean():.2f}"
        lines.append(f"| {setting} | {len(own)} | {gy} | {hi.mean():+.3f} | {np.abs(hi).mean():.3f} |")
    return "\n".join(lines)


def read_rows(content: Iterable[Mapping[str, object]]) -> list[Row]:
    """Read what was written of a patient."""
    return [Row(**{**row, "held": tuple(row["held"])}) for row in content]  # type: ignore[arg-type]


def main() -> None:
    """Measure the first patients of the validation set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--zoo", type=Path)
    parser.add_argument("--patients", type=int, default=5)
    parser.add_argument("--beams", type=int, default=9)
    given = parser.parse_args()
    predictor = load_model(given.model, given.zoo)
    given.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for path in list_patients(patient_folder(given.data, "validation"))[: given.patients]:
        case = read_planning_case(path)
        file = given.out / f"{case.id}-{predictor.sha256[:12]}-{given.beams}.json"
        if not file.exists():
            found = measure(case, predictor, given.beams, EngineSettings(rule=LIBRARY_RULE), dose_influence)
            partial = file.with_suffix(".part")
            partial.write_text(json.dumps([asdict(row) for row in found], indent=1) + "\n", encoding="utf-8")
            partial.replace(file)
        rows += read_rows(json.loads(file.read_text(encoding="utf-8")))
    print(f"{predictor.card.id} {predictor.sha256[:12]}, trained for: {predictor.card.trained_for}\n\n{table(rows)}")  # noqa: T201


if __name__ == "__main__":
    main()
