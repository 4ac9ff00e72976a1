"""From a study to what its report shows: comparisons, definitions, quality, and what was done in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bridge.report.cohort_data import (
    CohortReportData,
    ComparisonStatement,
    DefinitionsStatement,
    MethodStatement,
    OrganDifferences,
    PreferenceRow,
    WorstCase,
)
from bridge.rt.arrays import FloatArray
from bridge.workflow.cohort.analysis import BASELINE_CURVES, Family, compared, series_of, variability
from bridge.workflow.cohort.quality import organs_gy, quality_rows, scorecard, slack_rows
from bridge.workflow.cohort.result import PatientResult, PlanQuality
from bridge.workflow.cohort.run import CohortRun
from bridge.workflow.cohort.study import BASELINE, MethodEntry, Study
from objective_extraction.variability.definitions import CONFIDENCE, RESAMPLES
from objective_extraction.variability.deviation import PredictedCurve

__all__ = ["SEED", "cohort_report_data", "method_labels", "patient_page", "provenance_rows", "settings_rows"]

SEED = 1
"""Of every bootstrap."""

_WORST = 15

_CURVE_TEXT: Mapping[PredictedCurve, str] = {
    "prediction": "predicted dose",
    "band_middle": "middle of the band",
    "line_objective": "line objective (lower edge of the band)",
}
_FAMILY_TEXT: Mapping[Family, str] = {"organ": "whole organs", "outside": "organs outside the targets"}


def patient_page(patient_id: str) -> str:
    """Give the path of a patient's report within the folder of the study."""
    return f"patients/{patient_id}.html"


def method_labels(study: Study) -> dict[str, str]:
    """Give what methods are called in headings: the model by its kind of preference, the baseline as such."""
    return {entry.name: _label(entry) for entry in study.methods}


def cohort_report_data(run: CohortRun, cohort: str, seed: int = SEED) -> CohortReportData:
    """Compute all that the report of a study shows.

    Parameters
    ----------
    run
        With at least one patient.
    cohort
        Name of the folder with the patients.
    seed
        Of every bootstrap.
    """
    study, results = run.study, run.results
    labels = method_labels(study)
    names = [entry.name for entry in study.methods if entry.name != BASELINE]
    first = names[0]
    comparisons = tuple(
        _comparison(results, study, name, curve, family, labels, seed) for name, curve, family in _pairs(names)
    )
    return CohortReportData(
        cohort=cohort,
        n=len(results),
        left_out=tuple((one.patient, str(one.error.get("message", ""))) for one in run.left_out),
        methods=tuple(MethodStatement(entry.name, labels[entry.name], entry.source) for entry in study.methods),
        first=first,
        baseline=BASELINE,
        comparisons=comparisons,
        definitions=tuple(_definitions(results, study, labels, seed)),
        quality=quality_rows(results, first, seed),
        scorecard=scorecard(results),
        slack=slack_rows(results),
        preferences=tuple(_preference(results, name) for name in names),
        organs=_organs(results, first),
        worst=_worst(results, [first, BASELINE], labels),
        settings=settings_rows(study, seed),
        provenance=provenance_rows(study),
    )


def _pairs(names: Sequence[str]) -> list[tuple[str, PredictedCurve, Family]]:
    """Give what is compared with the baseline: the headline, other curves and structures, other preferences."""
    first, *others = names
    middle, line = BASELINE_CURVES
    return [
        (first, middle, "organ"),
        (first, line, "organ"),
        (first, middle, "outside"),
        (first, line, "outside"),
        *((name, middle, "organ") for name in others),
    ]


def _label(entry: MethodEntry) -> str:
    return "Baseline" if entry.name == BASELINE else f"Model ({entry.name})"


def _comparison(
    results: Sequence[PatientResult], study: Study, name: str, curve: PredictedCurve, family: Family,
    labels: Mapping[str, str], seed: int,
) -> ComparisonStatement:  # fmt: skip
    found = compared(results, study, name, curve, family, seed)
    title = (
        f"Intra-patient DVH variability, {_FAMILY_TEXT[family]}: {labels[name]} against {labels[BASELINE]}, "
        f"{_CURVE_TEXT[curve]}"
    )
    return ComparisonStatement(title, labels[name], labels[BASELINE], found.comparison, found.left_out, found.too_few)


def _definitions(
    results: Sequence[PatientResult], study: Study, labels: Mapping[str, str], seed: int
) -> list[DefinitionsStatement]:
    found = []
    families: tuple[Family, ...] = ("organ", "outside")
    for entry in study.methods:
        curves: tuple[PredictedCurve, ...] = BASELINE_CURVES if entry.name == BASELINE else ("prediction",)
        for curve in curves:
            for family in families:
                rows = variability(series_of(results, study, entry.name, curve, family), seed)
                title = f"{labels[entry.name]}, {_CURVE_TEXT[curve]}, {_FAMILY_TEXT[family]}"
                found.append(DefinitionsStatement(title, rows))
    return found


def _organs(results: Sequence[PatientResult], first: str) -> tuple[OrganDifferences, ...]:
    organs = dict.fromkeys(s.name for result in results for s in result.structures if s.kind == "organ")
    found = []
    for organ in organs:
        pairs = [
            (one, other)
            for result in results
            if (one := _difference(result, first, "prediction", organ)) is not None
            and (other := _difference(result, BASELINE, BASELINE_CURVES[0], organ)) is not None
        ]
        if len(pairs) > 1:
            found.append(OrganDifferences(organ, *(np.array(rows) for rows in zip(*pairs, strict=True))))
    return tuple(found)


