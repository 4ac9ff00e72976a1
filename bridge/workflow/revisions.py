"""Revisions: the objectives of a prediction as people changed them, one after the other, none over another unseen.

Revision 0 is what was extracted. Every change makes a new one that names who made it; nothing is ever overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal
from bridge.workflow import audit
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.results import CaseResults
from bridge.workflow.schema import RevisionRow, SignatureRow
from objective_extraction.edit import ChangedRow, NewRow, edited
from objective_extraction.objective_json import objective_set_from_json, objective_set_to_json
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["Revision", "history", "newest_revision", "require_unedited", "require_version", "revise"]

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Revision:
    """Objectives at one point of their history.

    Attributes
    ----------
    job_id, number
        The prediction, and how often its objectives were changed.
    author, created_utc, changes
        Who changed what, when; None and none of it for what was extracted.
    objectives
        The whole set.
    """

    job_id: int
    number: int
    author: str | None
    created_utc: datetime | None
    changes: tuple[str, ...]
    objectives: ObjectiveSet

    @property
    def version(self) -> str:
        """What an editor names to say which revision he saw."""
        return f"{self.job_id}-{self.number}"


def newest_revision(session: Session, results: CaseResults) -> Revision:
    """Give the objectives as they are now.

    Raises
    ------
    ApprovalRefusal
        They are not what was written (``artifact-changed``, ``objectives-changed``).
    """
    rows = _rows(session, results.job.id)
    if not rows:
        return Revision(results.job.id, 0, None, None, (), objective_set_from_json(results.read("objectives")))
    row = rows[-1]
    objectives = objective_set_from_json(row.document)
    if objectives.sha256 != row.objectives_sha256:
        raise ApprovalRefusal("objectives-changed", "The objectives in the database are not those that were edited.")
    return Revision(row.job_id, row.number, row.author, row.created_utc, tuple(row.changes), objectives)


def history(session: Session, results: CaseResults, after: int = 0) -> list[str]:
    """Tell who changed what since a revision, oldest first."""
    return [
        f"{row.author} at {row.created_utc:%Y-%m-%d %H:%M} UTC: {'; '.join(row.changes)}"
        for row in _rows(session, results.job.id)
        if row.number > after
    ]


def revise(
    session: Session, results: CaseResults, version: str, rows: Sequence[ChangedRow | NewRow], author: str
) -> Revision:
    """Change the objectives of a case. What was signed or released before is void, and the case is in review.

    Parameters
    ----------
    version
        The revision that the author saw.
    rows
        See :func:`objective_extraction.edit.edited`.

    Raises
    ------
    ApprovalRefusal
        Somebody changed them meanwhile (``edit-stale``), or the case is not where it can be edited
        (``not-editable``).
    Refusal
        What is asked for cannot be.
    """
    case_id = results.job.case_id
    state = get_case(session, case_id).state
    if state not in (CaseState.REVIEW, CaseState.REJECTED, CaseState.DELIVERED):
        raise ApprovalRefusal(
            "not-editable",
            f"Case {case_id} is {state.value}. Objectives can be edited in review, when rejected and once delivered.",
        )
    before = newest_revision(session, results)
    require_version(session, results, before, version)
    after, changes = edited(before.objectives, rows, _roi_numbers(results))
    if not changes:
        return before
    row = RevisionRow(
        job_id=results.job.id,
        number=before.number + 1,
        author=author,
        created_utc=datetime.now(UTC),
        changes=list(changes),
        document=objective_set_to_json(after),
        objectives_sha256=after.sha256,
    )
    session.add(row)
    session.flush()
    audit.append(
        session,
        author,
        "objectives-edited",
        case_id,
        revision=row.number,
        before=before.objectives.sha256,
        after=after.sha256,
        changes=list(changes),
    )
    _void(session, results, author, state)
    return Revision(row.job_id, row.number, author, row.created_utc, changes, after)


def require_version(session: Session, results: CaseResults, newest: Revision, version: str) -> None:
    """Refuse what was decided about another revision than the newest (``edit-stale``), saying who changed what."""
    if version == newest.version:
        return
    job_id, _, number = version.partition("-")
    seen = int(number) if number.isdecimal() and job_id == str(newest.job_id) else None
    if seen is None:
        told = ["it was predicted anew, or its edited objectives were signed"]
    else:
        told = history(session, results, seen)[-_SHOWN:]
    raise ApprovalRefusal(
        "edit-stale",
        f"Case {results.job.case_id} changed since you loaded it: {'. '.join(told)}. Nothing of yours was saved; load "
        "it again.",
        version=newest.version,
    )


def require_unedited(session: Session, results: CaseResults) -> None:
    """Refuse to release files while somebody's edits are not in them (``edited-meanwhile``)."""
    told = history(session, results)
    if told:
        raise ApprovalRefusal(
            "edited-meanwhile",
            f"The objectives of case {results.job.case_id} were edited, and its files are without that: {told[-1]}. "
            "Approve it in the review room.",
        )


def _void(session: Session, results: CaseResults, author: str, state: CaseState) -> None:
    case_id = results.job.case_id
    signers = list(session.scalars(select(SignatureRow.user_name).where(SignatureRow.job_id == results.job.id)))
    if signers or state is CaseState.DELIVERED:
        audit.append(session, author, "approval-voided", case_id, signed_by=signers, was=state.value)
    set_state(session, case_id, CaseState.REVIEW, f"edited by {author}; waits for approval", author)


def _rows(session: Session, job_id: int) -> Sequence[RevisionRow]:
    query = select(RevisionRow).where(RevisionRow.job_id == job_id).order_by(RevisionRow.number)
    return list(session.scalars(query))


def _roi_numbers(results: CaseResults) -> dict[str, int]:
    """Give the structures that dose was measured in, by name; nothing can be asked of an empty one."""
    structures = results.read_json("dvh")["structures"]
    return {one["roi_name"]: one["roi_number"] for one in structures if one["curve"] is not None}
