"""From the results of patients to variability by every definition and to the comparison with the baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from bridge.rt.dvh import BetweenPlanes, EndCaps
from bridge.workflow.cohort.result import PatientResult
from bridge.workflow.cohort.study import BASELINE, Study
from objective_extraction.variability.comparison import Comparison, compare_methods
from objective_extraction.variability.definitions import FEWEST_PATIENTS, OrganVariability, organ_variability
from objective_extraction.variability.deviation import Conditions, Deviation, PredictedCurve, Series

__all__ = [
    "BASELINE_CURVES",
    "Family",
    "LeftOutWhy",
    "PairedSeries",
    "compared",
    "organ_label",
    "series_of",
    "variability",
]

Family = Literal["organ", "outside"]
"""Whole organs, or what of them lies outside all targets, as optimizers are asked for it."""

LeftOutWhy = Literal["no estimate", "curve of another part", "cannot be compared"]
"""Why a patient's organ is not compared: a method says nothing of it, or what it says is of another part of the organ
than what the plan's dose covers."""

BASELINE_CURVES: tuple[PredictedCurve, ...] = ("band_middle", "line_objective")
"""The middle of a band is what is expected, the line what was asked for."""


@dataclass(frozen=True)
class PairedSeries:
    """A comparison, and whom it had to leave out.

    Attributes
    ----------
    comparison
        None where no organ has enough patients.
    left_out
        By organ, how many patients who have it are not compared, by the reason; see :data:`LeftOutWhy`.
    too_few
        Organs with too few patients to compare, with their number.
    """

    comparison: Comparison | None
    left_out: Mapping[str, Mapping[str, int]]
    too_few: Mapping[str, int]


def organ_label(organ: str, family: Family) -> str:
    """Name an organ as the paper's tables do: ``Larynx-PTV`` is the larynx outside the targets."""
    return organ if family == "organ" else f"{organ}-PTV"


def series_of(
    results: Sequence[PatientResult], study: Study, method: str, curve: PredictedCurve, family: Family
) -> dict[str, Series]:
    """Give the deviations of one method by organ, in the order of the study's structures.

    Parameters
    ----------
    results
        Of patients.
    study
        Their conditions.
    method, curve
        Which, and what stands for its prediction.
    family
        Of which structures.
    """
    entry = next(one for one in study.methods if one.name == method)
    conditions = Conditions(
        source=entry.source,
        predicted_curve=curve,
        optimizer=study.optimizer,
        normalisation=study.normalised,
        beside_organs="template",
        end_caps=cast(EndCaps, study.end_caps),
        between_planes=cast(BetweenPlanes, study.between_planes),
    )
    found: dict[str, dict[str, Deviation]] = {}
    for result in results:
        deviations = result.method(method).deviations[curve]
        for structure in result.structures:
            if structure.kind == family:
                label = organ_label(structure.organ or structure.name, family)
                of_organ = found.setdefault(label, {})
                if structure.name in deviations:
                    of_organ[result.id] = deviations[structure.name]
    return {organ: Series(organ, conditions, of_organ) for organ, of_organ in found.items()}


def variability(series: Mapping[str, Series], seed: int) -> tuple[OrganVariability, ...]:
    """Give the variability of every organ that has enough patients."""
    return tuple(organ_variability(one, seed) for one in series.values() if one.n >= FEWEST_PATIENTS)


def compared(
    results: Sequence[PatientResult], study: Study, method: str, curve: PredictedCurve, family: Family, seed: int
) -> PairedSeries:
    """Hold a preference of the model against the baseline, organ by organ, on the patients that both speak of.

    Parameters
    ----------
    results, study
        See :func:`series_of`.
    method
        The preference.
    curve
        What stands for the baseline's prediction.
    family
        Of which structures.
    seed
        Of the bootstrap.
    """
    first = series_of(results, study, method, "prediction", family)
    second = series_of(results, study, BASELINE, curve, family)
    pairs: list[tuple[Series, Series]] = []
    left_out: dict[str, Mapping[str, int]] = {}
    too_few: dict[str, int] = {}
    for organ, one in first.items():
        other = second[organ]
        both = one.deviations.keys() & other.deviations.keys()
        curves: list[tuple[str, PredictedCurve]] = [(method, "prediction"), (BASELINE, curve)]
        reasons: Counter[str] = Counter(
            _why(result, structure.name, curves)
            for result in results
            for structure in result.structures
            if structure.kind == family
            and organ_label(structure.organ or structure.name, family) == organ
            and result.id not in both
        )
        if reasons:
            left_out[organ] = dict(reasons)
        if len(both) < FEWEST_PATIENTS:
            too_few[organ] = len(both)
        else:
            pairs.append((_only(one, both), _only(other, both)))
    firsts, seconds = [one for one, _ in pairs], [other for _, other in pairs]
    comparison = compare_methods(firsts, seconds, seed) if pairs else None
    return PairedSeries(comparison, left_out, too_few)


def _why(result: PatientResult, structure: str, curves: Sequence[tuple[str, PredictedCurve]]) -> LeftOutWhy:
    """Say why a structure of a patient is not compared."""
    methods = [(result.method(name), curve) for name, curve in curves]
    if any(structure not in method.predicted[curve] for method, curve in methods):
        return "no estimate"
    if any("[variability-coverage" in method.not_compared.get(structure, "") for method, _ in methods):
        return "curve of another part"
    return "cannot be compared"


def _only(series: Series, patients: set[str]) -> Series:
    kept = {patient: one for patient, one in series.deviations.items() if patient in patients}
    return Series(series.organ, series.conditions, kept)
