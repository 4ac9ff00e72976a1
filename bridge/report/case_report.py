"""The case report: one HTML file that needs nothing else, for a screen and for paper."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bridge.report.case_data import CaseReportData, Comparison, ModelStatement, ObjectiveRow
from bridge.report.case_tables import NOTHING, dvh_policy_text, fixed, objective_table, structure_tables
from bridge.report.comparison_tables import comparison_tables
from bridge.report.dose_planes import WINDOW_HU, dose_pictures, isodose_levels
from bridge.report.dvh_figure import DvhFigure, dvh_figure, key_triangle
from bridge.report.line_style import LineStyle, line_styles
from bridge.report.page import asset, rendered
from bridge.report.tables import dvh_status
from bridge.rt.errors import StorageFailure
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE

__all__ = [
    "BANNER",
    "COMPARISON_BANNER",
    "CaseReportData",
    "Comparison",
    "ModelStatement",
    "ObjectiveRow",
    "write_case_report",
]

BANNER = f"PREDICTED DOSE - {NOT_FOR_CLINICAL_USE}"
"""Stands over the report and on every printed page."""

COMPARISON_BANNER = f"PREDICTED AND OPTIMIZED DOSE - {NOT_FOR_CLINICAL_USE}"
"""Stands there where the report also shows an optimized dose."""


def write_case_report(data: CaseReportData, path: Path) -> Path:
    """Write the report of a case as one HTML file with everything inside: styles, vectors and pictures.

    The same data give the same bytes. The file appears whole or not at all.

    Parameters
    ----------
    data
        All that is shown.
    path
        File to write; its folder exists.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    Failure
        The extra ``[report]`` is not installed (``report-extra-missing``).
    StorageFailure
        The file cannot be written.
    """
    html = render_case_report(data)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_text(html, encoding="utf-8", newline="\n")
        os.replace(unfinished, path)
    except OSError as error:
        raise StorageFailure("report-not-written", f"The case report cannot be written: {error.strerror}.") from error
    return path


def render_case_report(data: CaseReportData) -> str:
    """Give the HTML of a case report; see :func:`write_case_report`."""
    styles = line_styles(data.ordered_structures, data.colours)
    script = asset("dvh_cursor.js.j2")
    targets, organs = structure_tables(data, styles)
    return rendered(
        "case_report.html.j2",
        banner=BANNER if data.comparison is None else COMPARISON_BANNER,
        data=data,
        patient_id=data.patient_id,
        patient_name=data.patient_name,
        study_date=_iso_date(data.study_date),
        created=data.provenance.created_utc.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        warnings=[finding for finding in data.findings if finding.severity == "warning"],
        remarks=[finding for finding in data.findings if finding.severity != "warning"],
        styles=styles,
        shown=[(structure, dvh, dvh_status(dvh)) for structure, dvh in data.ordered_dvhs],
        dvh=_figure(data, styles),
        pictures=dose_pictures(data, styles),
        isodoses=isodose_levels(data.prescription),
        window=WINDOW_HU,
        targets=targets,
        organs=organs,
        objectives=objective_table(data.objectives),
        comparisons=comparison_tables(data, styles),
        policy=dvh_policy_text(data.dvhs),
        fixed=fixed,
        key_triangle=key_triangle,
        nothing=NOTHING,
        css=asset("case_report.css"),
        script=script,
        script_sha256=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
    )


def _figure(data: CaseReportData, styles: Mapping[int, LineStyle]) -> DvhFigure:
    """Give the plot of the predicted DVHs and of what is asked for; with an optimized dose also of its DVHs."""
    predicted = [dvh for _, dvh in data.ordered_dvhs]
    numbers = {structure.name: structure.number for structure, _ in data.ordered_dvhs}
    asked = [(numbers[row.roi], row) for row in data.objectives if row.roi in numbers]
    by_number = {dvh.roi_number: dvh for dvh in (data.comparison.dvhs if data.comparison else ())}
    optimized = [by_number[dvh.roi_number] for dvh in predicted if dvh.roi_number in by_number]
    return dvh_figure(predicted, styles, data.prescription, optimized, asked)


def _iso_date(date: str) -> str:
    """Give a DICOM date as year-month-day; anything else as it is."""
    try:
        return datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC).date().isoformat()
    except ValueError:
        return date
