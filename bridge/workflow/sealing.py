"""Sealing: edited objectives become files, all made anew, so that every one of them says the same.

The plan holds the objectives and the dose names the plan, so both get new UIDs; the dose itself is the predicted one.
A sealed revision is a result of the case like any other: what releases, delivers and compares need not know of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from bridge.rt.errors import ModelRefusal
from bridge.rt.findings import Finding
from bridge.workflow import audit
from bridge.workflow.export import export_case, plan_partial
from bridge.workflow.jobs import Artifact, Job, result_folder
from bridge.workflow.opened_case import OpenedCase
from bridge.workflow.pipeline import CaseResult, measure
from bridge.workflow.results import CaseResults
from bridge.workflow.revisions import Revision
from bridge.workflow.schema import ArtifactRow, JobRow
from config.settings import Settings
from models.predictor import Prediction
from models.preference import NEUTRAL
from models.registry import load_model
from objective_extraction.eclipse_template import template_findings
from objective_extraction.objective_json import objective_set_from_json
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["enter", "findings_with", "seal"]

_MADE_AGAIN = "plan-partial"


def seal(opened: OpenedCase, revision: Revision, cases_folder: Path, settings: Settings) -> tuple[str, list[Artifact]]:
    """Write the files of an edited case; takes seconds, and touches no database.

    Returns
    -------
    key, artifacts
        What :func:`enter` is to be given.

    Raises
    ------
    ModelRefusal
        The model is no longer the one that predicted the dose (``model-changed``).
    Refusal
        A file on disk was changed.
    StorageFailure
        A file cannot be written.
    """
    job, objectives = opened.results.job, revision.objectives
    key = hashlib.sha256(f"{job.input_sha256} {revision.number} {objectives.sha256}".encode()).hexdigest()
    predictor = load_model(objectives.provenance.model_id)
    if predictor.sha256 != objectives.provenance.model_sha256:
        raise ModelRefusal(
            "model-changed",
            f"Model {predictor.card.id!r} is another one than when case {job.case_id} was predicted. Have it predicted "
            "again.",
        )
    prediction = Prediction(opened.dose, predictor.card.id, predictor.sha256, NEUTRAL)
    result = CaseResult(
        case=replace(opened.case, findings=_findings_of_case(opened.results)),
        prediction=prediction,
        dvhs=measure(opened.case.structures, opened.dose, objectives.dvh_policy),
        objectives=objectives,
        provenance=objectives.provenance,
        voxel_sd_gy=_voxel_sd_gy(opened.results),
    )
    folder = result_folder(cases_folder, Job(0, job.case_id, key, job.inputs))
    return key, export_case(result, predictor.card, job.case_id, folder, settings)


def enter(session: Session, revision: Revision, job: Job, key: str, artifacts: Sequence[Artifact], actor: str) -> None:
    """Make sealed files the newest results of their case."""
    now = datetime.now(UTC)
    row = JobRow(
        case_id=job.case_id,
        input_sha256=key,
        inputs=list(job.inputs),
        preference=None if job.preference is None else dict(job.preference),
        state="done",
        attempts=0,
        sealed_of=job.id,
        message=f"revision {revision.number} of job {job.id}",
        created_utc=now,
        started_utc=now,
        finished_utc=now,
    )
    session.add(row)
    session.flush()
    session.add_all(
        ArtifactRow(job_id=row.id, kind=a.kind, path=a.path, sha256=a.sha256, sop_instance_uid=a.sop_instance_uid)
        for a in artifacts
    )
    session.flush()
    audit.append(
        session,
        actor,
        "objectives-sealed",
        job.case_id,
        revision=revision.number,
        objectives_sha256=revision.objectives.sha256,
        artifacts={artifact.kind: artifact.sha256 for artifact in artifacts},
    )


def findings_with(results: CaseResults, objectives: ObjectiveSet) -> tuple[Finding, ...]:
    """Give what sealed results would say of a case, its dose and these objectives; raises as ``results.read``."""
    return (
        *_findings_of_case(results),
        *objectives.findings,
        *template_findings(objectives),
        *plan_partial(objectives),
    )


def _findings_of_case(results: CaseResults) -> tuple[Finding, ...]:
    """Give what was found about case and dose, without what the export says of objectives and makes again."""
    extracted = objective_set_from_json(results.read("objectives"))
    about_objectives = (*extracted.findings, *template_findings(extracted))
    return tuple(
        finding for finding in results.findings() if finding.code != _MADE_AGAIN and finding not in about_objectives
    )


def _voxel_sd_gy(results: CaseResults) -> dict[int, float]:
    """Give the model's own uncertainty, which the dose alone does not tell, from where it was written."""
    metrics = {one["roi_number"]: one["metrics"] or {} for one in results.read_json("dvh")["structures"]}
    return {number: of_one["voxel_sd_gy"] for number, of_one in metrics.items() if "voxel_sd_gy" in of_one}
