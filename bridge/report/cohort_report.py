"""The reports of a study: that of the cohort, and one for each patient, as HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.report.case_tables import Column, Row, Table, fixed
from bridge.report.cohort_data import CohortReportData, ComparisonStatement
from bridge.report.cohort_figures import band_figure, difference_figure, violin_figure
from bridge.report.cohort_tables import (
    definitions_table,
    preference_table,
    quality_table,
    scorecard_table,
    slack_table,
    worst_table,
)
from bridge.report.page import rendered, study_css
from bridge.report.patient_data import MethodCurves, PatientReportData, StructurePanel
from bridge.report.patient_figure import structure_figure
from bridge.report.variability_table import variability_table
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE

__all__ = ["COHORT_BANNER", "PATIENT_BANNER", "render_cohort_report", "render_patient_report", "verdict"]

COHORT_BANNER = f"STUDY OF PREDICTED AND OPTIMIZED DOSES - {NOT_FOR_CLINICAL_USE}"
PATIENT_BANNER = f"PREDICTED AND OPTIMIZED DOSES - {NOT_FOR_CLINICAL_USE}"

_SIGNIFICANT = 0.05

_LEFT_OUT_TEXT: Mapping[str, str] = {
    "no estimate": "without an estimate",
    "curve of another part": "with a predicted dose that covers another part of it than the plan's",
    "cannot be compared": "with curves that cannot be compared",
}


def render_cohort_report(data: CohortReportData, tolerance_gy: float) -> str:
    """Give the HTML of the report of a study.

    Parameters
    ----------
    data
        All that is shown.
    tolerance_gy
        By how much an objective may be missed without being counted.
    """
    figures = {
        "difference": "" if data.headline.comparison is None else difference_figure(data),
        "band": band_figure(data) if data.organs else "",
        "violin": violin_figure(data) if data.organs else "",
    }
    return rendered(
        "cohort_report.html.j2",
        title="Did the plan keep the promise?",
        banner=COHORT_BANNER,
        css=study_css(),
        data=data,
        verdict=verdict(data),
        worse=[row for row in data.quality if row.is_worse],
        headline_table=_comparison_table(data.headline),
        headline_notes=_notes(data.headline),
        figures=figures,
        quality=quality_table(data),
        scorecard=scorecard_table(data),
        preferences=preference_table(data),
        slack=slack_table(data),
        tolerance=tolerance_gy,
        others=[
            {"table": found, "notes": _notes(statement)}
            for statement in data.comparisons[1:]
            if (found := _comparison_table(statement)) is not None
        ],
        definitions=[definitions_table(statement) for statement in data.definitions],
        worst=worst_table(data),
    )


def render_patient_report(data: PatientReportData) -> str:
    """Give the HTML of the report of one patient of a study."""
    return rendered(
        "patient_report.html.j2",
        title=f"Patient {data.patient}",
        banner=PATIENT_BANNER,
        css=study_css(),
        data=data,
        panels=[(panel, structure_figure(panel, data.first, data.baseline)) for panel in data.panels],
        panel_notes=[_panel_note(panel, data) for panel in data.panels],
        goals=_goals_table(data),
    )


def verdict(data: CohortReportData) -> list[str]:
    """Say in sentences what the headline's table says, and what it does not."""
    comparison = data.headline.comparison
    if comparison is None:
        return ["There are too few patients to say who keeps the promise better."]
    first, baseline = (_in_a_sentence(data.label(name)) for name in (data.first, data.baseline))
    of = len(comparison.organs)
    sentences = []
    for what, wins, tests in (
        ("mean |e(v)|", comparison.wins_mean, [organ.mean for organ in comparison.organs]),
        ("std of e(v) over the curve", comparison.wins_std, [organ.std for organ in comparison.organs]),
    ):
        sure = sum(test.won and test.p_corrected < _SIGNIFICANT for test in tests)
        against = sum(test.lost and test.p_corrected < _SIGNIFICANT for test in tests)
        sentences.append(
            f"By {what}, the plans made from the {first} are nearer to what was promised than those made from the "
            f"{baseline} in {wins} of {of} organs; after correction, {sure} of the differences for it and {against} of "
            f"those against it are significant at {_SIGNIFICANT:g}."
        )
    few = [f"{organ.organ} ({organ.n})" for organ in comparison.organs if 2.0 ** (1 - organ.n) > _SIGNIFICANT]
    if few:
        fewest = min(organ.n for organ in comparison.organs)
        sentences.append(
            f"Too few patients have {', '.join(few)} for any difference to be significant: the smallest p that "
            f"{fewest} can give is {2.0 ** (1 - fewest):.2g}."
        )
    hard = next((row for row in data.quality if row.name == "Hard goals met"), None)
    if hard is not None:
        sentences.append(
            f"Of the protocol's hard goals, the plans made from the {first} meet {hard.means[data.first]:.0f} %, those "
            f"made from the {baseline} {hard.means[data.baseline]:.0f} %."
        )
    return sentences


def _in_a_sentence(label: str) -> str:
    return label[:1].lower() + label[1:]


def _comparison_table(statement: ComparisonStatement) -> Table | None:
    if statement.comparison is None:
        return None
    found = variability_table(statement.comparison, statement.first, statement.second)
    return Table(statement.title, found.columns, found.rows)


def _notes(statement: ComparisonStatement) -> list[str]:
    notes = []
    if statement.left_out:
        what = ", ".join(_left_out(organ, reasons) for organ, reasons in statement.left_out.items())
        notes.append(f"Patients who are not compared: {what}.")
    if statement.too_few:
        what = ", ".join(f"{organ} {n}" for organ, n in statement.too_few.items())
        notes.append(f"Organs with too few patients to compare: {what}.")
    return notes


def _left_out(organ: str, reasons: Mapping[str, int]) -> str:
    texts = ", ".join(f"{n} {_LEFT_OUT_TEXT[why]}" for why, n in sorted(reasons.items()))
    return f"{organ} {sum(reasons.values())} ({texts})"


def _panel_note(panel: StructurePanel, data: PatientReportData) -> str:
    return f"{_difference(panel.first, data.first)} {_difference(panel.baseline, data.baseline)}"


def _difference(curves: MethodCurves, label: str) -> str:
    if curves.predicted_gy is None:
        return f"{label}: nothing was predicted."
    if curves.abs_mean_gy is None or curves.signed_mean_gy is None:
        return f"{label}: achieved and predicted are not compared. {curves.not_compared}".rstrip()
    return (
        f"{label}: achieved less predicted {curves.signed_mean_gy:+.2f} Gy on average, "
        f"{curves.abs_mean_gy:.2f} Gy in absolute terms."
    )


def _goals_table(data: PatientReportData) -> Table:
    labels = list(dict.fromkeys(label for _, by_label in data.goals for label in by_label))
    columns = (Column("Goal", is_number=False), *(Column(label, "reached, Gy") for label in labels))
    rows = []
    for what, by_label in data.goals:
        cells = [_reached(by_label[label]) if label in by_label else "" for label in labels]
        rows.append(Row((what, *cells)))
    return Table("What every plan reached", columns, tuple(rows))


def _reached(found: tuple[float, bool]) -> str:
    reached_gy, is_met = found
    return f"{fixed(reached_gy, 2)} {'met' if is_met else 'MISSED'}"
