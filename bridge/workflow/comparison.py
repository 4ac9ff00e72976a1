"""A dose that came back, held against the prediction: what was asked, what was predicted, and what the plan became."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from bridge import __version__
from bridge.dicom.plan import plan_label
from bridge.dicom.read_dose import DoseObject, read_dose_object
from bridge.report.case_report import CaseReportData, Comparison, ModelStatement, write_case_report
from bridge.report.tables import dvh_json
from bridge.rt.case import PatientCase
from bridge.rt.dvh import Dvh
from bridge.rt.dvh_compare import DvhDifference, compare_dvhs
from bridge.rt.errors import IdentityRefusal
from bridge.rt.findings import Finding, each_once
from bridge.workflow.export import ARTIFACT_FILES, objective_rows, plan_metrics, sha256_of, write_json
from bridge.workflow.jobs import Artifact
from bridge.workflow.pipeline import measure, uncovered
from bridge.workflow.predict import dvh_policy, prepared_case
from bridge.workflow.reimport import Reimport
from bridge.workflow.release import require_unchanged
from bridge.workflow.results import findings_in
from bridge.workflow.whole_folder import whole_folder
from config.settings import Settings
from objective_extraction.objective_json import read_objective_set
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["COMPARISON_FILES", "compare_files", "comparison_folder"]

COMPARISON_FILES: Mapping[str, str] = {"report": "report.html", "dvh": "dvh.json"}
"""Kind of artifact to file name."""

_DIGITS = 12


def comparison_folder(cases_folder: Path, work: Reimport) -> Path:
    """Give where a comparison lies: beside the results that it is made with, named by the hash of the dose."""
    name = f"{work.job.input_sha256[:_DIGITS]}-optimized-{work.dose_sha256[:_DIGITS]}"
    return cases_folder / work.case_id / name


def compare_files(
    paths: Sequence[Path],
    results: Path,
    work: Reimport,
    dose_file: Path,
    plan_file: Path,
    folder: Path,
    settings: Settings,
) -> tuple[Artifact, ...]:
    """Measure a dose that came back and the predicted one alike; write a report and ``dvh.json``.

    Parameters
    ----------
    paths
        What the prediction was made from.
    results
        Folder with the files of the prediction.
    work
        Which dose, and which prediction.
    dose_file
        The RTDOSE that came back.
    plan_file
        The RTPLAN that it belongs to.
    folder
        See :func:`bridge.workflow.whole_folder.whole_folder`.
    settings
        Names, prescriptions and DVHs.

    Raises
    ------
    IdentityRefusal
        The dose is of another patient (``two-patients``) or was computed on another structure set
        (``other-structure-set``).
    ApprovalRefusal
        A file of the prediction is not the one that was made.
    Refusal
        The dose cannot be read safely, or is in another frame of reference.
    """
    require_unchanged(results, work.artifacts, work.case_id)
    objectives = read_objective_set(results / ARTIFACT_FILES["objectives"])
    predicted = read_dose_object(results / ARTIFACT_FILES["predicted_dose"])
    optimized = read_dose_object(dose_file)
    case = prepared_case(paths, settings)
    _require_one_case(case, predicted, optimized)
    policy = dvh_policy(settings)
    before, after = (measure(case.structures, dose.dose, policy) for dose in (predicted, optimized))
    metrics = [plan_metrics(case, dvhs, objectives.prescription) for dvhs in (before, after)]
    comparison = Comparison(
        dvhs=after,
        metrics=metrics[1],
        differences=_differences(before, after),
        maximum_gy=optimized.dose.maximum_gy,
        made_by=optimized.origin.made_by,
        plan_label=plan_label(plan_file),
        dose_uid=optimized.sop_instance_uid,
        plan_uid=optimized.referenced_plan_uid or "",
    )
    found = findings_in((results / ARTIFACT_FILES["result"]).read_bytes())
    data = _report_data(case, objectives, predicted, before, metrics[0], comparison, found, work)
    with whole_folder(folder, COMPARISON_FILES.values(), f"the comparison of case {work.case_id}") as staging:
        write_case_report(data, staging / COMPARISON_FILES["report"])
        write_json(staging / COMPARISON_FILES["dvh"], _dvh_content(data, comparison))
    return tuple(Artifact(kind, name, sha256_of(folder / name), None) for kind, name in COMPARISON_FILES.items())


def _require_one_case(case: PatientCase, predicted: DoseObject, optimized: DoseObject) -> None:
    if predicted.patient_key != optimized.patient_key or predicted.study_instance_uid != optimized.study_instance_uid:
        raise IdentityRefusal(
            "two-patients",
            "The dose that came back is of another patient or study than the prediction.",
            dose=optimized.sop_instance_uid,
        )
    named = optimized.referenced_structure_set_uid
    if named is not None and named != case.identity.structure_set_uid:
        raise IdentityRefusal(
            "other-structure-set",
            "The dose that came back was computed on another structure set than the prediction.",
            dose_names=named,
            predicted_on=case.identity.structure_set_uid,
        )


def _differences(before: Sequence[Dvh], after: Sequence[Dvh]) -> dict[int, DvhDifference]:
    return {
        one.roi_number: compare_dvhs(one, other)
        for one, other in zip(before, after, strict=True)
        if not one.is_empty and not other.is_empty
    }


def _report_data(
    case: PatientCase,
    objectives: ObjectiveSet,
    predicted: DoseObject,
    dvhs: tuple[Dvh, ...],
    metrics: Mapping[int, Mapping[str, float]],
    comparison: Comparison,
    found: Sequence[Finding],
    work: Reimport,
) -> CaseReportData:
    inputs = {artifact.sop_instance_uid: artifact.sha256 for artifact in work.artifacts if artifact.sop_instance_uid}
    inputs |= {comparison.dose_uid: work.dose_sha256, comparison.plan_uid: work.plan_sha256}
    made = objectives.provenance
    return CaseReportData(
        case_id=work.case_id,
        ct=case.ct,
        dose=predicted.dose,
        structures=case.structures,
        prescription=objectives.prescription,
        dvhs=dvhs,
        metrics=metrics,
        provenance=replace(
            made,
            software_version=__version__,
            input_uids={**case.input_uids, **inputs},
            created_utc=datetime.now(UTC),
        ),
        model=ModelStatement(made.model_id, "See the report of the prediction."),
        objectives=objective_rows(objectives),
        findings=each_once(
            (
                *found,
                *case.findings,
                *_notice(work),
                *uncovered(comparison.dvhs, "the grid of the dose that came back"),
            )
        ),
        patient_id=case.identity.patient_id,
        patient_name=case.identity.patient_name.replace("^", " ").strip(),
        study_date=case.identity.study_date,
        comparison=comparison,
    )


def _notice(work: Reimport) -> list[Finding]:
    """Say where nothing shows that the plan was made for these objectives."""
    if work.follows:
        return []
    message = (
        "The plan of the dose that came back does not name the exported plan as its predecessor, and no receipt of "
        "Eclipse says that it got these objectives: nothing but the structure set links the two, and it may have been "
        "made for others."
    )
    return [Finding("plan-not-linked", "warning", message)]


def _dvh_content(data: CaseReportData, comparison: Comparison) -> dict[str, object]:
    content = dvh_json(comparison.dvhs, comparison.metrics, data.provenance)
    differences = [{"roi_number": number, **asdict(found)} for number, found in comparison.differences.items()]
    return {**content, "optimized_less_predicted": differences}
