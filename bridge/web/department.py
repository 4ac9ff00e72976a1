"""The department's objective templates: listed, looked at, made of a case, approved, retired, and applied to a case."""

from __future__ import annotations

import re

from starlette.responses import Response

from bridge.rt.errors import ApprovalRefusal
from bridge.web.guard import GuardedRoute
from bridge.web.identify import require_password
from bridge.web.pages import page, see_other
from bridge.web.permission import Permission, may
from bridge.web.visit import Visit
from bridge.workflow.lineage import extracted
from bridge.workflow.predict import structure_names
from bridge.workflow.results import CaseResults, results_of
from bridge.workflow.revisions import newest_revision, replace_objectives, require_version
from bridge.workflow.templates import approve_template, draft, list_templates, read_template, retire_template
from config.settings import Settings
from objective_extraction.department import CaseStructure, apply_rows, row_in_words

__all__ = ["template_routes"]

_ONE = "/templates/{name}/{number}"


def template_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/templates", _list, Permission.LOOK),
        GuardedRoute(_ONE, _show, Permission.LOOK),
        GuardedRoute(f"{_ONE}/approval", _approve, Permission.DECIDE, "POST"),
        GuardedRoute(f"{_ONE}/retirement", _retire, Permission.DECIDE, "POST"),
        GuardedRoute("/cases/{case_id}/template", _draft, Permission.DECIDE, "POST"),
        GuardedRoute("/cases/{case_id}/template/application", _apply, Permission.EDIT, "POST"),
    ]


def _list(visit: Visit) -> Response:
    with visit.room.store.transaction() as session:
        versions = list_templates(session)
    return page("templates.html.j2", visit=visit, versions=versions)


def _show(visit: Visit) -> Response:
    name, number = _named(visit)
    with visit.room.store.transaction() as session:
        content = read_template(session, visit.room.templates_folder, name, number)
        versions = [one for one in list_templates(session) if one.name == name]
        before = next((one for one in versions if one.number < number), None)
        earlier = (
            () if before is None else read_template(session, visit.room.templates_folder, name, before.number).rows
        )
    return page(
        "template.html.j2",
        visit=visit,
        content=content,
        versions=versions,
        rows=[row_in_words(row) for row in content.rows],
        before=before,
        added=[row_in_words(row) for row in content.rows if row not in earlier],
        removed=[row_in_words(row) for row in earlier if row not in content.rows],
        can_decide=may(visit.user, Permission.DECIDE),
    )


def _draft(visit: Visit) -> Response:
    form, room, case_id = visit.form(), visit.room, visit.path["case_id"]
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, case_id)
        revision = newest_revision(session, results)
        require_version(session, results, revision, form.get("version", ""))
        name = form.get("name", "").strip()
        made = draft(session, room.templates_folder, name, revision.objectives, case_id, visit.user.name)
    return see_other(f"/templates/{made.name}/{made.number}")


def _approve(visit: Visit) -> Response:
    form, room = visit.form(), visit.room
    name, number = _named(visit)
    require_password(room, visit.user.name, form.get("password", ""), visit.address)
    with room.store.transaction() as session:
        seen = form.get("sha256", "")
        approve_template(session, room.templates_folder, name, number, seen, visit.user, room.release.needs_two)
    return see_other(f"/templates/{name}/{number}")


def _retire(visit: Visit) -> Response:
    name, number = _named(visit)
    with visit.room.store.transaction() as session:
        retire_template(session, name, number, visit.user)
    return see_other(f"/templates/{name}/{number}")


def _apply(visit: Visit) -> Response:
    """Put the objectives that an approved template asks for in the place of those of a case."""
    form, room, case_id = visit.form(), visit.room, visit.path["case_id"]
    name, number = _version(form.get("template", ""))
    with room.store.transaction() as session:
        results = results_of(session, room.cases_folder, case_id)
        content = read_template(session, room.templates_folder, name, number)
        content.require_approved()
        title = content.version.title
        structures = _structures(results, room.settings)
        applied = apply_rows(content.rows, content.target_levels, extracted(session, results), structures, title)
        told = [f"template {title} applied: {len(applied.objectives.objectives)} objectives"]
        told += [f"left out: {row}" for row in applied.left_out]
        version, author = form.get("version", ""), visit.user.name
        replace_objectives(session, results, version, applied.objectives, told, author, title)
    return see_other(f"/cases/{case_id}")


def _structures(results: CaseResults, settings: Settings) -> list[CaseStructure]:
    """Give the structures of a case that have contours, with the standard names that the site's table knows."""
    names = structure_names(settings)
    found = []
    for one in results.read_json("dvh")["structures"]:
        if one["curve"] is not None:
            match = names.match(one["roi_name"])
            standard = getattr(match, "standard_name", None)
            found.append(CaseStructure(one["roi_number"], one["roi_name"], standard))
    return found


def _named(visit: Visit) -> tuple[str, int]:
    return _version(f"{visit.path['name']}/{visit.path['number']}")


def _version(text: str) -> tuple[str, int]:
    found = re.fullmatch("([a-z0-9-]{1,40})/([0-9]{1,6})", text)
    if found is None:
        raise ApprovalRefusal("template-unknown", "There is no such version of a template.")
    return found[1], int(found[2])
