"""Two ways of predicting side by side as in the paper on FDP: std and mean of each organ, and who is better."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from bridge.report.case_tables import NOTHING, Column, Row, Table, fixed
from objective_extraction.variability.comparison import Comparison, OrganComparison, PairedTest

__all__ = ["variability_conditions", "variability_csv", "variability_table"]

_GY = 2
"""Decimals."""

_LEAST_P = 0.001


def variability_table(comparison: Comparison, first: str, second: str) -> Table:
    """Give the table of a comparison: the second method, which is the baseline, stands before the first.

    Parameters
    ----------
    comparison
        By definition B.
    first, second
        What the two methods are called in the headings.

    Returns
    -------
    Table
        A row for each organ, and the number of organs in which each method is lower; a draw counts for none. p is
        corrected for all tests of the table.
    """
    columns = [Column("Organ", is_number=False), Column("n")]
    for what in ("std", "mean"):
        columns += [Column(f"{second} {what}", "Gy"), Column(f"{first} {what}", "Gy"), Column(f"p of {what}")]
    rows = [Row((organ.organ, str(organ.n), *_cells(organ.std), *_cells(organ.mean))) for organ in comparison.organs]
    counts = (*_counts(comparison, lambda organ: organ.std), *_counts(comparison, lambda organ: organ.mean))
    caption = f"Intra-patient DVH variability by definition B: {second} and {first}"
    return Table(caption, tuple(columns), (*rows, Row(("Better count", NOTHING, *counts))))


def variability_conditions(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    """Give what the table depends on, as pairs of a heading and a text."""
    first, second = comparison.first, comparison.second
    return (
        ("First", f"{first.source}, {first.predicted_curve.replace('_', ' ')}"),
        ("Baseline", f"{second.source}, {second.predicted_curve.replace('_', ' ')}"),
        ("Optimizer", first.optimizer),
        ("Normalisation", first.normalisation),
        ("Asked for beside the organs", first.beside_organs),
        ("DVHs", f"end caps {first.end_caps.replace('_', ' ')}, {first.between_planes} between planes"),
        ("Tests", f"two-sided Wilcoxon signed-rank, corrected after Holm over {2 * len(comparison.organs)} tests"),
        (
            "Definition",
            "e(v) is achieved less predicted D(v) at v = 1, 2, ..., 99 %; mean: mean over patients of the mean |e(v)|; "
            "std: mean over patients of the standard deviation of e(v)",
        ),
    )


def variability_csv(comparison: Comparison) -> str:
    """Give every number of a comparison, not rounded: a line for each organ and column of the table."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        [
            "organ", "n", "column", "first_gy", "second_gy", "difference_low_gy", "difference_high_gy", "p",
            "p_corrected", "patient_wins", "patient_losses",
        ]
    )  # fmt: skip
    for organ in comparison.organs:
        for column, test in (("std", organ.std), ("mean", organ.mean)):
            writer.writerow(
                [
                    organ.organ, organ.n, column, test.first_gy, test.second_gy, *test.difference_interval_gy, test.p,
                    test.p_corrected, test.patient_wins, test.patient_losses,
                ]
            )  # fmt: skip
    return text.getvalue()


def _cells(test: PairedTest) -> tuple[str, str, str]:
    return fixed(test.second_gy, _GY), fixed(test.first_gy, _GY), _p(test.p_corrected)


def _counts(comparison: Comparison, column: Callable[[OrganComparison], PairedTest]) -> tuple[str, str, str]:
    tests = [column(organ) for organ in comparison.organs]
    return str(sum(test.lost for test in tests)), str(sum(test.won for test in tests)), NOTHING


def _p(value: float) -> str:
    return f"< {_LEAST_P:g}" if value < _LEAST_P else f"{value:.3f}"
