"""Decisions that only a person can take: try, predict or send a case again, and say which of two contents holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.node.completeness import Verdict, study_state
from bridge.node.instances import Source
from bridge.rt.errors import ApprovalRefusal, IdentityRefusal
from bridge.workflow import audit, hand_overs, jobs
from bridge.workflow.cases import CaseState, CaseView, get_case, list_cases, set_state
from bridge.workflow.deliveries import deliveries_of
from bridge.workflow.instances import instances_of
from bridge.workflow.lineage import whole_history
from bridge.workflow.reasons import require_reason
from bridge.workflow.reimport import plans_from_outside
from bridge.workflow.results import CaseResults
from bridge.workflow.revisions import take_back, void
from bridge.workflow.schema import DeliveryRow, HandOverRow, InstanceRow, JobRow
from bridge.workflow.stops import require_going

__all__ = ["Content", "contents_of", "is_repeatable", "keep", "predict_again", "retry", "send_again"]


@dataclass(frozen=True)
class Content:
    """One of the contents that came under a SOP Instance UID."""

    sha256: str
    received_utc: datetime
    source: Source
    path: Path
    set_aside: bool


def retry(session: Session, case_id: str, actor: str) -> None:
    """Try a refused or failed case again with what it has: its prediction, or what could not be delivered.

    Raises
    ------
    ApprovalRefusal
        The case is stopped, neither refused nor failed, or it has nothing to try again (``nothing-to-retry``).
    """
    _require_name(actor)
    require_going(session, case_id)
    case = get_case(session, case_id)
    if case.state not in (CaseState.REFUSED, CaseState.FAILED):
        raise ApprovalRefusal(
            "nothing-to-retry", f"Case {case_id} is {case.state.value}; only refused and failed cases are tried again."
        )
    _require_told_apart(session, case, "nothing-to-retry")
    given_up, not_handed_over = _not_sent(session, case_id)
    query = select(JobRow).where(JobRow.case_id == case_id).order_by(JobRow.id.desc()).limit(1)
    job = session.scalars(query).first()
    if job is not None and job.state in ("refused", "failed"):
        job.state, job.attempts = "queued", 0
        set_state(session, case_id, CaseState.QUEUED, f"tried again by {actor}", actor)
    elif given_up or not_handed_over:
        for hand_over in not_handed_over:
            hand_overs.try_again(hand_over)
        for row in given_up:
            row.state, row.attempts_utc, row.next_attempt_utc, row.finished_utc = "pending", [], datetime.now(UTC), None
        set_state(session, case_id, CaseState.DELIVERING, f"tried again by {actor}", actor)
    else:
        raise ApprovalRefusal(
            "nothing-to-retry",
            f"Case {case_id} was refused before a prediction: {case.reason} Mend that at the source and send it again.",
        )


def predict_again(
    session: Session,
    results: CaseResults,
    actor: str,
    reason: str,
    preference: Mapping[str, Any] | None = None,
    *,
    leaves_edits: bool = False,
) -> None:
    """Have a predicted case predicted again; what was signed or released before is void.

    Parameters
    ----------
    results
        Its newest ones. They stay on record with the edits of their objectives; the new results begin without these.
    preference
        As :func:`models.preference.preference_of` takes it; None for what the settings say.
    leaves_edits
        Whether whoever asks knows that edits are left behind.

    Raises
    ------
    ApprovalRefusal
        The case is stopped or not where it can be predicted again (``not-repeatable``), no reason is given, or it has
        edits and nobody said that they may be left behind (``edits-left-behind``).
    """
    case_id = results.job.case_id
    require_going(session, case_id)
    if not is_repeatable(session, case_id):
        raise ApprovalRefusal(
            "not-repeatable",
            f"Case {case_id} is {get_case(session, case_id).state.value}. A case is predicted again in review, when "
            "rejected, once it is delivered or could not be, and where a prediction of the same files came to nothing.",
        )
    _require_told_apart(session, get_case(session, case_id), "not-repeatable")
    reason = require_reason(reason)
    edits = len(whole_history(session, results))
    if edits and not leaves_edits:
        raise ApprovalRefusal(
            "edits-left-behind",
            f"A new prediction begins without the edits of these objectives, {edits} so far. Say that they may be left "
            "behind.",
        )
    void(session, case_id, actor)
    jobs.queue_again(session, results.job, preference)
    audit.append(
        session,
        actor,
        "prediction-repeated",
        case_id,
        reason=reason,
        preference=None if preference is None else dict(preference),
        edits_left_behind=edits,
    )
    set_state(session, case_id, CaseState.QUEUED, f"to be predicted again, {actor} asks", actor)


def is_repeatable(session: Session, case_id: str) -> bool:
    """Tell if a case stands where it can be predicted again.

    It does where another prediction of the same files was refused or failed: a wish that is in vain can be given up.
    One of other files is tried again instead.
    """
    state, done = get_case(session, case_id).state, jobs.last_done(session, case_id)
    if state in (CaseState.REFUSED, CaseState.FAILED):
        return done is not None and jobs.newest_inputs(session, case_id) == set(done[0].inputs)
    return state in (CaseState.REVIEW, CaseState.REJECTED, CaseState.DELIVERED)


def send_again(session: Session, case_id: str, destination: str, actor: str, reason: str) -> None:
    """Send what was released of a case once more to one destination, or to Eclipse.

    Raises
    ------
    ApprovalRefusal
        The case is stopped, nothing of it was released, it is being sent (``not-sent``), or no reason is given.
    """
    require_going(session, case_id)
    state = get_case(session, case_id).state
    reason = require_reason(reason)
    done = jobs.last_done(session, case_id)
    if state not in (CaseState.DELIVERED, CaseState.FAILED) or done is None or not jobs.is_settled(session, case_id):
        raise ApprovalRefusal(
            "not-sent", f"Case {case_id} is {state.value}; only what was sent, or could not be, is sent again."
        )
    artifacts = done[1]
    released = {artifact.sop_instance_uid for artifact in artifacts}
    rows = [
        row
        for row in deliveries_of(session, case_id)
        if row.destination == destination and row.sop_instance_uid in released
    ]
    handed = hand_overs.newest_hand_over(session, case_id, [artifact.sha256 for artifact in artifacts])
    is_void = handed is not None and handed.state in ("withdrawing", "withdrawn")
    hand_over = handed if destination == hand_overs.ECLIPSE and not is_void else None
    if not rows and hand_over is None:
        raise ApprovalRefusal("not-sent", f"Nothing of case {case_id} as it is now was ever sent to {destination!r}.")
    for row in rows:
        row.state, row.attempts_utc, row.next_attempt_utc, row.finished_utc = "pending", [], datetime.now(UTC), None
    if hand_over is not None:
        hand_overs.try_again(hand_over)
    audit.append(session, actor, "sent-again", case_id, destination=destination, reason=reason)
    set_state(session, case_id, CaseState.DELIVERING, f"again to {destination}, {actor} asks", actor)


def _not_sent(session: Session, case_id: str) -> tuple[Sequence[DeliveryRow], Sequence[HandOverRow]]:
    """Give what was given up of the newest results; what went before them is not sent any more."""
    done = jobs.last_done(session, case_id)
    if done is None:
        return [], []
    uids = {artifact.sop_instance_uid for artifact in done[1]}
    failed = [row for row in deliveries_of(session, case_id) if row.state == "failed" and row.sop_instance_uid in uids]
    row = hand_overs.newest_hand_over(session, case_id, [artifact.sha256 for artifact in done[1]])
    return failed, [row] if row is not None and row.state == "failed" else []


def contents_of(session: Session, sop_instance_uid: str) -> Sequence[Content]:
    """Give all contents that came under a SOP Instance UID, in the order in which they came."""
    query = select(InstanceRow).where(InstanceRow.sop_instance_uid == sop_instance_uid).order_by(InstanceRow.id)
    return [
        Content(row.sha256, row.received_utc, Source(**row.source), Path(row.path), row.set_aside)
        for row in session.scalars(query)
    ]


def keep(session: Session, sop_instance_uid: str, sha256: str, actor: str) -> None:
    """Say which content of a SOP Instance UID holds; the others stay on disk but are no longer looked at.

    Cases that were refused are looked at again. So are those that were predicted, or are to be, from a content that
    does not hold: what was signed or released of them is void.

    Parameters
    ----------
    sha256
        Beginning of the hash of the content that holds, at least 8 digits.

    Raises
    ------
    IdentityRefusal
        No single content begins like that (``content-unknown``).
    """
    _require_name(actor)
    query = select(InstanceRow).where(InstanceRow.sop_instance_uid == sop_instance_uid)
    rows = list(session.scalars(query))
    chosen = [row for row in rows if len(sha256) >= 8 and row.sha256.startswith(sha256.lower())]
    if len(chosen) != 1:
        known = ", ".join(row.sha256[:12] for row in rows) or "none"
        raise IdentityRefusal(
            "content-unknown",
            f"Name the content that holds by 8 or more digits of its hash; under this UID there are: {known}.",
            sop_instance_uid=sop_instance_uid,
        )
    for row in rows:
        row.set_aside = row is not chosen[0]
    audit.append(session, actor, "content-kept", None, sop_instance_uid=sop_instance_uid, sha256=chosen[0].sha256)
    others = {row.sha256 for row in rows if row.set_aside}
    for case in list_cases(session, chosen[0].study_instance_uid):
        if case.state is CaseState.REFUSED or others & jobs.newest_inputs(session, case.id):
            take_back(session, case.id, actor)
            set_state(session, case.id, CaseState.WAITING, f"{actor} decided which content holds", actor)


def _require_told_apart(session: Session, case: CaseView, code: str) -> None:
    """Refuse to go on with a study of two patients, or of two contents under one UID."""
    study = study_state(plans_from_outside(session, instances_of(session, case.study_instance_uid)))
    if study.verdict is Verdict.REFUSED:
        raise ApprovalRefusal(code, f"Case {case.id} cannot be predicted or sent as it is: {study.reason}")


def _require_name(actor: str) -> None:
    if not actor.strip():
        raise ApprovalRefusal("decision-without-name", "A decision needs the name of the person who takes it.")
