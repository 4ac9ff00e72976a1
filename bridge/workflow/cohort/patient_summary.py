"""From one patient's results to what his report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bridge.report.cohort_data import REFERENCE_LABEL
from bridge.report.patient_data import AskedPoint, MethodCurves, PatientReportData, StructurePanel
from bridge.rt.arrays import FloatArray
from bridge.workflow.cohort.analysis import BASELINE_CURVES
from bridge.workflow.cohort.result import Curves, MethodResult, PatientResult, StructureEntry
from bridge.workflow.cohort.study import BASELINE, Study
from bridge.workflow.cohort.summary import method_labels, provenance_rows, settings_rows
from bridge.workflow.library.goals import shown_goal
from objective_extraction.variability.deviation import PredictedCurve

__all__ = ["patient_report_data"]


def patient_report_data(
    result: PatientResult, study: Study, cohort: str, back: str, first: str | None = None
) -> PatientReportData:
    """Choose what the report of a patient shows.

    Parameters
    ----------
    result, study
        Of the patient, and the conditions.
    cohort, back
        Name of the folder with the patients, and a link to the report of the study; empty where there is none.
    first
        Method beside the baseline; None for the first of the study.
    """
    labels = method_labels(study)
    sources = {entry.name: entry.source for entry in study.methods}
    name = first or study.methods[0].name
    one, baseline = result.method(name), result.method(BASELINE)
    of_organ = {structure.organ: structure for structure in result.structures if structure.kind == "outside"}
    panels = []
    for structure in result.structures:
        if structure.kind != "outside":
            panels.append(_panel(result, structure, one, baseline))
        # what an organ is asked for outside the targets stands in a panel of that part, and nowhere else
        outside = of_organ.get(structure.name)
        if outside is not None and structure.name in {*one.derived.values(), *baseline.derived.values()}:
            panels.append(_panel(result, outside, one, baseline))
    return PatientReportData(
        patient=result.id,
        cohort=cohort,
        levels_gy=result.levels_gy,
        first=labels[name],
        baseline=labels[BASELINE],
        sources=(sources[name], sources[BASELINE]),
        panels=tuple(panels),
        goals=_goals(result, labels),
        findings=tuple(
            (labels[method.name], finding.severity, finding.code, finding.message)
            for method in result.methods
            for finding in method.findings
        ),
        settings=settings_rows(study),
        provenance=(*provenance_rows(study), ("Patient's files, SHA-256", result.source_sha256)),
        back=back,
    )


def _panel(
    result: PatientResult, structure: StructureEntry, first: MethodResult, baseline: MethodResult
) -> StructurePanel:
    name = structure.name
    return StructurePanel(
        name=name if structure.organ is None else f"{structure.organ} outside the targets",
        volume_cc=structure.volume_cc,
        prescribed_gy=result.levels_gy.get(name),
        first=_method(first, "prediction", structure),
        baseline=_method(baseline, BASELINE_CURVES[0], structure),
        reference_gy=_curve(result.reference_curves, name),
    )


def _method(method: MethodResult, curve: PredictedCurve, structure: StructureEntry) -> MethodCurves:
    name = structure.name
    lower, upper = method.predicted.get("line_objective", {}).get(name), method.upper.get(name)
    deviation = method.deviations[curve].get(name)
    return MethodCurves(
        asked=_asked(method, structure),
        predicted_gy=_curve(method.predicted[curve], name),
        band_gy=None if lower is None or upper is None else (np.array(lower), np.array(upper)),
        achieved_gy=np.array(method.achieved[name]),
        abs_mean_gy=None if deviation is None else deviation.abs_mean_gy,
        signed_mean_gy=None if deviation is None else deviation.signed_mean_gy,
        not_compared=method.not_compared.get(name, "").partition(" [")[0],  # without its code
    )


def _asked(method: MethodResult, structure: StructureEntry) -> Sequence[AskedPoint]:
    """Give the point objectives of a structure; of a part outside targets by the name that the extraction gave it."""
    names = {structure.name} if structure.organ is None else set()
    names |= {derived for derived, of in method.derived.items() if of == structure.organ}
    return [
        AskedPoint(one.operator, one.requested_gy, one.volume_percent)
        for one in method.slack
        if one.roi in names and one.volume_percent is not None
    ]


def _curve(curves: Curves, name: str) -> FloatArray | None:
    found = curves.get(name)
    return None if found is None else np.array(found)


def _goals(result: PatientResult, labels: Mapping[str, str]) -> list[tuple[str, dict[str, tuple[float, bool]]]]:
    plans = {labels[method.name]: method.planned for method in result.methods}
    plans[REFERENCE_LABEL] = result.reference
    found: dict[str, dict[str, tuple[float, bool]]] = {}
    for label, quality in plans.items():
        for goal in quality.measures.goals:
            what = f"{goal.roi} {shown_goal(goal.what)}{'' if goal.hard else ' (wish)'}"
            found.setdefault(what, {})[label] = (goal.reached_gy, goal.is_met)
    return list(found.items())
