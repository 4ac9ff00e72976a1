"""Where the objectives of a case come from: from what was extracted, through edits and templates, to what they are now.

Objectives that are sealed become results of their own, which can be edited again; the lineage leads back through them
to the prediction that they all are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.workflow import jobs
from bridge.workflow.results import CaseResults
from bridge.workflow.revisions import history, revisions_of
from bridge.workflow.schema import AuditRow, JobRow, RevisionRow
from objective_extraction.objective_json import objective_set_from_json
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["LeftBehind", "edits_left_behind", "extracted", "stages", "whole_history"]


@dataclass(frozen=True)
class LeftBehind:
    """Edits of earlier predictions of a case, which the newest one does not have.

    Attributes
    ----------
    edits
        Who changed what, by version, oldest first.
    reasons
        Who had the case predicted again, and why, oldest first.
    """

    edits: Sequence[str]
    reasons: Sequence[str]


def edits_left_behind(session: Session, results: CaseResults) -> LeftBehind:
    """Give the edits that people made before the case was predicted again: a new prediction begins without them."""
    first, case_id = _lineage(session, results)[0].job.id, results.job.case_id
    query = select(RevisionRow).join(JobRow, JobRow.id == RevisionRow.job_id)
    query = query.where(JobRow.case_id == case_id, JobRow.id < first).order_by(RevisionRow.job_id, RevisionRow.number)
    edits = [
        f"version {row.job_id}-{row.number}, {row.author} at {row.created_utc:%Y-%m-%d %H:%M} UTC: "
        f"{'; '.join(row.changes)}"
        for row in session.scalars(query)
    ]
    repeated = select(AuditRow).where(AuditRow.case_id == case_id, AuditRow.action == "prediction-repeated")
    reasons = [
        f"{event.actor} at {event.utc:%Y-%m-%d %H:%M} UTC: {event.detail.get('reason', '')}"
        for event in session.scalars(repeated.order_by(AuditRow.id))
    ]
    return LeftBehind(edits, reasons)


def extracted(session: Session, results: CaseResults) -> ObjectiveSet:
    """Give what was extracted from the predicted dose; raises as :meth:`bridge.workflow.results.CaseResults.read`."""
    return objective_set_from_json(_lineage(session, results)[0].read("objectives"))


def stages(session: Session, results: CaseResults) -> Sequence[tuple[str, ObjectiveSet]]:
    """Give the objectives as extracted, after the newest template, and as they are now, each with its heading."""
    rows = [row for each in _lineage(session, results) for row in revisions_of(session, each.job.id)]
    found = [("Extracted", extracted(session, results))]
    templates = [row for row in rows if row.template]
    found += [(f"Template {row.template}", objective_set_from_json(row.document)) for row in templates[-1:]]
    if rows and not rows[-1].template:
        found.append(("Now", objective_set_from_json(rows[-1].document)))
    return found


def whole_history(session: Session, results: CaseResults) -> Sequence[str]:
    """Tell who changed what since the prediction, oldest first, also what has been signed since."""
    return [line for each in _lineage(session, results) for line in history(session, each)]


def _lineage(session: Session, results: CaseResults) -> Sequence[CaseResults]:
    """Give the prediction, and what was sealed of it, up to these results."""
    found = [results]
    while (before := session.get_one(JobRow, found[0].job.id).sealed_of) is not None:
        job, artifacts = jobs.done_by(session, before)
        found.insert(0, CaseResults(job, artifacts, jobs.result_folder(results.folder.parent.parent, job)))
    return found
