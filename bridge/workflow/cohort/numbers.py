"""Every number of a study as CSV and JSON, not rounded, for whoever wants to count again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from bridge.report.cohort_data import REFERENCE, CohortReportData
from bridge.workflow.cohort.result import PatientResult, PlanQuality
from bridge.workflow.cohort.study import Study
from bridge.workflow.library.goals import shown_goal

__all__ = ["cohort_csvs", "cohort_json"]


def cohort_csvs(data: CohortReportData, results: Sequence[PatientResult]) -> dict[str, str]:
    """Give the tables of a study by file name: of the report, and one line for each patient behind them."""
    return {
        "comparisons.csv": _csv(_comparisons(data)),
        "definitions.csv": _csv(_definitions(data)),
        "quality.csv": _csv(_quality(data)),
        "slack.csv": _csv(asdict(row) for row in data.slack),
        "deviations.csv": _csv(_deviations(results)),
        "goals.csv": _csv(_goals(results)),
        "plans.csv": _csv(_plans(results)),
        "objectives.csv": _csv(_objectives(results)),
    }


def cohort_json(data: CohortReportData, study: Study) -> bytes:
    """Give what the report says, for programs."""
    content = {
        "format": "fdp-bridge-cohort",
        "version": 1,
        "notice": "NOT FOR CLINICAL USE",
        "study": study.model_dump(mode="json"),
        "study_sha256": study.sha256,
        "cohort": data.cohort,
        "patients": data.n,
        "left_out": dict(data.left_out),
        "comparisons": [
            {
                "title": one.title,
                "patients_left_out": {organ: sum(reasons.values()) for organ, reasons in one.left_out.items()},
                "patients_left_out_why": {organ: dict(reasons) for organ, reasons in one.left_out.items()},
                "organs_with_too_few": dict(one.too_few),
                "comparison": None if one.comparison is None else one.comparison.as_dict(),
            }
            for one in data.comparisons
        ],
        "definitions": [
            {"title": one.title, "organs": [row.as_dict() for row in one.rows]} for one in data.definitions
        ],
        "quality": [asdict(row) for row in data.quality],
        "scorecard": data.scorecard,
        "slack": [asdict(row) for row in data.slack],
        "preferences": [asdict(row) for row in data.preferences],
        "worst": [asdict(row) for row in data.worst],
    }
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def _csv(rows: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    found = list(rows)
    if found:
        writer = csv.DictWriter(text, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return text.getvalue()


def _comparisons(data: CohortReportData) -> Iterable[Mapping[str, object]]:
    for statement in data.comparisons:
        comparison = statement.comparison
        for organ in () if comparison is None else comparison.organs:
            for column, test in (("std", organ.std), ("mean", organ.mean)):
                low, high = test.difference_interval_gy
                yield {
                    "comparison": statement.title, "organ": organ.organ, "n": organ.n, "column": column,
                    "first_gy": test.first_gy, "baseline_gy": test.second_gy, "difference_low_gy": low,
                    "difference_high_gy": high, "p": test.p, "p_corrected": test.p_corrected,
                    "patient_wins": test.patient_wins, "patient_losses": test.patient_losses,
                }  # fmt: skip


def _definitions(data: CohortReportData) -> Iterable[Mapping[str, object]]:
    for statement in data.definitions:
        for row in statement.rows:
            for figure in row.figures:
                yield {
                    "of": statement.title, "organ": row.organ, "n": row.n, "definition": figure.definition,
                    "unit": figure.unit, "mean": figure.mean, "std": figure.std, "mean_low": figure.mean_interval[0],
                    "mean_high": figure.mean_interval[1], "std_low": figure.std_interval[0],
                    "std_high": figure.std_interval[1], **row.conditions.as_dict(),
                }  # fmt: skip


def _quality(data: CohortReportData) -> Iterable[Mapping[str, object]]:
    for row in data.quality:
        low, high = (None, None) if row.test is None else row.test.difference_interval_gy
        yield {
            "measure": row.name, "unit": row.unit, "better": row.better, "n": row.n,
            **{f"{name}_mean": value for name, value in row.means.items()},
            **{f"{name}_sd": value for name, value in row.sds.items()},
            "difference_low": low, "difference_high": high,
            "p": None if row.test is None else row.test.p,
            "p_corrected": None if row.test is None else row.test.p_corrected,
        }  # fmt: skip


def _deviations(results: Sequence[PatientResult]) -> Iterable[Mapping[str, object]]:
    for result in results:
        for method in result.methods:
            for curve, of_curve in method.deviations.items():
                for structure, found in of_curve.items():
                    yield {
                        "patient": result.id,
                        "method": method.name,
                        "curve": curve,
                        "structure": structure,
                        **asdict(found),
                    }


def _plans_of(result: PatientResult) -> Iterable[tuple[str, PlanQuality]]:
    yield REFERENCE, result.reference
    for method in result.methods:
        if method.promised is not None:
            yield f"{method.name}, predicted", method.promised
        yield f"{method.name}, achieved", method.planned


def _goals(results: Sequence[PatientResult]) -> Iterable[Mapping[str, object]]:
    for result in results:
        for plan, quality in _plans_of(result):
            for goal in quality.measures.goals:
                said = {**goal.model_dump(), "what": shown_goal(goal.what)}
                yield {"patient": result.id, "plan": plan, **said, "met": goal.is_met}


def _plans(results: Sequence[PatientResult]) -> Iterable[Mapping[str, object]]:
    for result in results:
        for plan, quality in _plans_of(result):
            fit = quality.conformity
            common = {"patient": result.id, "plan": plan, "hottest_gy": quality.measures.hottest_gy}
            common |= {"ci_rtog": None if fit is None else fit.ci_rtog, "cn": None if fit is None else fit.cn_vant_riet}
            for name, target in quality.measures.targets.items():
                yield {**common, "structure": name, **_row(target.model_dump())}
            for name, organ in quality.measures.organs.items():
                yield {**common, "structure": name, **_row(organ.model_dump())}


_PARAMETERS = (
    "prescribed_gy", "mean_gy", "d99_gy", "d98_gy", "d95_gy", "d50_gy", "d2_gy", "near_maximum_gy", "hi_icru83",
    "d01cc_gy", "outside_gy",
)  # fmt: skip


def _row(measured: Mapping[str, object]) -> dict[str, object]:
    """Give targets and organs the same columns."""
    return {name: measured.get(name) for name in _PARAMETERS}


def _objectives(results: Sequence[PatientResult]) -> Iterable[Mapping[str, object]]:
    for result in results:
        for method in result.methods:
            for one in method.slack:
                yield {"patient": result.id, "method": method.name, **one.as_dict()}
