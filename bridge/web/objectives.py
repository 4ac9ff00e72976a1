"""The objectives of a case for a program: read, edit, approve, reject."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from bridge.rt.errors import ApprovalRefusal
from bridge.web.decide import Decision, approve, rejected
from bridge.web.forms import STRICT, parsed
from bridge.web.guard import GuardedRoute
from bridge.web.permission import Permission
from bridge.web.visit import Visit
from bridge.workflow.results import results_of
from bridge.workflow.revisions import Revision, history, newest_revision, revise
from bridge.workflow.signing import signers
from objective_extraction.edit import ChangedRow, NewRow

__all__ = ["objective_routes"]


class _Changed(BaseModel):
    model_config = STRICT

    source: int
    priority: float | None = None
    dose_gy: float | None = None
    volume_percent: float | None = None
    a: float | None = None


class _New(BaseModel):
    model_config = STRICT

    kind: Literal["point", "mean", "geud"]
    roi_name: Annotated[str, Field(max_length=64)]
    priority: float
    dose_gy: float
    operator: Literal["upper", "lower"] = "upper"
    volume_percent: float | None = None
    a: float | None = None


class _Table(BaseModel):
    model_config = STRICT

    rows: Annotated[list[_Changed | _New], Field(max_length=1000)]


class _Approval(BaseModel):
    model_config = STRICT

    version: str
    objectives_sha256: str
    password: str


class _Rejection(BaseModel):
    model_config = STRICT

    version: str
    reason: str


def objective_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/cases/{case_id}/objectives.json", _read, Permission.LOOK),
        GuardedRoute("/cases/{case_id}/objectives.json", _edit, Permission.EDIT, "PUT"),
        GuardedRoute("/cases/{case_id}/approval.json", _approve, Permission.DECIDE, "POST"),
        GuardedRoute("/cases/{case_id}/rejection.json", _reject, Permission.DECIDE, "POST"),
    ]


def _read(visit: Visit) -> Response:
    room = visit.room
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, visit.path["case_id"])
        revision = newest_revision(session, results)
        told, signed = history(session, results), signers(session, results)
    return _answer(revision, history=told, signed_by=signed)


def _edit(visit: Visit) -> Response:
    """Save the table as a new revision; ``If-Match`` names the one that was edited."""
    tag = re.fullmatch('"([0-9]+-[0-9]+)"', visit.headers.get("if-match", ""))
    if tag is None:
        raise ApprovalRefusal("if-match-missing", 'Say which version was edited: If-Match: "version".')
    table = parsed(_Table, visit.body)
    rows = [
        ChangedRow(**row.model_dump()) if isinstance(row, _Changed) else NewRow(**row.model_dump())
        for row in table.rows
    ]
    room = visit.room
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, visit.path["case_id"])
        revision = revise(session, results, tag[1], rows, visit.user.name)
    return _answer(revision, changes=list(revision.changes))


def _approve(visit: Visit) -> Response:
    given = parsed(_Approval, visit.body)
    released = approve(visit, Decision(given.version, given.objectives_sha256), given.password)
    return JSONResponse({"released": released})


def _reject(visit: Visit) -> Response:
    given = parsed(_Rejection, visit.body)
    rejected(visit, given.version, given.reason)
    return JSONResponse({"rejected": True})


def _answer(revision: Revision, **more: object) -> Response:
    content = {"version": revision.version, "author": revision.author, **more, "set": revision.objectives.document()}
    return JSONResponse(content, headers={"ETag": f'"{revision.version}"'})
