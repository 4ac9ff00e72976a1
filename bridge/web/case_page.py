"""The page of a case, which needs no script: whose it is, what it asks for, and the forms to edit, sign and handle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from bridge.dicom.patient import PatientLabel
from bridge.rt.errors import ApprovalRefusal, BridgeError
from bridge.rt.provenance import Provenance
from bridge.web.case_files import in_order
from bridge.web.decide import Decision, approve, rejected
from bridge.web.guard import GuardedRoute
from bridge.web.objective_form import EDITABLE, rows_of_form, shown_number
from bridge.web.pages import page, see_other
from bridge.web.permission import Permission, may
from bridge.web.visit import Visit
from bridge.workflow import jobs
from bridge.workflow.case_ledger import ledger_of, out_of_date
from bridge.workflow.cases import CaseState, CaseView, get_case
from bridge.workflow.decide import is_repeatable
from bridge.workflow.lineage import edits_left_behind, stages, whole_history
from bridge.workflow.patients import PatientFile, patient_file
from bridge.workflow.results import CaseResults, results_of
from bridge.workflow.revisions import newest_revision, objectives_at, revise
from bridge.workflow.sealing import findings_with
from bridge.workflow.signing import signers
from bridge.workflow.templates import TemplateState, list_templates
from bridge.workflow.worklist import worklist_row
from objective_extraction.differences import differences
from objective_extraction.edit import objective_in_words

__all__ = ["case_page_routes"]

_SHOWN_METRICS = ("mean_gy", "D0.03cc_gy", "D95%_gy", "D2%_gy")
_EDITABLE = (CaseState.REVIEW, CaseState.REJECTED, CaseState.DELIVERED)
_SENT = (CaseState.DELIVERED, CaseState.FAILED)
_STUCK = (CaseState.REFUSED, CaseState.FAILED)
_MOVING = (CaseState.WAITING, CaseState.QUEUED, CaseState.RUNNING, CaseState.DELIVERING)


def case_page_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/cases/{case_id}", _case, Permission.LOOK),
        GuardedRoute("/cases/{case_id}/signing", _signing, Permission.DECIDE),
        GuardedRoute("/cases/{case_id}/live", _live, Permission.LOOK, asks_by_itself=True),
        GuardedRoute("/cases/{case_id}/objectives", _edit, Permission.EDIT, "POST"),
        GuardedRoute("/cases/{case_id}/approval", _approve, Permission.DECIDE, "POST"),
        GuardedRoute("/cases/{case_id}/rejection", _reject, Permission.DECIDE, "POST"),
    ]


def _case(visit: Visit) -> Response:
    return _page(visit, has_fields=True)


def _signing(visit: Visit) -> Response:
    """Give the page without fields: for browsers without scripts, where nobody could see what is not saved yet."""
    return _page(visit, has_fields=False)


def _page(visit: Visit, has_fields: bool) -> Response:
    room, case_id = visit.room, visit.path["case_id"]
    with room.store.transaction() as session:
        case = get_case(session, case_id)
        row = worklist_row(session, case)
        file = patient_file(session, case)
        seen, _ = _seen(session, case)
        ledger = ledger_of(session, case_id)
        repeatable, settled = is_repeatable(session, case_id), jobs.is_settled(session, case_id)
        results = _results(visit, session)
        content, problem = _content(session, results)
    patient, patient_problem = _patient(file)
    has_results = content is not None
    goes_on = case.stop is None
    edits, decides = may(visit.user, Permission.EDIT), may(visit.user, Permission.DECIDE)
    return page(
        "case.html.j2",
        visit=visit,
        row=row,
        now=room.clock(),
        patient=patient,
        patient_problem=patient_problem,
        seen=seen,
        is_moving=case.state in _MOVING,
        ledger=ledger,
        out_of_date=out_of_date(ledger, content is not None and content["revision"].number > 0),
        has_results=has_results,
        problem=problem,
        can_edit=has_fields and has_results and goes_on and edits and case.state in _EDITABLE,
        can_decide=has_results and goes_on and decides and case.state is CaseState.REVIEW,
        can_sign=content is not None and visit.user.name not in content["signed_by"],
        can_repeat=results is not None and goes_on and edits and repeatable,
        can_hold=goes_on and edits,
        can_discard=case.stop != "discarded" and decides,
        can_resume=not goes_on and decides,
        can_retry=goes_on and edits and case.state in _STUCK,
        can_draft=has_results and decides,
        resend_to=sorted({line.destination for line in ledger if line.is_current})
        if goes_on and decides and settled and case.state in _SENT
        else [],
        told=visit.query,
        needs_two=room.release.needs_two,
        **(content or {}),
    )


def _results(visit: Visit, session: Session) -> CaseResults | None:
    try:
        return results_of(session, visit.room.cases_folder, visit.path["case_id"])
    except ApprovalRefusal as refusal:
        if refusal.code != "no-results":
            raise
        return None


def _patient(file: PatientFile | None) -> tuple[PatientLabel | None, str]:
    """Give the patient, or why nobody can say: the page must be there all the same."""
    try:
        return (file.read() if file else None), "nothing was received yet"
    except BridgeError as error:
        return None, error.message


def _content(session: Session, results: CaseResults | None) -> tuple[dict[str, Any] | None, str]:
    """Give what the page shows of results, or why nothing can be shown: it must be there to have them made anew."""
    if results is None:
        return None, ""
    try:
        return _of_results(session, results), ""
    except BridgeError as error:
        return None, error.message


def _of_results(session: Session, results: CaseResults) -> dict[str, Any]:
    structures = results.read_json("dvh")["structures"]
    revision = newest_revision(session, results)
    steps = stages(session, results)
    findings = results.findings() if revision.number == 0 else findings_with(results, revision.objectives)
    return {
        "result": results.job.input_sha256[:12],
        "revision": revision,
        "findings": findings,
        "warnings": [finding for finding in findings if finding.severity == "warning"],
        "setting": _setting(revision.objectives.provenance),
        "files": in_order(results.artifacts),
        "editable": EDITABLE,
        "shown_number": shown_number,
        "rows": [(objective_in_words(objective), objective) for objective in revision.objectives.objectives],
        "roi_names": [
            *(one["roi_name"] for one in structures if one["curve"] is not None),
            *(recipe.name for recipe in revision.objectives.derived_structures),
        ],
        "shown_metrics": _SHOWN_METRICS,
        "structures": structures,
        "left_behind": edits_left_behind(session, results),
        "history": whole_history(session, results),
        "signed_by": signers(session, results),
        "steps": [heading for heading, _ in steps],
        "differences": differences([objectives for _, objectives in steps]),
        "approved_templates": list_templates(session, TemplateState.APPROVED),
    }


def _setting(provenance: Provenance) -> str:
    """Say what setting a prediction was asked for, with all of its numbers, and what was used of it."""
    used = _in_words(provenance.preference_used)
    return f"{_in_words(provenance.preference) or 'no wish'}{f' (used: {used})' if used else ''}"


def _in_words(preference: Mapping[str, float]) -> str:
    names = {"hi": "HI", "oar_weight": "all organs"}
    wishes = [f"{names.get(name, name.removeprefix('oar_weight.'))} {value:g}" for name, value in preference.items()]
    return ", ".join(wishes)


def _live(visit: Visit) -> Response:
    """Say where the case is, for a page that asks again and again; ``seen`` is another one after every change."""
    with visit.room.store.transaction() as session:
        case = get_case(session, visit.path["case_id"])
        seen, sentence = _seen(session, case)
    return JSONResponse({"seen": seen, "sentence": sentence})


def _seen(session: Session, case: CaseView) -> tuple[str, str]:
    """Give a name for how the case stands, and the same in words."""
    row = worklist_row(session, case)
    text = repr((row.as_dict(), case.updated_utc))
    stopped = f", {case.stop} by {case.stop_by}" if case.stop else ""
    return hashlib.sha256(text.encode()).hexdigest()[:16], f"{case.state.value}{stopped}: {case.reason}"


def _edit(visit: Visit) -> Response:
    form, room = visit.form(), visit.room
    version = form.get("version", "")
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, visit.path["case_id"])
        rows = rows_of_form(form, objectives_at(session, results, version))
        saved = revise(session, results, version, rows, visit.user.name)
    told = "unchanged" if saved.version == version else "saved"
    return see_other(f"/cases/{visit.path['case_id']}?objectives={told}#objectives")


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
