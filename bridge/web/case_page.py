"""The page of one case, which needs no script: what it is, what it asks for, and the forms to edit, sign and reject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from bridge.rt.errors import ApprovalRefusal
from bridge.web.decide import Decision, approve, rejected
from bridge.web.guard import GuardedRoute
from bridge.web.objective_form import EDITABLE, rows_of_form
from bridge.web.pages import page, see_other
from bridge.web.permission import Permission, may
from bridge.web.visit import Visit
from bridge.workflow.cases import CaseState, get_case
from bridge.workflow.results import CaseResults, results_of
from bridge.workflow.revisions import Revision, history, newest_revision, revise
from bridge.workflow.signing import signers
from bridge.workflow.worklist import worklist_row
from objective_extraction.edit import objective_in_words

__all__ = ["case_page_routes"]

_SHOWN_METRICS = ("mean_gy", "D0.03cc_gy", "D95%_gy", "D2%_gy")


def case_page_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/cases/{case_id}", _case, Permission.LOOK),
        GuardedRoute("/cases/{case_id}/objectives", _edit, Permission.EDIT, "POST"),
        GuardedRoute("/cases/{case_id}/approval", _approve, Permission.DECIDE, "POST"),
        GuardedRoute("/cases/{case_id}/rejection", _reject, Permission.DECIDE, "POST"),
    ]


def _case(visit: Visit) -> Response:
    room, case_id = visit.room, visit.path["case_id"]
    with room.store.transaction() as session:
        case = get_case(session, case_id)
        row = worklist_row(session, case)
        try:
            results: CaseResults | None = results_of(session, room.cases_folder, case_id)
        except ApprovalRefusal as refusal:
            if refusal.code != "no-results":
                raise
            results = None
        content: Mapping[str, Any] = {}
        if results is not None:
            revision = newest_revision(session, results)
            content = {
                **_of_results(results, revision),
                "history": history(session, results),
                "signed_by": signers(session, results),
            }
    in_review = case.state is CaseState.REVIEW
    is_editable = case.state in (CaseState.REVIEW, CaseState.REJECTED, CaseState.DELIVERED)
    return page(
        "case.html.j2",
        visit=visit,
        row=row,
        now=room.clock(),
        has_results=results is not None,
        can_edit=is_editable and may(visit.user, Permission.EDIT),
        can_decide=in_review and may(visit.user, Permission.DECIDE),
        needs_two=room.release.needs_two,
        **content,
    )


def _of_results(results: CaseResults, revision: Revision) -> dict[str, Any]:
    structures = results.read_json("dvh")["structures"]
    return {
        "revision": revision,
        "findings": results.findings(),
        "editable": EDITABLE,
        "rows": [(objective_in_words(objective), objective) for objective in revision.objectives.objectives],
        "roi_names": [
            *(one["roi_name"] for one in structures if one["curve"] is not None),
            *(recipe.name for recipe in revision.objectives.derived_structures),
        ],
        "shown_metrics": _SHOWN_METRICS,
        "structures": structures,
    }


def _edit(visit: Visit) -> Response:
    form, room = visit.form(), visit.room
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, visit.path["case_id"])
        revise(session, results, form.get("version", ""), rows_of_form(form), visit.user.name)
    return _back(visit)


def _approve(visit: Visit) -> Response:
    form = visit.form()
    approve(visit, Decision(form.get("version", ""), form.get("objectives_sha256", "")), form.get("password", ""))
    return _back(visit)


def _reject(visit: Visit) -> Response:
    form = visit.form()
    rejected(visit, form.get("version", ""), form.get("reason", ""))
    return _back(visit)


def _back(visit: Visit) -> Response:
    return see_other(f"/cases/{visit.path['case_id']}")
