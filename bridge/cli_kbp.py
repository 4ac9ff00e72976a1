"""Commands about knowledge-based DVH estimation: learning it from plans, and measuring it on others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

from bridge.cli_shared import out, table, write_json

if TYPE_CHECKING:
    from models.geometric.parameters import GeometricParameters
    from models.kbp.training import ObservedPlan

__all__ = ["evaluate_estimator", "train_kbp_command"]

_SOURCE = (
    "{n} patients of the folder {folder!r} of the OpenKBP Grand Challenge (Babier et al., Medical Physics 48:5549, "
    "2021), head and neck, nine coplanar 6 MV fields, 70, 63 and 56 Gy in 35 fractions, synthetic plans."
)


def train_kbp_command(
    data: Annotated[Path, typer.Option(help="OpenKBP patients, packed or as CSV folders.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the model's folder and the data of its plots.")],
    model: Annotated[str, typer.Option(help="Id of the new model.")] = "kbp-own",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Learn the DVHs of organs from plans: a baseline for dose predictions."""
    from models.kbp.training import (
        built_in_expected_dose,
        require_no_model,
        train_kbp,
        write_influences,
        write_model,
    )
    from models.openkbp.reader import list_patients, patient_folder
    from models.registry import is_model_id

    if not is_model_id(model):
        raise typer.BadParameter("an id has lower-case letters, digits, - and _ only", param_hint="--model")
    require_no_model(folder / model)
    patients = patient_folder(data, "train")
    paths = list_patients(patients)
    expected_dose = built_in_expected_dose()
    training = train_kbp(_observed(paths, expected_dose, workers), expected_dose)
    command = f"fdp-bridge train kbp --data DIR --out OUT --model {model}"
    source = _SOURCE.format(n=training.plans, folder=patients.resolve().name)
    write_model(folder / model, training, source, "MIT", command)
    rows = folder / f"{model}-plans.csv"
    write_influences(rows, training.influences)
    shown = table(f"{training.plans} plans", "organ", "plans", "flagged in a regression")
    for name, organ in training.parameters.organs.items():
        flagged = {row.plan for row in training.influences if row.organ == name and row.flagged}
        shown.add_row(name, str(organ.plans), str(len(flagged)))
    for name, n in training.too_few.items():
        shown.add_row(name, f"{n}: too few", "")
    out.print(shown)
    out.print(f"written: {rows}")
    out.print(f"written: {folder / model}")


def evaluate_estimator(data: Path, model: str, json_file: Path | None, zoo: Path | None, workers: int = 2) -> None:
    """Show and write how near a model's DVHs come to those of patients it has not seen."""
    from bridge import __version__
    from models.kbp.evaluation import score_organs
    from models.openkbp.reader import list_patients, patient_folder
    from models.registry import load_estimator

    estimator = load_estimator(model, zoo)
    folder = patient_folder(data, "validation")
    paths = list_patients(folder)
    score = score_organs(estimator.parameters, _observed(paths, estimator.parameters.expected_dose, workers))
    out.print(f"model {model} on {len(paths)} {folder.resolve().name} patients")
    shown = table(
        "organs", "organ", "plans", "n", "not estimated", "|dD(v)| Gy", "|dDmean| Gy", "dDmean Gy", "in band %"
    )
    for one in score.organs:
        differences = [f"{value:.2f}" for value in (one.mean_abs_gy, one.mean_dose_abs_gy, one.mean_dose_gy)]
        counts = [str(count) for count in (one.plans, one.n, one.not_estimated)]
        shown.add_row(one.organ, *counts, *differences, f"{100 * one.within_band:.0f}")
    for organ, patients in score.never_estimated.items():
        shown.add_row(organ, str(estimator.parameters.organs[organ].plans), "0", str(patients))
    out.print(shown)
    out.print(f"mean over organs: |dD(v)| {score.mean_abs_gy:.3f} Gy, {100 * score.within_band:.1f} % in the band")
    content = {
        "model_id": model,
        "model_sha256": estimator.sha256,
        "software_version": __version__,
        "set": folder.resolve().name,
        "mean_abs_gy": score.mean_abs_gy,
        "within_band": score.within_band,
        "organs": [one.as_dict() for one in score.organs],
        "never_estimated": dict(score.never_estimated),
    }
    write_json(json_file, content)


def _observed(paths: tuple[Path, ...], expected_dose: GeometricParameters, workers: int) -> Iterator[ObservedPlan]:
    from models.kbp.openkbp import observe_patients

    with ProcessPoolExecutor(workers) as executor:
        yield from track(
            observe_patients(paths, expected_dose, executor),
            "patients",
            total=len(paths),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
