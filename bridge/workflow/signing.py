"""Signing: a person's statement about exactly the files that are exported; enough of them release the case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE
from bridge.workflow import audit
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.jobs import artifact_of
from bridge.workflow.reasons import require_reason
from bridge.workflow.release import Recipient, approve, require_unchanged
from bridge.workflow.results import CaseResults
from bridge.workflow.revisions import newest_revision, require_unedited
from bridge.workflow.schema import SignatureRow
from bridge.workflow.stops import require_going
from bridge.workflow.users import User

__all__ = ["ReleaseRules", "reject", "sign", "signers"]

_STATEMENT = (
    f"I looked at this case and approve the objectives and files named here for the planning system. "
    f"{NOT_FOR_CLINICAL_USE}."
)


@dataclass(frozen=True)
class ReleaseRules:
    """What releases a case, and to whom.

    Attributes
    ----------
    recipients, to_eclipse
        See :func:`bridge.workflow.release.approve`.
    needs_two
        Whether two persons must sign.
    """

    recipients: tuple[Recipient, ...]
    to_eclipse: bool
    needs_two: bool


def signers(session: Session, results: CaseResults) -> Sequence[str]:
    """Give who signed these results, in that order; nobody signed what was edited since."""
    if newest_revision(session, results).number > 0:
        return []
    query = select(SignatureRow.user_name).where(SignatureRow.job_id == results.job.id).order_by(SignatureRow.id)
    return list(session.scalars(query))


def sign(
    session: Session, results: CaseResults, cases_folder: Path, user: User, now: datetime, rules: ReleaseRules
) -> bool:
    """Sign the newest results of a case, and release them when enough have.

    Returns
    -------
    bool
        Whether the case is released.

    Raises
    ------
    ApprovalRefusal
        The case is stopped or not in review, was edited since its files were made, the same person signed it already
        (``signed-already``), or a file was changed.
    """
    job = results.job
    _require_review(session, job.case_id)
    require_unedited(session, results)
    require_unchanged(results.folder, results.artifacts, job.case_id)
    before = signers(session, results)
    if user.name in before:
        raise ApprovalRefusal(
            "signed-already", f"{user.name} signed case {job.case_id} already; another physicist must sign it as well."
        )
    statement = {
        "statement": _STATEMENT,
        "case": job.case_id,
        "user": user.name,
        "role": user.role.value,
        "signed_utc": now.isoformat(),
        "objectives_sha256": newest_revision(session, results).objectives.sha256,
        "artifacts": {artifact.kind: artifact.sha256 for artifact in results.artifacts},
    }
    session.add(SignatureRow(job_id=job.id, user_name=user.name, signed_utc=now, statement=statement))
    session.flush()
    audit.append(session, user.name, "case-signed", job.case_id, **statement)
    names = [*before, user.name]
    if rules.needs_two and len(names) < 2:
        waits = f"signed by {user.name}; waits for a second physicist"
        set_state(session, job.case_id, CaseState.REVIEW, waits, user.name)
        return False
    seen = artifact_of(results.artifacts, "objectives").sha256
    approve(session, job.case_id, cases_folder, rules.recipients, " and ".join(names), seen, rules.to_eclipse)
    return True


def reject(session: Session, results: CaseResults, user: User, reason: str) -> None:
    """Reject a case in review with a reason; signatures stay on record, and an edit brings the case back.

    Raises
    ------
    ApprovalRefusal
        The case is stopped or not in review, or no reason is given (``reason``).
    """
    job = results.job
    _require_review(session, job.case_id)
    said = f"rejected by {user.name}: {require_reason(reason)}"
    set_state(session, job.case_id, CaseState.REJECTED, said, user.name)


def _require_review(session: Session, case_id: str) -> None:
    require_going(session, case_id)
    state = get_case(session, case_id).state
    if state is not CaseState.REVIEW:
        raise ApprovalRefusal("not-in-review", f"Case {case_id} is {state.value}, not in review.")
