"""The worklist: every case with its age, its state, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import JSONResponse, Response

from bridge.rt.errors import BridgeError
from bridge.web.guard import GuardedRoute
from bridge.web.pages import page
from bridge.web.permission import Permission
from bridge.web.room import ReviewRoom
from bridge.web.visit import Visit
from bridge.workflow import jobs
from bridge.workflow.results import CaseResults
from bridge.workflow.worklist import WorklistRow, worklist

__all__ = ["worklist_routes"]


@dataclass(frozen=True)
class _Line:
    """A case with what its prediction warns of."""

    row: WorklistRow
    warnings: tuple[str, ...]


def worklist_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/", _worklist, Permission.LOOK),
        GuardedRoute("/cases.json", _worklist_json, Permission.LOOK),
    ]


def _worklist(visit: Visit) -> Response:
    return page("worklist.html.j2", visit=visit, lines=_lines(visit.room), now=visit.room.clock())


def _worklist_json(visit: Visit) -> Response:
    return JSONResponse([{**line.row.as_dict(), "warnings": line.warnings} for line in _lines(visit.room)])


def _lines(room: ReviewRoom) -> list[_Line]:
    rows = worklist(room.store)
    with room.store.transaction() as session:
        done = {row.case_id: jobs.last_done(session, row.case_id) for row in rows}
    lines = []
    for row in rows:
        finished = done[row.case_id]
        results = finished and CaseResults(*finished, jobs.result_folder(room.cases_folder, finished[0]))
        lines.append(_Line(row, _warnings(results) if results else ()))
    return lines


def _warnings(results: CaseResults) -> tuple[str, ...]:
    try:
        return tuple(finding.message for finding in results.findings() if finding.severity == "warning")
    except BridgeError as error:
        return (error.message,)  # one case whose files were touched must not hide all others
