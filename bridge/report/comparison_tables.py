"""The tables that hold a predicted dose against an optimized one, as text."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bridge.report.case_data import CaseReportData, Comparison
from bridge.report.case_tables import NOTHING, Column, Row, Table, fixed
from bridge.report.line_style import LineStyle
from bridge.rt.structure import Structure

__all__ = ["comparison_tables"]

_TARGET_METRICS = {"D98%_gy": "D98%", "D95%_gy": "D95%", "D2%_gy": "D2%"}
_ORGAN_METRICS = {"mean_gy": "Mean", "D0.03cc_gy": "D0.03cc"}
_GY = 2
"""Decimals."""


def comparison_tables(data: CaseReportData, styles: Mapping[int, LineStyle]) -> tuple[Table, ...]:
    """Give a table of the targets and one of all other structures, both empty where there is no comparison.

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
    metrics: Mapping[str, str],
    data: CaseReportData,
    comparison: Comparison,
    styles: Mapping[int, LineStyle],
) -> Table:
    columns = [Column("Structure", is_number=False)]
    for text in metrics.values():
        columns += [Column(text, "predicted"), Column(text, "optimized"), Column(f"\u0394{text}", "Gy")]
    columns += [Column("mean |\u0394D(v)|", "Gy"), Column("mean \u0394D(v)", "Gy")]
    rows = []
    for structure in structures:
        number = structure.number
        predicted, optimized = data.metrics.get(number, {}), comparison.metrics.get(number, {})
        cells = [structure.name]
        for key in metrics:
            one, other = predicted.get(key), optimized.get(key)
            cells += [
                fixed(one, _GY),
                fixed(other, _GY),
                _signed(None if one is None or other is None else other - one),
            ]
        difference = comparison.differences.get(number)
        if difference is None:
            rows.append(Row(tuple(cells), styles[number], remark="no dose in one of the two"))
        else:
            last = (fixed(difference.mean_abs_gy, _GY), _signed(difference.mean_signed_gy))
            rows.append(Row((*cells, *last), styles[number]))
    return Table(caption, tuple(columns), tuple(rows))


def _signed(value: float | None) -> str:
    """Round for reading, with a sign."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{round(value, _GY) + 0.0:+.{_GY}f}"
