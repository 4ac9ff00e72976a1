"""What tests of objectives and signatures do in a review room, and what they look at."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
from sqlalchemy import select

from bridge.web.room import ReviewRoom
from bridge.workflow.audit import verify
from bridge.workflow.cases import CaseState, get_case
from bridge.workflow.jobs import Job
from bridge.workflow.results import results_of
from bridge.workflow.schema import AuditRow
from objective_extraction.objective_json import read_objective_set
from objective_extraction.objective_set import ObjectiveSet
from tests.web.browser import PASSWORD, Browser


def read(browser: Browser, job: Job) -> dict[str, Any]:
    content: dict[str, Any] = browser.json(f"/cases/{job.case_id}/objectives.json").json()
    return content


def kept_rows(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"source": place} for place in range(len(shown["set"]["objectives"]))]


def save(browser: Browser, job: Job, version: str, rows: list[dict[str, Any]]) -> httpx.Response:
    headers = {"if-match": f'"{version}"'}
    return browser.send("PUT", f"/cases/{job.case_id}/objectives.json", {"rows": rows}, **headers)


def edit_first(browser: Browser, job: Job, dose_gy: float = 33.5) -> dict[str, Any]:
    shown = read(browser, job)
    rows = kept_rows(shown)
    place = next(i for i, one in enumerate(shown["set"]["objectives"]) if one["roi_name"] == "SpinalCord")
    rows[place]["dose_gy"] = dose_gy
    answer = save(browser, job, shown["version"], rows)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def sign(browser: Browser, job: Job, shown: dict[str, Any] | None = None, password: str = PASSWORD) -> httpx.Response:
    seen = shown or read(browser, job)
    wanted = {"version": seen["version"], "objectives_sha256": seen["set"]["sha256"], "password": password}
    return browser.send("POST", f"/cases/{job.case_id}/approval.json", wanted)


def reject(browser: Browser, job: Job, reason: str) -> httpx.Response:
    wanted = {"version": read(browser, job)["version"], "reason": reason}
    return browser.send("POST", f"/cases/{job.case_id}/rejection.json", wanted)


def state(room: ReviewRoom, job: Job) -> tuple[CaseState, str]:
    with room.store.transaction() as session:
        case = get_case(session, job.case_id)
        return case.state, case.reason


def events(room: ReviewRoom, action: str) -> list[AuditRow]:
    with room.store.transaction() as session:
        verify(session)
        return list(session.scalars(select(AuditRow).where(AuditRow.action == action).order_by(AuditRow.id)))


def newest_set(room: ReviewRoom, job: Job) -> ObjectiveSet:
    with room.store.transaction() as session:
        return read_objective_set(results_of(session, room.cases_folder, job.case_id).path("objectives"))
