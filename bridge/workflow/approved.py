"""What was approved, as a planning system takes it: the objectives of a case with the record of who approved them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal
from bridge.workflow import jobs
from bridge.workflow.release import result_folder
from bridge.workflow.schema import AuditRow
from objective_extraction.approval import Approval
from objective_extraction.objective_json import objective_set_from_json
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["approved_objectives"]


def approved_objectives(session: Session, case_id: str, cases_folder: Path) -> tuple[ObjectiveSet, Approval]:
    """Give the objectives of a case and their newest approval, for :meth:`bridge.tps.eclipse.EclipseFolder.hand_over`.

    Parameters
    ----------
    cases_folder
        Where the results of all cases lie.

    Raises
    ------
    ApprovalRefusal
        Nobody approved the case (``not-approved``), or its newest objectives are not those that were approved
        (``artifact-changed``).
    Refusal
        The file is not an objective set.
    """
    query = select(AuditRow).where(AuditRow.case_id == case_id, AuditRow.action == "case-approved")
    event = session.scalars(query.order_by(AuditRow.id.desc()).limit(1)).first()
    done = jobs.last_done(session, case_id)
    if event is None or done is None:
        raise ApprovalRefusal("not-approved", f"Nobody approved the objectives of case {case_id}.")
    job, artifacts = done
    (artifact,) = [artifact for artifact in artifacts if artifact.kind == "objectives"]
    path = result_folder(cases_folder, job) / artifact.path
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != event.detail["artifacts"]["objectives"]:
        raise ApprovalRefusal(
            "artifact-changed",
            f"{artifact.path} of case {case_id} is not the file that {event.actor} approved. Look at it again.",
        )
    objectives = objective_set_from_json(data)
    return objectives, Approval(event.actor, event.utc, objectives.sha256)
