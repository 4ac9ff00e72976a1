"""Commands about libraries of plans: making one with the dose engine, and what it holds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from bridge.cli_shared import out, table, write_json

if TYPE_CHECKING:
    from models.predictor import DosePredictor

__all__ = ["evaluate_on_plans", "library_app"]

library_app = typer.Typer(help="Libraries of plans made with the dose engine; needs [planning].", no_args_is_help=True)

_SHOWN_PATIENTS = 3


@library_app.command("build")
def library_build(
    data: Annotated[Path, typer.Option(help="OpenKBP patients, packed or as CSV folders.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the library; what it lacks is made.")],
    set_name: Annotated[
        list[str] | None, typer.Option("--set", help="Set of patients; without it train and validation.")
    ] = None,
    patients: Annotated[int | None, typer.Option(min=1, help="Take the first so many of each set.")] = None,
    beams: Annotated[
        list[int] | None, typer.Option(min=3, max=72, help="Number of beams at equal distances; without it 9.")
    ] = None,
    drawn: Annotated[
        int, typer.Option(min=0, max=1024, help="Plans with drawn weightings, beside the ends and the anchors.")
    ] = 8,
    anchors: Annotated[bool, typer.Option(help="Also a plan for each organ that spares it above all.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of the drawn weightings.")] = 1,
    protocol: Annotated[str, typer.Option(help="Protocol that the reference plans are made for.")] = "head_and_neck",
    beamlet_mm: Annotated[float, typer.Option(min=2, help="Width of the beamlets.")] = 7.0,
    dose_grid_mm: Annotated[float, typer.Option(min=2, help="Voxels of the dose grid.")] = 5.0,
    processes: Annotated[int, typer.Option(min=1, help="Patients at a time; one takes all cores and 3 GB.")] = 1,
) -> None:
    """Plan patients over and over with the dose engine: a reference plan each, and plans that trade its goals."""
    from bridge.cli_over_patients import at_work
    from bridge.workflow.library.build import LIBRARY_RULE, LibraryOptions, build_library
    from bridge.workflow.library.weightings import WeightingChoice
    from esapi_stub.engine.engine import EngineSettings

    options = LibraryOptions(
        sets=tuple(set_name) if set_name else LibraryOptions.sets,
        patients=patients,
        beams=tuple(dict.fromkeys(beams)) if beams else LibraryOptions.beams,
        choice=WeightingChoice(drawn, anchors, seed),
        settings=EngineSettings(dose_grid_mm=dose_grid_mm, beamlet_mm=beamlet_mm, rule=LIBRARY_RULE),
        protocol=protocol,
    )
    with at_work(processes) as (executor, progress):
        run = build_library(data, folder, options, executor, processes=processes, progress=progress)
    doses = f"; doses made again: {run.doses}" if run.doses else ""
    out.print(f"patients: {run.patients}; plans made: {run.plans}{doses}; left out: {len(run.left_out)}")
    for one in run.left_out:
        out.print(f"warning: {one.patient}: {one.error['message']} [{one.error['code']}]")


@library_app.command("report")
def library_report_command(
    folder: Annotated[Path, typer.Option("--library", help="Folder of the library.")],
) -> None:
    """Say what a library holds; writes report.json and fronts.png into it."""
    from bridge.report.fronts import fronts_png
    from bridge.workflow.library.report import library_report, patient_fronts, trade_offs
    from models.library.files import write_whole
    from models.library.library import open_library

    library = open_library(folder)
    report = library_report(folder, library)
    first = [(patient, patient.manifest.beam_sets[0].name) for patient in library.patients[:_SHOWN_PATIENTS]]
    said = {patient.id: trade_offs(patient, beams) for patient, beams in first}
    report["trade_offs"] = said
    write_whole(folder / "report.json", (json.dumps(report, indent=1, allow_nan=False) + "\n").encode())
    write_whole(folder / "fronts.png", fronts_png([patient_fronts(patient, beams) for patient, beams in first]))
    shown = table(f"{report['plans']} plans of {len(library.patients)} patients", "patient", "plans", "dominated")
    for patient in library.patients:
        shown.add_row(patient.id, str(len(patient.plans)), str(sum(plan.is_dominated for plan in patient.plans)))
    out.print(shown)
    for patient_id, sentences in said.items():
        for sentence in sentences.values():
            out.print(f"{patient_id}: {sentence}")
    out.print(f"written: {folder / 'report.json'} and {folder / 'fronts.png'}")


def evaluate_on_plans(
    predictor: DosePredictor, data: Path, folder: Path, settings: list[str] | None, json_file: Path | None
) -> None:
    """Score a model against the validation plans of a library, without a wish and asked for each plan."""
    from models.library.evaluation import evaluate_on_library
    from models.library.library import open_library

    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("patients", total=None)
        result = evaluate_on_library(
            predictor,
            data,
            open_library(folder),
            settings=settings,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    out.print(f"model {result.model_id}, trained for: {result.trained_for}")
    shown = table(
        f"{result.patients} {result.set_name} patients of library {result.recipe_sha256[:12]}, scores in Gy",
        "plan", "n", "dose, asked for", "DVH, asked for", "dose, no wish", "DVH, no wish",
    )  # fmt: skip
    for one in result.by_setting():
        scores = (one.dose_score_gy, one.dvh_score_gy, one.unasked_dose_score_gy, one.unasked_dvh_score_gy)
        shown.add_row(one.setting, str(one.n), *(f"{score:.3f}" for score in scores))
    out.print(shown)
    held = sum(bool(plan.held) for plan in result.plans)
    if held:
        out.print(
            f"of {held} plans a part of the label is beyond the model's sliders, and was asked for as far as they go"
        )
    write_json(json_file, result.as_dict())
