"""How good the plans are, whatever was promised: a method must not win by predicting bad plans and keeping its word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bridge.report.cohort_data import REFERENCE, Better, QualityRow, SlackRow
from bridge.rt.arrays import FloatArray
from bridge.workflow.cohort.result import PatientResult, PlanQuality
from bridge.workflow.cohort.study import BASELINE
from bridge.workflow.library.goals import shown_goal
from objective_extraction.variability.comparison import PairedTest, holm, paired_test
from objective_extraction.variability.definitions import FEWEST_PATIENTS

__all__ = [
    "MEASURES",
    "TOLERANCE_GY",
    "QualityMeasure",
    "organs_gy",
    "quality_rows",
    "scorecard",
    "slack_rows",
    "values_of",
]


@dataclass(frozen=True)
class QualityMeasure:
    """One number of a plan.

    Attributes
    ----------
    name, unit
        With its definition.
    better
        Which way is better.
    of
        Gives it, or None where the plan has none.
    """

    name: str
    unit: str
    better: Better
    of: Callable[[PlanQuality], float | None]


def _share_met(quality: PlanQuality, *, hard_only: bool) -> float | None:
    goals = [goal for goal in quality.measures.goals if goal.hard or not hard_only]
    return 100.0 * sum(goal.is_met for goal in goals) / len(goals) if goals else None


def _missed_gy(quality: PlanQuality) -> float | None:
    goals = quality.measures.goals
    return float(np.mean([max(0.0, goal.excess_gy) for goal in goals])) if goals else None


def _deficit_gy(quality: PlanQuality) -> float:
    return max(max(0.0, one.prescribed_gy - one.d95_gy) for one in quality.measures.targets.values())


def organs_gy(quality: PlanQuality) -> float | None:
    """Give the mean of the organs' mean doses, None of a patient without organs."""
    means = [organ.mean_gy for organ in quality.measures.organs.values()]
    return float(np.mean(means)) if means else None


def _conformation(quality: PlanQuality) -> float | None:
    return None if quality.conformity is None else quality.conformity.cn_vant_riet


MEASURES: tuple[QualityMeasure, ...] = (
    QualityMeasure("Hard goals met", "%", "higher", lambda q: _share_met(q, hard_only=True)),
    QualityMeasure("All goals met", "%", "higher", lambda q: _share_met(q, hard_only=False)),
    QualityMeasure("Goals missed by, mean", "Gy", "lower", _missed_gy),
    QualityMeasure("D95% short of prescription, worst target", "Gy", "lower", _deficit_gy),
    QualityMeasure("HI (D2% - D98%) / D50%, highest target", "", "lower", lambda q: q.measures.hi),
    QualityMeasure("CN (van 't Riet), highest target", "", "higher", _conformation),
    QualityMeasure("Hottest voxel", "Gy", "lower", lambda q: q.measures.hottest_gy),
    QualityMeasure("Mean dose of the organs, mean", "Gy", "lower", organs_gy),
)
"""What stands in the quality table, beside the mean dose of every organ."""


def values_of(results: Sequence[PatientResult], measure: QualityMeasure) -> dict[str, FloatArray]:
    """Give a measure of all plans by method, on the patients in whom every plan has it; shape ``(n,)``."""
    plans = [
        {**{method.name: method.planned for method in result.methods}, REFERENCE: result.reference}
        for result in results
    ]
    rows = [{name: measure.of(quality) for name, quality in of_patient.items()} for of_patient in plans]
    whole = [row for row in rows if all(value is not None for value in row.values())]
    names = list(rows[0]) if rows else []
    return {name: np.array([row[name] for row in whole], dtype=np.float64) for name in names}


def quality_rows(results: Sequence[PatientResult], first: str, seed: int) -> tuple[QualityRow, ...]:
    """Give the quality table, organs' mean doses at its end; p is corrected for all of its tests after Holm.

    Parameters
    ----------
    results
        Of patients.
    first
        Method that is held against the baseline.
    seed
        Of the bootstrap.
    """
    organs = dict.fromkeys(s.name for result in results for s in result.structures if s.kind == "organ")
    measures = (*MEASURES, *(_mean_of(organ) for organ in organs))
    rows = []
    for measure in measures:
        values = values_of(results, measure)
        n = len(next(iter(values.values()), []))
        if n:
            test = _test(measure, values[first], values[BASELINE], seed) if n >= FEWEST_PATIENTS else None
            means = {name: float(found.mean()) for name, found in values.items()}
            sds = {name: float(found.std(ddof=1)) if n > 1 else None for name, found in values.items()}
            rows.append(QualityRow(measure.name, measure.unit, measure.better, n, means, sds, test))
    corrected = iter(holm([row.test.p for row in rows if row.test is not None]))
    return tuple(
        row if row.test is None else replace(row, test=replace(row.test, p_corrected=next(corrected))) for row in rows
    )


def _mean_of(organ: str) -> QualityMeasure:
    def mean_gy(quality: PlanQuality) -> float | None:
        found = quality.measures.organs.get(organ)
        return None if found is None else found.mean_gy

    return QualityMeasure(f"Mean dose of {organ}", "Gy", "lower", mean_gy)


def _test(measure: QualityMeasure, first: FloatArray, second: FloatArray, seed: int) -> PairedTest:
    """Test in the direction in which less is better, and give the numbers in the measure's own."""
    if measure.better == "lower":
        return paired_test(first, second, seed)
    turned = paired_test(-first, -second, seed)
    low, high = turned.difference_interval_gy
    return replace(turned, first_gy=-turned.first_gy, second_gy=-turned.second_gy, difference_interval_gy=(-high, -low))


def scorecard(results: Sequence[PatientResult]) -> dict[str, dict[str, tuple[int, int]]]:
    """Give for every goal and method how many plans meet it, of how many; goals by structure and what is asked."""
    found: dict[str, dict[str, list[bool]]] = {}
    for result in results:
        plans = {**{method.name: method.planned for method in result.methods}, REFERENCE: result.reference}
        for name, quality in plans.items():
            for goal in quality.measures.goals:
                key = f"{goal.roi} {shown_goal(goal.what)}{'' if goal.hard else ' (wish)'}"
                found.setdefault(key, {}).setdefault(name, []).append(goal.is_met)
    return {key: {name: (sum(met), len(met)) for name, met in by_method.items()} for key, by_method in found.items()}


TOLERANCE_GY = 0.5
"""A miss of less is not worth a word: the sampling of a DVH and the steps of an optimizer come to as much."""


def slack_rows(results: Sequence[PatientResult]) -> tuple[SlackRow, ...]:
    """Give the objective slack of all methods."""
    grouped: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for result in results:
        for method in result.methods:
            for one in method.slack:
                of_target = one.rule.startswith("target")
                kind = f"targets, {one.operator}" if of_target else f"organs, {one.kind}s"
                grouped.setdefault((method.name, kind), []).append((one.achieved_less_requested_gy, one.missed_by_gy))
    rows = []
    for (name, kind), values in grouped.items():
        difference, missed = np.array(values).T
        rows.append(
            SlackRow(
                name, kind, len(values), float(100.0 * (missed > TOLERANCE_GY).mean()), float(difference.mean()),
                float(np.maximum(missed, 0.0).mean()), float(missed.max()),
            )
        )  # fmt: skip
    return tuple(rows)
