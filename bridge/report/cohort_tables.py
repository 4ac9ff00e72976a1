"""The tables of a study as text: definitions, plan quality, scorecard, slack, preferences, worst cases."""

from __future__ import annotations

from bridge.report.case_tables import NOTHING, Column, Row, Table, fixed
from bridge.report.cohort_data import REFERENCE, CohortReportData, DefinitionsStatement, QualityRow
from objective_extraction.variability.definitions import Figure

__all__ = [
    "definitions_table",
    "p_text",
    "preference_table",
    "quality_table",
    "scorecard_table",
    "slack_table",
    "worst_table",
]

_GY = 2
"""Decimals."""

_LEAST_P = 0.001


def p_text(value: float) -> str:
    """Round a p value for reading."""
    return f"< {_LEAST_P:g}" if value < _LEAST_P else f"{value:.3f}"


def definitions_table(statement: DefinitionsStatement) -> Table:
    """Give mean / std of every organ by every definition, with the interval of the headline's mean."""
    if not statement.rows:
        return Table(statement.title, (), ())
    figures = statement.rows[0].figures
    columns = [Column("Organ", is_number=False), Column("n")]
    columns += [Column(figure.definition, f"mean / std, {figure.unit}") for figure in figures]
    columns += [Column("B: mean", "95 % interval, Gy"), Column("B: std", "95 % interval, Gy")]
    rows = [
        Row(
            (
                row.organ,
                str(row.n),
                *(_mean_std(figure) for figure in row.figures),
                _interval(row.by("B").mean_interval),
                _interval(row.by("B").std_interval),
            )
        )
        for row in statement.rows
    ]
    return Table(statement.title, tuple(columns), tuple(rows))


def quality_table(data: CohortReportData) -> Table:
    """Give the quality of all plans: mean and SD, and the test of the first method against the baseline."""
    names = [*(method.name for method in data.methods), REFERENCE]
    first, baseline = data.label(data.first), data.label(data.baseline)
    columns = (
        Column("Measure", is_number=False),
        Column("better", is_number=False),
        Column("n"),
        *(Column(data.label(name), "mean (SD)") for name in names),
        Column(f"{first} less {baseline}", "mean [95 % interval]"),
        Column("patients better : worse"),
        Column("p", "corrected"),
    )
    rows = tuple(_quality_row(row, names) for row in data.quality)
    return Table("Quality of the plans", columns, rows)


def _quality_row(row: QualityRow, names: list[str]) -> Row:
    digits = 3 if not row.unit else 1 if row.unit == "%" else _GY
    name = f"{row.name} ({row.unit})" if row.unit else row.name
    values = (_mean_sd(row.means[one], row.sds[one], digits) for one in names)
    cells = (name, row.better, str(row.n), *values)
    if row.test is None:
        return Row((*cells, NOTHING, NOTHING, NOTHING))
    test = row.test
    low, high = test.difference_interval_gy
    worse = " (worse)" if row.is_worse else ""
    difference = f"{test.first_gy - test.second_gy:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]{worse}"
    return Row((*cells, difference, f"{test.patient_wins} : {test.patient_losses}", p_text(test.p_corrected)))


def _mean_sd(mean: float, sd: float | None, digits: int) -> str:
    return fixed(mean, digits) if sd is None else f"{fixed(mean, digits)} ({fixed(sd, digits)})"


def scorecard_table(data: CohortReportData) -> Table:
    """Give how many plans meet each goal of the protocol."""
    names = [*(method.name for method in data.methods), REFERENCE]
    columns = (Column("Goal", is_number=False), Column("plans"), *(Column(data.label(name), "met") for name in names))
    rows = tuple(
        Row((goal, str(max(of for _, of in met.values())), *(str(met[name][0]) for name in names)))
        for goal, met in data.scorecard.items()
    )
    return Table("Scorecard of the protocol's goals", columns, rows)


def slack_table(data: CohortReportData) -> Table:
    """Give what plans reached of what was asked."""
    columns = (
        Column("Method", is_number=False),
        Column("Objectives", is_number=False),
        Column("n"),
        Column("missed", "%"),
        Column("achieved less asked", "mean, Gy"),
        Column("missed by", "mean, Gy"),
        Column("worst miss", "Gy"),
    )
    rows, previous = [], None
    for row in data.slack:
        cells = (
            data.label(row.method), row.kind, str(row.n), fixed(row.missed_percent, 1), f"{row.mean_gy:+.2f}",
            fixed(row.mean_missed_gy, _GY), fixed(row.worst_gy, _GY),
        )  # fmt: skip
        rows.append(Row(cells, repeats=row.method == previous))
        previous = row.method
    return Table("Objectives: what the plans reached of what was asked", columns, tuple(rows))


def preference_table(data: CohortReportData) -> Table:
    """Give what each preference promised and what came of it."""
    columns = (
        Column("Preference", is_number=False),
        Column("organs, predicted", "mean dose, Gy"),
        Column("achieved", "Gy"),
        Column("HI, predicted", "(D2-D98)/D50"),
        Column("achieved"),
        Column("D95%, predicted", "highest target, Gy"),
        Column("achieved", "Gy"),
    )
    rows = tuple(
        Row(
            (
                data.label(row.method),
                *(fixed(value, _GY) for value in row.organs_gy),
                *(fixed(value, 3) for value in row.hi),
                *(fixed(value, _GY) for value in row.d95_gy),
            )
        )
        for row in data.preferences
    )
    return Table("Preferences: means over patients", columns, rows)


def worst_table(data: CohortReportData) -> Table:
    """Give the organs that came out farthest from their promise; the page links the first cell."""
    columns = (
        Column("Patient", is_number=False),
        Column("Organ", is_number=False),
        Column("Method", is_number=False),
        Column("mean |e(v)|", "Gy"),
        Column("mean e(v)", "Gy"),
    )
    rows = tuple(
        Row((one.patient, one.organ, one.method, fixed(one.abs_mean_gy, _GY), f"{one.signed_mean_gy:+.2f}"))
        for one in data.worst
    )
    return Table("Organs farthest from the promise", columns, rows)


def _mean_std(figure: Figure) -> str:
    return f"{fixed(figure.mean, _GY)} / {fixed(figure.std, _GY)}"


def _interval(ends: tuple[float, float]) -> str:
    return f"{fixed(ends[0], _GY)} to {fixed(ends[1], _GY)}"
