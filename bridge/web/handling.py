"""What people do with a case beside its objectives: hold it, discard it, let it go on; try, predict or send it again.

Every one is a form of the page of the case, with a reason that goes into the audit trail, and answers with that page.

``POST /cases/ID/prediction.json`` is for the sliders: ``{"version", "reason", "preference", "leave_edits"}`` has the
case predicted again for a preference as a preview takes it (less ``view``), or with null for what the settings say.
``version`` is that of ``objectives.json``; where somebody edited meanwhile it is refused (``edit-stale``), and where
there are edits and ``leave_edits`` is not true (``edits-left-behind``). Answers ``{"queued": true}``; the case is in
review again, under another result, when it has been predicted.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from bridge.rt.errors import ApprovalRefusal
from bridge.web.forms import STRICT, parsed
from bridge.web.guard import GuardedRoute
from bridge.web.pages import see_other
from bridge.web.permission import Permission
from bridge.web.visit import Visit
from bridge.web.wish import WishForm
from bridge.workflow.decide import predict_again, retry, send_again
from bridge.workflow.results import CaseResults, results_of
from bridge.workflow.revisions import newest_revision, require_version
from bridge.workflow.stops import StopKind, resume, stop
from models.checks import check_preference
from models.preference import preference_of
from models.registry import load_card

__all__ = ["handling_routes"]


class _Prediction(BaseModel):
    model_config = STRICT

    version: str
    reason: Annotated[str, Field(max_length=1000)]
    preference: WishForm | None
    leave_edits: bool = False


def handling_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/cases/{case_id}/hold", _hold, Permission.EDIT, "POST"),
        GuardedRoute("/cases/{case_id}/discard", _discard, Permission.DECIDE, "POST"),
        GuardedRoute("/cases/{case_id}/resumption", _resume, Permission.DECIDE, "POST"),
        GuardedRoute("/cases/{case_id}/trial", _retry, Permission.EDIT, "POST"),
        GuardedRoute("/cases/{case_id}/prediction", _predict, Permission.EDIT, "POST"),
        GuardedRoute("/cases/{case_id}/prediction.json", _predict_wish, Permission.EDIT, "POST"),
        GuardedRoute("/cases/{case_id}/sending", _send, Permission.DECIDE, "POST"),
    ]


def _hold(visit: Visit) -> Response:
    return _stop(visit, StopKind.HELD)


def _discard(visit: Visit) -> Response:
    return _stop(visit, StopKind.DISCARDED)


def _stop(visit: Visit, kind: StopKind) -> Response:
    with visit.room.store.transaction() as session:
        stop(session, visit.path["case_id"], kind, visit.user.name, visit.form().get("reason", ""))
    return _back(visit)


def _resume(visit: Visit) -> Response:
    with visit.room.store.transaction() as session:
        resume(session, visit.path["case_id"], visit.user.name, visit.form().get("reason", ""))
    return _back(visit)


def _retry(visit: Visit) -> Response:
    with visit.room.store.transaction() as session:
        retry(session, visit.path["case_id"], visit.user.name)
    return _back(visit)


def _predict(visit: Visit) -> Response:
    form = visit.form()
    _again(visit, form.get("version", ""), form.get("reason", ""), None, "leave_edits" in form)
    return _back(visit)


def _predict_wish(visit: Visit) -> Response:
    given = parsed(_Prediction, visit.body)
    _again(visit, given.version, given.reason, given.preference, given.leave_edits)
    return JSONResponse({"queued": True})


def _again(visit: Visit, version: str, reason: str, wish: WishForm | None, leaves_edits: bool) -> None:
    room = visit.room
    wishes = None if wish is None else wish.wishes()
    if wishes is not None:
        check_preference(load_card(room.settings.prediction.model), preference_of(**wishes))
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, visit.path["case_id"])
        _require_seen(session, results, version)
        predict_again(session, results, visit.user.name, reason, wishes, leaves_edits=leaves_edits)


def _require_seen(session: Session, results: CaseResults, version: str) -> None:
    """Refuse to leave edits behind that somebody made meanwhile; damaged results have none, and nobody can see them."""
    try:
        newest = newest_revision(session, results)
    except ApprovalRefusal as refusal:
        if refusal.code != "artifact-changed":
            raise
    else:
        require_version(session, results, newest, version)


def _send(visit: Visit) -> Response:
    form = visit.form()
    with visit.room.store.transaction() as session:
        send_again(session, visit.path["case_id"], form.get("destination", ""), visit.user.name, form.get("reason", ""))
    return _back(visit)


def _back(visit: Visit) -> Response:
    return see_other(f"/cases/{visit.path['case_id']}")
