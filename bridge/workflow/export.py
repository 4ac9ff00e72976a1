"""Export: a case's results as the files that people and planning systems take."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bridge.dicom.uids import derived_uid
from bridge.dicom.write_dose import write_rtdose
from bridge.dicom.write_plan import write_rtplan
from bridge.report.case_report import CaseReportData, ModelStatement, ObjectiveRow, write_case_report
from bridge.report.tables import dvh_json
from bridge.rt.anatomy import external_of
from bridge.rt.case import PatientCase
from bridge.rt.dvh import Dvh
from bridge.rt.findings import Finding
from bridge.rt.metrics import structure_metrics
from bridge.rt.plan_metrics import conformity
from bridge.rt.prescription import Prescription
from bridge.rt.provenance import Provenance
from bridge.tps.dose_references import dose_references
from bridge.workflow.jobs import Artifact
from bridge.workflow.pipeline import CaseResult
from bridge.workflow.whole_folder import whole_folder
from config.settings import Settings
from models.card import ModelCard
from objective_extraction.eclipse_template import template_findings, write_template
from objective_extraction.edit import is_edited
from objective_extraction.objective_json import write_objective_set
from objective_extraction.objective_set import ObjectiveSet, canonical_json
from objective_extraction.objectives import (
    GeudObjective,
    LineObjective,
    MeanObjective,
    Objective,
    PointObjective,
)

__all__ = [
    "ARTIFACT_FILES",
    "export_case",
    "exported_uid",
    "metrics_of",
    "objective_rows",
    "plan_metrics",
    "plan_partial",
    "predicted_uid",
    "sha256_of",
    "write_json",
]

ARTIFACT_FILES: Mapping[str, str] = {
    "predicted_dose": "rtdose.dcm",
    "predicted_plan": "rtplan.dcm",
    "dvh": "dvh.json",
    "objectives": "objectives.json",
    "objective_template": "objectives.xml",
    "report": "report.html",
    "result": "result.json",
}
"""Kind of artifact to file name. All names are ours: nothing received is ever part of a path."""


def export_case(result: CaseResult, card: ModelCard, case_id: str, folder: Path, settings: Settings) -> list[Artifact]:
    """Write everything about a case into a folder that appears whole or not at all.

    Parameters
    ----------
    result
        What the pipeline worked out.
    card
        Card of the model that predicted the dose.
    case_id
        The bridge's own label, for the report.
    folder
        See :func:`bridge.workflow.whole_folder.whole_folder`.
    settings
        Labels and pixel depth.

    Returns
    -------
    list of Artifact
        Paths are file names within the folder.

    Raises
    ------
    StorageFailure
        The folder holds something that is not a result (``folder-in-use``), or a file cannot be written.
    """
    with whole_folder(folder, ARTIFACT_FILES.values(), f"case {case_id}") as staging:
        uids = _write_dicom(result, staging, settings)
        metrics = metrics_of(result)
        write_json(staging / ARTIFACT_FILES["dvh"], dvh_json(result.dvhs, metrics, result.provenance))
        write_objective_set(result.objectives, staging / ARTIFACT_FILES["objectives"])
        write_template(result.objectives, staging / ARTIFACT_FILES["objective_template"])
        write_case_report(_report_data(result, card, case_id, metrics), staging / ARTIFACT_FILES["report"])
        files = {kind: name for kind, name in ARTIFACT_FILES.items() if kind != "result"}
        hashes = {name: sha256_of(staging / name) for name in files.values()}
        write_json(staging / ARTIFACT_FILES["result"], _summary(result, card, case_id, hashes))
    return [Artifact(kind, name, sha256_of(folder / name), uids.get(kind)) for kind, name in ARTIFACT_FILES.items()]


def metrics_of(result: CaseResult) -> dict[int, dict[str, float]]:
    """Give the plan metrics of every structure that has dose, by ROI number; of targets also the conformity."""
    metrics = plan_metrics(result.case, result.dvhs, result.objectives.prescription)
    for number in metrics:
        if number in result.voxel_sd_gy:
            metrics[number]["voxel_sd_gy"] = result.voxel_sd_gy[number]
    return metrics


def plan_metrics(case: PatientCase, dvhs: Sequence[Dvh], prescription: Prescription) -> dict[int, dict[str, float]]:
    """Give the same of any dose from its DVHs."""
    levels = {level.roi_number: level.dose_gy for level in prescription.levels}
    external = external_of(case)
    body = next((dvh for dvh in dvhs if external and dvh.roi_number == external.number), None)
    metrics = {}
    for dvh in dvhs:
        if dvh.is_empty:
            continue
        prescribed_gy = levels.get(dvh.roi_number)
        metrics[dvh.roi_number] = structure_metrics(dvh, prescribed_gy)
        if prescribed_gy is None or body is None or dvh.coverage < 1.0 or body.cc_at_dose(prescribed_gy) == 0.0:
            continue  # conformity is not defined
        metrics[dvh.roi_number] |= asdict(conformity(dvh, body, prescribed_gy))
    return metrics


def _write_dicom(result: CaseResult, folder: Path, settings: Settings) -> dict[str, str]:
    """Write RTDOSE and RTPLAN and give their UIDs."""
    identity, provenance = result.case.identity, result.provenance
    uids = {kind: exported_uid(result.objectives, kind) for kind in ("predicted_dose", "predicted_plan")}
    write_rtplan(
        identity,
        dose_references(result.objectives).references,
        provenance,
        label=settings.labels.plan,
        fractions=result.objectives.prescription.fractions,
        frame_of_reference_uid=result.prediction.dose.grid.frame_of_reference_uid,
        sop_instance_uid=uids["predicted_plan"],
        series_instance_uid=exported_uid(result.objectives, "plan series"),
        path=folder / ARTIFACT_FILES["predicted_plan"],
    )
    write_rtdose(
        result.prediction.dose,
        identity,
        provenance,
        plan_uid=uids["predicted_plan"],
        bits=settings.rtdose.bits,
        sop_instance_uid=uids["predicted_dose"],
        series_instance_uid=exported_uid(result.objectives, "dose series"),
        path=folder / ARTIFACT_FILES["predicted_dose"],
        label=settings.labels.dose_series,
    )
    return uids


def exported_uid(objectives: ObjectiveSet, kind: str) -> str:
    """Give the UID of an object that is exported with objectives: another one where a person changed them.

    The plan holds the objectives, and the dose names the plan: two contents never go under one UID.
    """
    uid = predicted_uid(objectives.provenance, kind)
    return derived_uid(uid, objectives.sha256) if is_edited(objectives) else uid


def predicted_uid(provenance: Provenance, kind: str) -> str:
    """Give the UID of an object that a prediction made; the provenance says which prediction, also long afterwards.

    The same inputs, model, preference and settings give the same UIDs: sending again replaces and doubles nothing.
    """
    inputs = ",".join(f"{uid}={sha256}" for uid, sha256 in sorted(provenance.input_uids.items()))
    preference = canonical_json(dict(provenance.preference)).decode()  # 1.0 is 1, as it is once read from a file
    key = (inputs, provenance.model_sha256, provenance.config_sha256, preference, provenance.software_version)
    return derived_uid(*key, kind)


def _report_data(
    result: CaseResult, card: ModelCard, case_id: str, metrics: Mapping[int, Mapping[str, float]]
) -> CaseReportData:
    return CaseReportData(
        case_id=case_id,
        ct=result.case.ct,
        dose=result.prediction.dose,
        structures=result.case.structures,
        prescription=result.objectives.prescription,
        dvhs=result.dvhs,
        metrics=metrics,
        provenance=result.provenance,
        model=ModelStatement(card.title, card.training, (card.intended_use, *card.limits), card.trained_for),
        objectives=objective_rows(result.objectives),
        findings=_findings(result, card),
        patient_id=result.case.identity.patient_id,
        patient_name=result.case.identity.patient_name.replace("^", " ").strip(),
        study_date=result.case.identity.study_date,
    )


def _findings(result: CaseResult, card: ModelCard) -> tuple[Finding, ...]:
    """Give all findings of a case, with whose plans the model promises and what RTPLAN and template cannot carry."""
    origin = Finding("model-trained-for", "info", f"Model {card.id!r} was trained for: {card.trained_for}.")
    written = (*template_findings(result.objectives), *plan_partial(result.objectives))
    return (origin, *result.findings, *written)


def plan_partial(objectives: ObjectiveSet) -> tuple[Finding, ...]:
    """Say how many objectives have a place in an RTPLAN (``plan-partial``), where not all have."""
    left_out, count = dose_references(objectives).left_out, len(objectives.objectives)
    message = (
        f"The RTPLAN carries {count - len(left_out)} of {count} objectives: dose references have no place for means, "
        "for derived structures and for some points of targets. The objectives file and the template have all of them."
    )
    return (Finding("plan-partial", "info", message),) if left_out else ()


def objective_rows(objectives: ObjectiveSet) -> tuple[ObjectiveRow, ...]:
    """Give the report's table of objectives."""
    return tuple(row for objective in objectives.objectives for row in _rows(objective))


