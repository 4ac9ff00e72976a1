"""Approving and rejecting: what a form and a program have in common."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bridge.rt.errors import AccessRefusal, ApprovalRefusal
from bridge.web.identify import require_password
from bridge.web.visit import Visit
from bridge.workflow.opened_case import OpenedCase, open_case
from bridge.workflow.results import CaseResults, results_of
from bridge.workflow.revisions import Revision, newest_revision, require_version
from bridge.workflow.sealing import enter, seal
from bridge.workflow.signing import reject, sign

__all__ = ["Decision", "approve", "rejected"]


@dataclass(frozen=True)
class Decision:
    """What somebody decides about: the revision that he saw, and the hash of its objectives."""

    version: str
    objectives_sha256: str


def approve(visit: Visit, decision: Decision, password: str) -> bool:
    """Sign a case as the visitor, who shows once more that it is he; edited objectives become files first.

    Returns
    -------
    bool
        Whether the case is released; otherwise another person must sign as well.

    Raises
    ------
    AccessRefusal
        The password is wrong.
    ApprovalRefusal
        The case is not what the visitor saw (``edit-stale``, ``other-objectives``), or cannot be signed; see
        :func:`bridge.workflow.signing.sign`.
    """
    room = visit.room
    try:
        require_password(room, visit.user.name, password, visit.address)
    except AccessRefusal as refusal:
        if refusal.code != "login-refused":
            raise
        # who signs is logged in: there is no secret in that he is a user
        told = "Nothing was signed: the password is wrong."
        raise AccessRefusal(refusal.code, told, **refusal.where) from refusal
    with room.deciding:
        return _approved(visit, decision)


def _approved(visit: Visit, decision: Decision) -> bool:
    """Sign; one at a time, or two would write the same files at once and neither would find its own."""
    room, case_id = visit.room, visit.path["case_id"]
    with room.store.transaction() as session:
        results, revision = _decided(session, visit, decision.version)
    if revision.objectives.sha256 != decision.objectives_sha256:
        raise ApprovalRefusal("other-objectives", f"These are not the objectives of case {case_id} now. Load it again.")
    sealed = None
    if revision.number > 0:
        sealed = seal(_opened(visit), revision, room.cases_folder, room.settings)
    with room.store.transaction() as session:
        results, revision = _decided(session, visit, decision.version)  # sealing took seconds
        if sealed is not None:
            enter(session, revision, results.job, *sealed, actor=visit.user.name)
            results = results_of(session, room.cases_folder, case_id)
        return sign(session, results, room.cases_folder, visit.user, room.clock(), room.release)


def rejected(visit: Visit, version: str, reason: str) -> None:
    """Reject a case as the visitor; raises as :func:`bridge.workflow.signing.reject`, or ``edit-stale``."""
    with visit.room.store.transaction() as session:
        results, _ = _decided(session, visit, version)
        reject(session, results, visit.user, reason)


def _decided(session: Session, visit: Visit, version: str) -> tuple[CaseResults, Revision]:
    results = results_of(session, visit.room.cases_folder, visit.path["case_id"])
    revision = newest_revision(session, results)
    require_version(session, results, revision, version)
    return results, revision


def _opened(visit: Visit) -> OpenedCase:
    """Read the case from disk once more: what is signed is what lies there now, not what was looked at."""
    room = visit.room
    return open_case(room.store, room.cases_folder, visit.path["case_id"], room.settings)
