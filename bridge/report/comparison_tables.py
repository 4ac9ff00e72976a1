"""The tables that hold a predicted dose against an optimized one, as text."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bridge.report.case_data import CaseReportData, Comparison
from bridge.report.case_tables import NOTHING, TARGET_METRICS, Column, Row, Table, fixed
from bridge.report.line_style import LineStyle
from bridge.rt.structure import Structure

__all__ = ["comparison_tables"]

_GY = 2
"""Decimals."""
_TARGET_METRICS = {"D98%_gy": ("D98%", "Gy", _GY), "D95%_gy": ("D95%", "Gy", _GY), "D2%_gy": ("D2%", "Gy", _GY)}
_COVERAGE_METRICS = {key: TARGET_METRICS[key] for key in ("V95%Rx_%", "V107%Rx_%", "hi_icru83")}
_ORGAN_METRICS = {"mean_gy": ("Mean", "Gy", _GY), "D0.03cc_gy": ("D0.03cc", "Gy", _GY)}


def comparison_tables(data: CaseReportData, styles: Mapping[int, LineStyle]) -> tuple[Table, ...]:
    """Give two tables of the targets, in dose and in coverage, and one of all others; none without a comparison.

    Each metric is given as predicted, as optimized, and as optimized less predicted.
    """
    comparison = data.comparison
    if comparison is None:
        return ()
    shown = [structure for structure, _ in data.ordered_dvhs]
    targets = [structure for structure in shown if structure.kind == "target"]
    others = [structure for structure in shown if structure.kind != "target"]
    return (
        _table("Targets: predicted and optimized dose in Gy", targets, _TARGET_METRICS, data, comparison, styles),
        _table(
            "Targets: predicted and optimized coverage and homogeneity",
            targets,
            _COVERAGE_METRICS,
            data,
            comparison,
            styles,
        ),
        _table(
            "Organs and other structures: predicted and optimized dose in Gy",
            others,
            _ORGAN_METRICS,
            data,
            comparison,
            styles,
        ),
    )


def _table(
    caption: str,
    structures: list[Structure],
    metrics: Mapping[str, tuple[str, str, int]],
    data: CaseReportData,
    comparison: Comparison,
    styles: Mapping[int, LineStyle],
) -> Table:
    columns = [Column("Structure", is_number=False)]
    for text, unit, _ in metrics.values():
        columns += [Column(text, "predicted"), Column(text, "optimized"), Column(f"\u0394{text}", unit)]
    of_curves = all(unit == "Gy" for _, unit, _ in metrics.values())
    if of_curves:
        columns += [Column("mean |\u0394D(v)|", "Gy"), Column("mean \u0394D(v)", "Gy")]
    rows = []
    for structure in structures:
        number = structure.number
        difference = comparison.differences.get(number)
        if difference is None:
            rows.append(Row((structure.name,), styles[number], remark="no dose in one of the two"))
            continue
        predicted, optimized = data.metrics.get(number, {}), comparison.metrics.get(number, {})
        cells = [structure.name]
        for key, (_, _, digits) in metrics.items():
            cells += _compared(predicted.get(key), optimized.get(key), digits)
        if of_curves:
            cells += [fixed(difference.mean_abs_gy, _GY), _signed(difference.mean_signed_gy, _GY)]
        rows.append(Row(tuple(cells), styles[number]))
    return Table(caption, tuple(columns), tuple(rows))


def _compared(predicted: float | None, optimized: float | None, digits: int) -> tuple[str, str, str]:
    """Give both values and the difference of what is shown: a reader who subtracts must not find another one."""
    change = math.nan if predicted is None or optimized is None else round(optimized, digits) - round(predicted, digits)
    return fixed(predicted, digits), fixed(optimized, digits), _signed(change, digits)


def _signed(value: float, digits: int) -> str:
    """Round for reading, with a sign."""
    if not math.isfinite(value):
        return NOTHING
    return f"{round(value, digits) + 0.0:+.{digits}f}"
