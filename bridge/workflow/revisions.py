"""Revisions: the objectives of a prediction as people changed them, one after the other, none over another unseen.

Revision 0 is what was extracted. Every change makes a new one that names who made it; nothing is ever overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import ApprovalRefusal
from bridge.workflow import audit, hand_overs, jobs
from bridge.workflow.cases import RELEASED, CaseState, find_case, get_case, set_state
from bridge.workflow.deliveries import withdraw_deliveries
from bridge.workflow.results import CaseResults
from bridge.workflow.schema import RevisionRow, SignatureRow
from bridge.workflow.stops import require_going
from objective_extraction.edit import ChangedRow, NewRow, edited
from objective_extraction.objective_json import objective_set_from_json, objective_set_to_json
from objective_extraction.objective_set import ObjectiveSet

__all__ = [
    "Revision",
    "history",
    "newest_revision",
    "objectives_at",
    "replace_objectives",
    "require_unedited",
    "require_version",
    "revise",
    "revisions_of",
    "take_back",
    "void",
]

_SHOWN = 5
_DECIDED = (CaseState.REVIEW, *RELEASED)
"""Where something may have been signed or released."""

_LEAST_LATER = timedelta(microseconds=1)


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
    rows = revisions_of(session, results.job.id)
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
        for row in revisions_of(session, results.job.id)
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
        (``not-editable``, ``case-stopped``).
    Refusal
        What is asked for cannot be.
    """
    with _wish_told(session, results, version, rows):
        before = _editable(session, results, version)
    after, changes = edited(before.objectives, rows, _roi_numbers(results))
    return _revised(session, results, before, after, changes, author)


def replace_objectives(
    session: Session,
    results: CaseResults,
    version: str,
    after: ObjectiveSet,
    changes: Sequence[str],
    author: str,
    template: str,
) -> Revision:
    """Put other objectives in the place of those of a case, which somebody saw; otherwise as :func:`revise`.

    Parameters
    ----------
    changes
        In words.
    template
        Name and version of the template that they are of.
    """
    before = _editable(session, results, version)
    return _revised(session, results, before, after, changes, author, template)


def _editable(session: Session, results: CaseResults, version: str) -> Revision:
    """Give the objectives as they are, where they can be edited and somebody saw them."""
    case_id = results.job.case_id
    require_going(session, case_id)
    state = get_case(session, case_id).state
    if state not in (CaseState.REVIEW, CaseState.REJECTED, CaseState.DELIVERED):
        raise ApprovalRefusal(
            "not-editable",
            f"Case {case_id} is {state.value}. Objectives can be edited in review, when rejected and once delivered.",
        )
    newest = newest_revision(session, results)
    require_version(session, results, newest, version)
    return newest


def _revised(
    session: Session,
    results: CaseResults,
    before: Revision,
    after: ObjectiveSet,
    changes: Sequence[str],
    author: str,
    template: str | None = None,
) -> Revision:
    if not changes:
        return before
    case_id = results.job.case_id
    now = datetime.now(UTC)
    # Eclipse offers the newest first, and takes each set once: what is edited back is another set than the one before,
    # and the newest one also where the clock was put back
    made = max(now, before.objectives.provenance.created_utc + _LEAST_LATER)
    after = replace(after, provenance=replace(after.provenance, created_utc=made))
    row = RevisionRow(
        job_id=results.job.id,
        number=before.number + 1,
        author=author,
        created_utc=now,
        changes=list(changes),
        template=template,
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
    void(session, case_id, author)
    set_state(session, case_id, CaseState.REVIEW, f"edited by {author}; waits for approval", author)
    return Revision(row.job_id, row.number, author, row.created_utc, tuple(changes), after)


def require_version(session: Session, results: CaseResults, newest: Revision, version: str) -> None:
    """Refuse what was decided about another revision than the newest (``edit-stale``), saying who changed what."""
    if version == newest.version:
        return
    seen = _number_of(version, newest)
    told = [] if seen is None else history(session, results, seen)[-_SHOWN:]
    if not told:
        told = ["it was predicted anew, or its edited objectives were signed"]
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


@contextmanager
def _wish_told(
    session: Session, results: CaseResults, version: str, rows: Sequence[ChangedRow | NewRow]
) -> Iterator[None]:
    """Say in the refusal of a stale edit what it was to change, so that its author need not remember."""
    try:
        yield
    except ApprovalRefusal as refusal:
        seen = objectives_at(session, results, version)
        if seen is None or refusal.code != "edit-stale":
            raise
        _, wanted = edited(seen, rows, _roi_numbers(results))
        wish = "; ".join(wanted) or "nothing"
        message = f"{refusal.message} You wanted: {wish}."
        raise ApprovalRefusal(refusal.code, message, **refusal.where) from refusal


def objectives_at(session: Session, results: CaseResults, version: str) -> ObjectiveSet | None:
    """Give the objectives of this or an earlier version of the same prediction; None where it has no such version."""
    newest = newest_revision(session, results)
    number = _number_of(version, newest)
    if number is None or not 0 <= number <= newest.number:
        return None
    if number == 0:
        return objective_set_from_json(results.read("objectives"))
    return objective_set_from_json(revisions_of(session, results.job.id)[number - 1].document)


def _number_of(version: str, newest: Revision) -> int | None:
    """Give the number of a revision by its version; None where that is of another prediction."""
    job_id, _, number = version.partition("-")
    return int(number) if re.fullmatch("[0-9]{1,9}", number) and job_id == str(newest.job_id) else None


def void(session: Session, case_id: str, actor: str) -> None:
    """Say on record that what was signed or released counts no more, where anything was, and have it withdrawn.

    Called while the case is still where that was done.
    """
    done, state = jobs.last_done(session, case_id), get_case(session, case_id).state
    if done is None:
        return
    signers = list(session.scalars(select(SignatureRow.user_name).where(SignatureRow.job_id == done[0].id)))
    if signers or state in RELEASED:
        audit.append(session, actor, "approval-voided", case_id, signed_by=signers, was=state.value)
        hand_overs.withdraw(session, case_id)
        withdraw_deliveries(session, case_id)


def take_back(session: Session, case_id: str, actor: str = audit.SYSTEM) -> None:
    """Void what was signed or released of a case that has other files now: it was decided without these."""
    case = find_case(session, case_id)
    if case is not None and case.state in _DECIDED:
        void(session, case_id, actor)


def revisions_of(session: Session, job_id: int) -> Sequence[RevisionRow]:
    """Give all edits of the objectives of a prediction, oldest first."""
    query = select(RevisionRow).where(RevisionRow.job_id == job_id).order_by(RevisionRow.number)
    return list(session.scalars(query))


def _roi_numbers(results: CaseResults) -> dict[str, int]:
    """Give the structures that dose was measured in, by name; nothing can be asked of an empty one."""
    structures = results.read_json("dvh")["structures"]
    return {one["roi_name"]: one["roi_number"] for one in structures if one["curve"] is not None}
