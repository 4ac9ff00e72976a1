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

_OPENKBP = (
    "{n} patients of the folder {folder!r} of the OpenKBP Grand Challenge (Babier et al., Medical Physics 48:5549, "
    "2021), head and neck, nine coplanar 6 MV fields, 70, 63 and 56 Gy in 35 fractions, synthetic plans."
)
_LIBRARY = (
    "{n} reference plans, made with {optimizer}, of training patients of the OpenKBP Grand Challenge (Babier et al., "
    "Medical Physics 48:5549, 2021), head and neck. Recipe of the library: {sha256}."
)
_TRAIN, _VALIDATION = "train", "validation"


def train_kbp_command(
    data: Annotated[Path, typer.Option(help="OpenKBP patients, packed or as CSV folders.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the model's folder and the data of its plots.")],
    model: Annotated[str, typer.Option(help="Id of the new model.")] = "kbp-own",
    library: Annotated[
        Path | None,
        typer.Option(help="Library of plans of these patients: take its reference plans in the place of theirs."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Learn the DVHs of organs from plans: a baseline for dose predictions; with a report of plans that lie apart."""
    from bridge import __version__
    from bridge.report.extra import require_report_extra
    from bridge.report.training_report import TrainingReportData, render_training_report
    from models.kbp.training import (
        Source,
        built_in_expected_dose,
        require_no_model,
        train_kbp,
        write_influences,
        write_model,
    )
    from models.openkbp.reader import patient_folder
    from models.registry import is_model_id

    if not is_model_id(model):
        raise typer.BadParameter("an id has lower-case letters, digits, - and _ only", param_hint="--model")
    require_no_model(folder / model)
    require_report_extra()  # not after minutes of training
    expected_dose = built_in_expected_dose()
    plans = _Plans(data, library)
    training = train_kbp(plans.observed(_TRAIN, expected_dose, workers), expected_dose)
    command = f"fdp-bridge train kbp --data DIR --out OUT --model {model}"
    if plans.library is None:
        words = _OPENKBP.format(n=training.plans, folder=patient_folder(data, _TRAIN).resolve().name)
        source = Source(words, "MIT", command)
    else:
        recipe = plans.library.recipe
        words = _LIBRARY.format(n=training.plans, optimizer=recipe.optimizer, sha256=recipe.sha256)
        source = Source(words, "MIT", f"{command} --library LIBRARY", recipe.optimizer)
    write_model(folder / model, training, source)
    rows, report = folder / f"{model}-plans.csv", folder / f"{model}-plans.html"
    write_influences(rows, training.influences)
    of_organ = {name: organ.plans for name, organ in training.parameters.organs.items()}
    data_shown = TrainingReportData(
        model, source.plans, f"fdp-bridge {__version__}", source.command, training.plans, of_organ, training.too_few,
        training.influences,
    )  # fmt: skip
    report.write_text(render_training_report(data_shown), encoding="utf-8")
    shown = table(f"{training.plans} plans", "organ", "plans", "flagged in a regression")
    for name, organ in training.parameters.organs.items():
        flagged = {row.plan for row in training.influences if row.organ == name and row.flagged}
        shown.add_row(name, str(organ.plans), str(len(flagged)))
    for name, n in training.too_few.items():
        shown.add_row(name, f"{n}: too few", "")
    out.print(shown)
    for path in (rows, report, folder / model):
        out.print(f"written: {path}")


def evaluate_estimator(
    data: Path, model: str, json_file: Path | None, zoo: Path | None, library: Path | None = None, workers: int = 2
) -> None:
    """Show and write how near a model's DVHs come to those of patients it has not seen."""
    from bridge import __version__
    from models.kbp.evaluation import score_organs
    from models.openkbp.reader import patient_folder
    from models.registry import load_estimator

    estimator = load_estimator(model, zoo)
    plans = _Plans(data, library)
    observed = list(plans.observed(_VALIDATION, estimator.parameters.expected_dose, workers))
    score = score_organs(estimator.parameters, observed)
    folder = patient_folder(data, _VALIDATION)
    out.print(f"model {model} on {len(observed)} {folder.resolve().name} patients")
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
        "library_recipe_sha256": None if plans.library is None else plans.library.recipe.sha256,
        "mean_abs_gy": score.mean_abs_gy,
        "within_band": score.within_band,
        "organs": [one.as_dict() for one in score.organs],
        "never_estimated": dict(score.never_estimated),
    }
    write_json(json_file, content)


class _Plans:
    """OpenKBP's own plans, or the reference plans of a library."""

    def __init__(self, data: Path, library: Path | None) -> None:
        from models.library.library import open_library

        self._data = data
        self.library = None if library is None else open_library(library)

    def observed(self, set_name: str, expected_dose: GeometricParameters, workers: int) -> Iterator[ObservedPlan]:
        """Observe the plans of one set."""
        from models.kbp.engine_plans import observe_references
        from models.kbp.openkbp import observe_patients
        from models.openkbp.reader import list_patients, patient_folder

        with ProcessPoolExecutor(workers) as executor:
            if self.library is not None:
                total = len(self.library.of_set(set_name))
                found = observe_references(self._data, self.library, set_name, expected_dose, executor)
            else:
                paths = list_patients(patient_folder(self._data, set_name))
                total, found = len(paths), observe_patients(paths, expected_dose, executor)
            yield from track(
                found, "patients", total=total, console=Console(stderr=True), disable=not sys.stderr.isatty()
            )
