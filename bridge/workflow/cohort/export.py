"""The files of a finished study: reports for people as HTML and PDF, every number as CSV and JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bridge.report.cohort_report import render_cohort_report, render_patient_report
from bridge.report.pdf import pdf_bytes
from bridge.rt.errors import Refusal
from bridge.workflow.cohort.numbers import cohort_csvs, cohort_json
from bridge.workflow.cohort.patient_summary import patient_report_data
from bridge.workflow.cohort.quality import TOLERANCE_GY
from bridge.workflow.cohort.result import write_file
from bridge.workflow.cohort.run import CohortRun
from bridge.workflow.cohort.summary import SEED, cohort_report_data, patient_page

__all__ = ["write_reports"]


def write_reports(
    run: CohortRun,
    cohort: str,
    folder: Path,
    *,
    pdf: bool = True,
    seed: int = SEED,
    progress: Callable[[str], None] = lambda _: None,
) -> tuple[Path, ...]:
    """Write the report of a study, that of each patient, and the numbers behind them.

    Parameters
    ----------
    run
        The study.
    cohort
        Name of the folder with the patients.
    folder
        Of the study.
    pdf
        Whether the report is written as PDF, too.
    seed
        Of every bootstrap.
    progress
        Told the name of each file.

    Returns
    -------
    tuple
        The files of the cohort: report, numbers.

    Raises
    ------
    Refusal
        No patient was finished (``cohort-empty``).
    Failure
        A package is not installed (``report-extra-missing``, ``pdf-not-installed``).
    """
    if not run.results:
        raise Refusal("cohort-empty", "No patient of the cohort could be studied; there is nothing to report.")
    data = cohort_report_data(run, cohort, seed)
    page = render_cohort_report(data, TOLERANCE_GY)
    contents: dict[str, bytes] = {"cohort.json": cohort_json(data, run.study)}
    contents |= {name: text.encode() for name, text in cohort_csvs(data, run.results).items()}
    contents["report.html"] = page.encode()
    for result in run.results:
        name = patient_page(result.id)
        patient = render_patient_report(patient_report_data(result, run.study, cohort, "../report.html"))
        write_file(folder / name, patient.encode())
        progress(name)
    for name, content in contents.items():
        write_file(folder / name, content)
        progress(name)
    if pdf:
        write_file(folder / "report.pdf", pdf_bytes(page))
        progress("report.pdf")
    return tuple(folder / name for name in (*contents, *(("report.pdf",) if pdf else ())))
