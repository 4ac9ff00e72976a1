"""Re-import: doses that a planning system sends back, each linked by its references to the case that it belongs to.

An RTDOSE names its RTPLAN, and the RTPLAN names the structure set. That the plan was made for our objectives, a receipt
of Eclipse says, which names the plan that got them; or else the RTPLAN, which names our own plan as its predecessor.
Nothing is guessed from names or times: a dose without these references is stored and not linked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.node.instances import StoredInstance
from bridge.workflow import audit, hand_overs, jobs
from bridge.workflow.cases import case_id_of
from bridge.workflow.instances import hashes_of, instances_of
from bridge.workflow.jobs import Artifact, Job
from bridge.workflow.schema import ReimportRow

__all__ = [
    "Reimport",
    "claim_next",
    "finish",
    "give_back",
    "link_doses",
    "plans_from_outside",
    "recover",
    "reimports_of",
]

logger = logging.getLogger(__name__)

_MOST_ATTEMPTS = 3
"""As of predictions: what took the process down three times is not started a fourth time."""


@dataclass(frozen=True)
class Reimport:
    """A dose to compare with a prediction.

    Attributes
    ----------
    id
        Row number.
    job, artifacts
        The prediction that it is compared with, and its files.
    dose_sha256, plan_sha256
        Keys of the spool.
    follows
        Whether its plan got the objectives of this prediction: a receipt of Eclipse says so, or the plan names that of
        the prediction as the one that it comes from.
    """

    id: int
    job: Job
    artifacts: tuple[Artifact, ...]
    dose_sha256: str
    plan_sha256: str
    follows: bool

    @property
    def case_id(self) -> str:
        """The case that it belongs to."""
        return self.job.case_id


def plans_from_outside(session: Session, instances: Sequence[StoredInstance]) -> tuple[StoredInstance, ...]:
    """Give the instances without our own plans that somebody sent back, and without the plans made for our objectives.

    Neither is an input of the prediction that they come from.
    """
    plans = [item for item in instances if item.header.modality == "RTPLAN"]
    named = {uid for item in plans for uid in (item.header.sop_instance_uid, *item.header.referenced_sop_instance_uids)}
    ours = jobs.made_here(session, named)
    from_ours = _filled_with_ours(session, [item.header.sop_instance_uid for item in plans]) | {
        item.header.sop_instance_uid
        for item in plans
        if item.header.sop_instance_uid in ours or item.header.referenced_sop_instance_uids & ours
    }
    return tuple(item for item in instances if item.header.sop_instance_uid not in from_ours)


def _filled_with_ours(session: Session, plan_uids: Sequence[str]) -> set[str]:
    """Give the plans that got our objectives in Eclipse, but for those that were an input before: these stay one."""
    return {
        uid
        for uid, job_id in hand_overs.predictions_in(session, plan_uids).items()
        if not hashes_of(session, uid) & jobs.inputs_beside(session, job_id)
    }


def link_doses(session: Session, study_instance_uid: str) -> None:
    """Queue a comparison for every dose of a study that came back since the last call."""
    instances = instances_of(session, study_instance_uid)
    doses = [item for item in instances if item.header.modality == "RTDOSE"]
    if not doses:
        return
    plans = {item.header.sop_instance_uid: item for item in instances if item.header.modality == "RTPLAN"}
    structure_sets = {item.header.sop_instance_uid for item in instances if item.header.modality == "RTSTRUCT"}
    hashes = [item.sha256 for item in doses]
    known = set(session.scalars(select(ReimportRow.dose_sha256).where(ReimportRow.dose_sha256.in_(hashes))))
    ours = jobs.made_here(session, [*plans, *(item.header.sop_instance_uid for item in doses)])
    for dose in doses:
        plan = _plan_of(dose, plans)
        if dose.sha256 in known or plan is None or {dose.header.sop_instance_uid, plan.header.sop_instance_uid} & ours:
            continue
        planned_on = plan.header.referenced_sop_instance_uids & structure_sets
        if len(planned_on) == 1:
            _link(session, case_id_of(study_instance_uid, *planned_on), dose, plan)


def _plan_of(dose: StoredInstance, plans: Mapping[str, StoredInstance]) -> StoredInstance | None:
    named = dose.header.referenced_sop_instance_uids
    return plans.get(next(iter(named))) if len(named) == 1 else None


def _link(session: Session, case_id: str, dose: StoredInstance, plan: StoredInstance) -> None:
    maker = _maker_of(session, case_id, plan)
    done = maker or jobs.last_done(session, case_id)
    if done is None:
        return  # nothing was predicted yet; it is looked at again when something is
    session.add(
        ReimportRow(
            case_id=case_id,
            job_id=done[0].id,
            dose_uid=dose.header.sop_instance_uid,
            dose_sha256=dose.sha256,
            plan_uid=plan.header.sop_instance_uid,
            plan_sha256=plan.sha256,
            follows=maker is not None,
            state="queued",
            attempts=0,
            message="",
            created_utc=datetime.now(UTC),
        )
    )
    audit.append(
        session,
        audit.SYSTEM,
        "dose-came-back",
        case_id,
        dose=dose.header.sop_instance_uid,
        plan=plan.header.sop_instance_uid,
        follows=maker is not None,
    )
    logger.info("case %s: a dose came back", case_id)


def _maker_of(session: Session, case_id: str, plan: StoredInstance) -> tuple[Job, tuple[Artifact, ...]] | None:
    """Give the prediction of a case whose objectives a plan got, or None."""
    uid = plan.header.sop_instance_uid
    job_id = hand_overs.predictions_in(session, [uid]).get(uid)
    filled = None if job_id is None else jobs.done_by(session, job_id)
    if filled is not None and filled[0].case_id == case_id:
        return filled
    return jobs.maker_of(session, case_id, plan.header.referenced_sop_instance_uids)


def claim_next(session: Session) -> Reimport | None:
    """Take the oldest comparison that is queued and mark it running, or give None."""
    row = session.scalars(select(ReimportRow).where(ReimportRow.state == "queued").order_by(ReimportRow.id)).first()
    if row is None:
        return None
    row.state, row.attempts = "running", row.attempts + 1
    job, artifacts = jobs.done_by(session, row.job_id)
    return Reimport(row.id, job, artifacts, row.dose_sha256, row.plan_sha256, row.follows)


def finish(session: Session, reimport: Reimport, state: str, message: str, artifacts: Sequence[Artifact] = ()) -> None:
    """Record how a comparison ended (``done``, ``refused``, ``failed``)."""
    row = session.get_one(ReimportRow, reimport.id)
    row.state, row.message, row.finished_utc = state, message, datetime.now(UTC)
    hashes = {artifact.kind: artifact.sha256 for artifact in artifacts}
    audit.append(
        session, audit.SYSTEM, f"comparison-{state}", row.case_id, dose=row.dose_uid, message=message, artifacts=hashes
    )
    logger.info("case %s: comparison %s %s", row.case_id, state, message)


def give_back(session: Session, reimport: Reimport) -> None:
    """Queue a running comparison again because the bridge is stopped: that is no failed attempt."""
    row = session.get_one(ReimportRow, reimport.id)
    if row.state == "running":
        row.state, row.attempts = "queued", row.attempts - 1


def recover(session: Session) -> None:
    """Queue again what was running when the process ended; give up what keeps killing it."""
    for row in session.scalars(select(ReimportRow).where(ReimportRow.state == "running")):
        row.state = "queued"
        if row.attempts >= _MOST_ATTEMPTS:
            row.state, row.message = "failed", f"the process died {row.attempts} times during this comparison"


def reimports_of(session: Session, case_id: str) -> Sequence[ReimportRow]:
    """Give the doses that came back for a case, in the order in which they came."""
    return list(session.scalars(select(ReimportRow).where(ReimportRow.case_id == case_id).order_by(ReimportRow.id)))