def _rows(objective: Objective) -> list[ObjectiveRow]:
    """Give the lines of the report's table for one objective; a line objective has one for each of its points."""
    kind: str = objective.kind
    points: list[tuple[str, float, float | None]]
    match objective:
        case MeanObjective():
            points = [("upper", objective.dose_gy, None)]
        case GeudObjective():
            kind = f"gEUD a={objective.a:g}"
            points = [(objective.operator, objective.dose_gy, None)]
        case LineObjective():
            points = [(objective.operator, point.dose_gy, point.volume_percent) for point in objective.curve]
        case PointObjective():
            points = [(objective.operator, objective.dose_gy, objective.volume_percent)]
    return [
        ObjectiveRow(objective.roi_name, kind, operator, dose, volume, objective.priority, objective.origin.sentence)
        for operator, dose, volume in points
    ]


def _summary(result: CaseResult, card: ModelCard, case_id: str, hashes: Mapping[str, str]) -> dict[str, object]:
    return {
        "format": "fdp-bridge-result",
        "version": 1,
        "case_id": case_id,
        "provenance": result.provenance.as_dict(),
        "findings": [finding.as_dict() for finding in _findings(result, card)],
        "files_sha256": dict(hashes),
    }


def write_json(path: Path, content: object) -> None:
    """Write a result as JSON."""
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file, as artifacts are bound by it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
