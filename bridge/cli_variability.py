"""The command of the cohort study: how far plans end from what was promised, by a model and by a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bridge.cli_shared import out, table

if TYPE_CHECKING:
    from bridge.report.cohort_data import CohortReportData

__all__ = ["variability"]


def variability(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the study; what it lacks is made.")],
    cohort: Annotated[
        Path | None, typer.Option(help="OpenKBP patients, packed or as CSV folders: study all of them.")
    ] = None,
    case: Annotated[Path | None, typer.Option(help="One OpenKBP patient, packed or as a CSV folder.")] = None,
    model: Annotated[str, typer.Option(help="Id of a model that predicts doses.")] = "fdp-hn-engine-v1",
    baseline: Annotated[str, typer.Option(help="Id of a model that estimates DVHs.")] = "kbp-hn-engine-v1",
    preference: Annotated[
        list[str] | None,
        typer.Option(
            help="Preference of the model, the first one for the headline; without it balanced, spare, cover."
        ),
    ] = None,
    patients: Annotated[int | None, typer.Option(min=1, help="Take the first so many.")] = None,
    beams: Annotated[int, typer.Option(min=3, max=72, help="Number of beams at equal distances.")] = 9,
    normalisation: Annotated[
        Literal["none", "d95"],
        typer.Option(help="d95 scales every plan so that 95 % of the highest target get its prescription."),
    ] = "none",
    protocol: Annotated[str, typer.Option(help="Protocol whose goals are the scorecard.")] = "head_and_neck",
    beamlet_mm: Annotated[float, typer.Option(min=2, help="Width of the beamlets.")] = 7.0,
    dose_grid_mm: Annotated[float, typer.Option(min=2, help="Voxels of the dose grid.")] = 5.0,
    iterations: Annotated[int, typer.Option(min=1, help="Most iterations of an optimization.")] = 300,
    processes: Annotated[int, typer.Option(min=1, help="Patients at a time; each takes a core and 3 GB.")] = 1,
    pdf: Annotated[bool, typer.Option(help="Also write the report as PDF; needs Pango.")] = True,
    zoo: Annotated[Path | None, typer.Option(help="Folder of models; without it the built-in one.")] = None,
) -> None:
    """Plan patients by a model's promises and by a baseline's, and report how well each promise was kept."""
    from bridge.cli_over_patients import at_work
    from bridge.workflow.cohort.export import write_reports
    from bridge.workflow.cohort.run import patients_of, run_cohort
    from bridge.workflow.cohort.study import StudyOptions
    from bridge.workflow.cohort.summary import cohort_report_data, patient_page
    from esapi_stub.engine.engine import EngineSettings
    from esapi_stub.engine.optimizer import StoppingRule

    if (cohort is None) == (case is None):
        raise typer.BadParameter("name either a cohort or a case", param_hint="--cohort / --case")
    source = cohort or case
    assert source is not None  # noqa: S101 - one of the two is
    paths = patients_of(source, patients)
    options = StudyOptions(
        model=model,
        baseline=baseline,
        preferences=tuple(preference) if preference else StudyOptions.preferences,
        beams=beams,
        settings=EngineSettings(
            dose_grid_mm=dose_grid_mm, beamlet_mm=beamlet_mm, rule=StoppingRule(max_iterations=iterations)
        ),
        normalisation=normalisation,
        protocol=protocol,
        zoo=zoo,
    )
    with at_work(processes) as (executor, progress):
        run = run_cohort(paths, folder, options, executor, processes=processes, progress=progress)
    for one in run.left_out:
        out.print(f"warning: {one.patient} is left out: {one.error['message']} [{one.error['code']}]")
    name = source.resolve().name
    if run.earlier:
        name += f" and {_patients(run.earlier)} of earlier runs"
    files = write_reports(run, name, folder, pdf=pdf)
    data = cohort_report_data(run, name)
    if case is not None:
        asked = {path.name.removesuffix(".npz") for path in paths}
        for result in run.results:
            if result.id in asked:
                out.print(f"read: {folder / patient_page(result.id)}")
    if case is None or data.headline.comparison is not None:
        _show(data)
    if run.earlier:
        out.print(f"the report has {_patients(run.earlier)} of earlier runs too")
    out.print(f"patients: {len(run.results)}, {run.made} of them in this run; left out: {len(run.left_out)}")
    for file in files:
        out.print(f"written: {file}")
    pages = "1 page of a patient" if len(run.results) == 1 else f"{len(run.results)} pages of patients"
    out.print(f"written: {pages} in {folder / 'patients'}")


def _patients(n: int) -> str:
    return "1 patient" if n == 1 else f"{n} patients"


def _show(data: CohortReportData) -> None:
    """Print the headline and what has to be read with it."""
    from bridge.report.cohort_report import verdict

    comparison = data.headline.comparison
    if comparison is not None:
        shown = table(
            "definition B, Gy", "organ", "n", "baseline std", "model std", "baseline mean", "model mean", "p of mean"
        )
        for organ in comparison.organs:
            numbers = (organ.std.second_gy, organ.std.first_gy, organ.mean.second_gy, organ.mean.first_gy)
            shown.add_row(
                organ.organ, str(organ.n), *(f"{value:.2f}" for value in numbers), f"{organ.mean.p_corrected:.3f}"
            )
        out.print(shown)
    for sentence in verdict(data):
        out.print(sentence)
    for row in data.quality:
        if row.is_worse:
            out.print(f"warning: the model's plans are worse in: {row.name}")
