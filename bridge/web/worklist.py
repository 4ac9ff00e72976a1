"""The worklist: every case with its patient, its age, its state, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs

from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from bridge.dicom.patient import PatientLabel
from bridge.rt.errors import BridgeError
from bridge.web.guard import GuardedRoute
from bridge.web.pages import page
from bridge.web.permission import Permission, may
from bridge.web.room import ReviewRoom
from bridge.web.visit import Visit
from bridge.workflow import jobs
from bridge.workflow.cases import CaseState, CaseView, list_cases
from bridge.workflow.hand_overs import ECLIPSE
from bridge.workflow.patients import PatientFile, patient_file
from bridge.workflow.results import CaseResults
from bridge.workflow.stops import StopKind
from bridge.workflow.worklist import WorklistRow, worklist_row

__all__ = ["worklist_routes"]

_MOST_SHOWN = 100
_VIEWS: Mapping[str, str] = MappingProxyType(
    {"open": "Open", "review": "To review", "held": "Held", "done": "Delivered", "discarded": "Discarded", "all": "All"}
)


@dataclass(frozen=True)
class _Line:
    """A case with its patient, what its prediction warns of, and what became of what was sent, by destination."""

    row: WorklistRow
    patient: PatientLabel | None
    warnings: tuple[str, ...]
    sent: Mapping[str, str]


@dataclass(frozen=True)
class _Found:
    """A case with the files that say more of it."""

    row: WorklistRow
    patient: PatientFile | None
    results: CaseResults | None


def worklist_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/", _worklist, Permission.LOOK, lists_patients=True),
        GuardedRoute("/worklist/table", _table, Permission.LOOK, asks_by_itself=True, lists_patients=True),
        GuardedRoute("/cases.json", _worklist_json, Permission.LOOK, lists_patients=True),
    ]


def _worklist(visit: Visit) -> Response:
    return page("worklist.html.j2", visit=visit, views=_VIEWS, **_shown(visit))


def _table(visit: Visit) -> Response:
    """Give the table alone, for a page that asks again and again."""
    return page("worklist_table.html.j2", **_shown(visit))


def _worklist_json(visit: Visit) -> Response:
    with visit.room.store.transaction() as session:
        found = _found(session, visit.room, list_cases(session))
    lines = [_line(one) for one in found]
    return JSONResponse([{**line.row.as_dict(), "warnings": line.warnings} for line in lines])


def _shown(visit: Visit) -> dict[str, Any]:
    wanted = parse_qs(visit.query).get("show", ["open"])[0]
    shown = wanted if wanted in _VIEWS else "open"
    with visit.room.store.transaction() as session:
        cases = _of_view(shown, list_cases(session))
        found = _found(session, visit.room, cases[:_MOST_SHOWN])
    lines = [_line(one) for one in found]
    return {
        "shown": shown,
        "lines": lines,
        "more": max(0, len(cases) - _MOST_SHOWN),
        "now": visit.room.clock(),
        "acts": _acts(visit),
    }


def _acts(visit: Visit) -> str:
    """Say what the visitor may do with a case; nothing where he may only look."""
    if may(visit.user, Permission.DECIDE):
        return "hold, repeat, send, discard"
    return "hold, repeat" if may(visit.user, Permission.EDIT) else ""


def _of_view(view: str, cases: Sequence[CaseView]) -> Sequence[CaseView]:
    if view == "all":
        return cases
    if view in list(StopKind):
        return [case for case in cases if case.stop == view]
    going = [case for case in cases if case.stop != StopKind.DISCARDED]
    if view == "open":
        return [case for case in going if case.state is not CaseState.DELIVERED]
    state = CaseState.REVIEW if view == "review" else CaseState.DELIVERED
    return [case for case in going if case.state is state]


def _found(session: Session, room: ReviewRoom, cases: Sequence[CaseView]) -> list[_Found]:
    """Give what the database knows of cases."""
    found = []
    for case in cases:
        finished = jobs.last_done(session, case.id)
        results = finished and CaseResults(*finished, jobs.result_folder(room.cases_folder, finished[0]))
        found.append(_Found(worklist_row(session, case), patient_file(session, case), results))
    return found


def _line(found: _Found) -> _Line:
    """Add what the files say; nobody else need wait for the database meanwhile."""
    patient, warnings = None, list[str]()
    try:
        patient = found.patient.read() if found.patient else None
        if found.results is not None:
            warnings += [one.message for one in found.results.findings() if one.severity == "warning"]
    except BridgeError as error:
        warnings.append(error.message)  # one case whose files were touched must not hide all others
    return _Line(found.row, patient, tuple(warnings), _sent(found.row))


def _sent(row: WorklistRow) -> Mapping[str, str]:
    """Give the state of what was sent last, by destination; of several objects the one that is worst off."""
    order = ("withdrawn", "delivered", "pending", "failed")
    sent: dict[str, str] = {}
    for one in row.deliveries:
        sent[one.destination] = max(one.state, sent.get(one.destination, one.state), key=order.index)
    for handed in row.hand_overs:
        sent[ECLIPSE] = f"{handed.state}, {handed.answers[-1].state}" if handed.answers else handed.state
    return sent