def _difference(result: PatientResult, name: str, curve: PredictedCurve, organ: str) -> FloatArray | None:
    method = result.method(name)
    predicted, achieved = method.predicted[curve].get(organ), method.achieved.get(organ)
    if predicted is None or achieved is None:
        return None
    return np.subtract(achieved, predicted)[1:100]


def _worst(results: Sequence[PatientResult], names: Sequence[str], labels: Mapping[str, str]) -> tuple[WorstCase, ...]:
    found = []
    for result in results:
        organs = [s.name for s in result.structures if s.kind == "organ"]
        for name in names:
            curve: PredictedCurve = BASELINE_CURVES[0] if name == BASELINE else "prediction"
            deviations = result.method(name).deviations[curve]
            found += [
                WorstCase(
                    result.id, organ, labels[name], deviations[organ].abs_mean_gy, deviations[organ].signed_mean_gy,
                    patient_page(result.id),
                )
                for organ in organs
                if organ in deviations
            ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: -one.abs_mean_gy)[:_WORST])


def _preference(results: Sequence[PatientResult], name: str) -> PreferenceRow:
    plans = [(method.promised, method.planned) for result in results for method in [result.method(name)]]
    pairs = [(promised, planned) for promised, planned in plans if promised is not None]

    def both(of: Callable[[PlanQuality], float]) -> tuple[float, float]:
        return (
            float(np.mean([of(promised) for promised, _ in pairs])),
            float(np.mean([of(planned) for _, planned in pairs])),
        )

    # a patient without organs is in no mean of them
    means = [
        (one, other)
        for promised, planned in pairs
        if (one := organs_gy(promised)) is not None and (other := organs_gy(planned)) is not None
    ]
    return PreferenceRow(
        method=name,
        organs_gy=_mean(means) if means else (None, None),
        hi=both(lambda q: q.measures.hi),
        d95_gy=both(lambda q: next(iter(q.measures.targets.values())).d95_gy),
    )


def _mean(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*pairs, strict=True)
    return float(np.mean(first)), float(np.mean(second))


def settings_rows(study: Study, seed: int = SEED) -> tuple[tuple[str, str], ...]:
    """Say what was done, from the conditions of a study: the methods section of its reports."""
    sources = tuple(
        ("Baseline" if entry.name == BASELINE else f"Model, {entry.name}", entry.source) for entry in study.methods
    )
    return (
        *sources,
        (
            "From promise to plan",
            "Each method's DVHs become optimization objectives by one set of rules; targets and the fall-off around "
            "them are asked for by one template, so that plans differ in what was predicted for the organs alone. "
            "A predicted dose asks for its own curves, a band for its lower edge.",
        ),
        ("Objectives", _extraction(study.extraction)),
        (
            "Optimizer",
            f"{study.optimizer}; ends when {study.over_iterations} iterations together gain less than "
            f"{100.0 * study.relative_decrease:g} %. Each plan is optimized by itself from an even fluence, in one "
            "thread.",
        ),
        ("Normalisation", study.normalised),
        (
            "DVHs",
            f"End caps {study.end_caps.replace('_', ' ')}, {study.between_planes} between planes, trilinear dose; "
            "predicted doses on the patient's voxels, optimized ones on the dose grid; contours along the edges of "
            "voxels.",
        ),
        (
            "Variability",
            "e(v) is achieved less predicted D(v) at v = 1, 2, ..., 99 %. The headline is definition B: the mean over "
            "patients of the mean |e(v)|, and the mean over patients of the standard deviation of e(v) along the "
            "curve.",
        ),
        (
            "Statistics",
            "Two-sided Wilcoxon signed-rank tests on the patients that both methods speak of, corrected after Holm "
            f"within each table; {100.0 * CONFIDENCE:g} % percentile intervals from {RESAMPLES} bootstrap resamples "
            f"of the patients, seed {seed}.",
        ),
        ("Goals", f"Protocol {study.protocol} ({study.protocol_sha256[:12]})."),
    )


def provenance_rows(study: Study) -> tuple[tuple[str, str], ...]:
    """Give versions and hashes."""
    return (
        ("Software", study.software),
        ("Engine", study.engine),
        *(
            (f"SHA-256 of {model_id}", sha256)
            for model_id, sha256 in {entry.model_id: entry.model_sha256 for entry in study.methods}.items()
        ),
        ("Conditions, SHA-256", study.sha256),
        ("Status", "Research. Not for clinical use until a site has commissioned it."),
    )


def _extraction(rules: Mapping[str, object]) -> str:
    volumes = rules["volumes_percent"]
    assert isinstance(volumes, tuple | list)  # noqa: S101 - as dataclasses.asdict and JSON give it
    points = ", ".join(f"{volume:g}" for volume in volumes)
    return (
        f"Organs: upper points at {points} % of the volume (0 % stands for D0.03cc), together with priority "
        f"{rules['organ_total_priority']:g}, margin {rules['margin_percent']:g} %; a mean dose for parallel organs; "
        f"outside the targets where these take more than {rules['overlap_percent']:g} % of the organ. Targets: "
        f"priority {rules['target_priority']:g} for each objective."
    )
