"""Holding, discarding, trying, predicting and sending again: who may, what it changes, and that it is on record."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from bridge.node.settings import Destination
from bridge.web.room import ReviewRoom
from bridge.workflow import hand_overs, jobs
from bridge.workflow.audit import verify
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.deliveries import SqlDeliveryLedger, deliveries_of
from bridge.workflow.jobs import Job, result_folder
from bridge.workflow.schema import AnswerRow, AuditRow
from models.preference import preference_of
from tests.web.browser import PASSWORD, Browser, code

WHY = {"reason": "the planning CT is to be repeated"}


def path(job: Job, what: str) -> str:
    return f"/cases/{job.case_id}/{what}"


def shown(browser: Browser, job: Job) -> dict[str, Any]:
    content: dict[str, Any] = browser.json(path(job, "objectives.json")).json()
    return content


def sign(browser: Browser, job: Job) -> Any:
    seen = shown(browser, job)
    wanted = {"version": seen["version"], "objectives_sha256": seen["set"]["sha256"], "password": PASSWORD}
    return browser.send("POST", path(job, "approval.json"), wanted)


def events(room: ReviewRoom, action: str) -> list[AuditRow]:
    with room.store.transaction() as session:
        verify(session)
        return list(session.scalars(select(AuditRow).where(AuditRow.action == action)))


def state(room: ReviewRoom, job: Job) -> CaseState:
    with room.store.transaction() as session:
        return get_case(session, job.case_id).state


def due(room: ReviewRoom) -> tuple[int, int]:
    """Give how many objects and hand-overs would be sent now."""
    ledger = SqlDeliveryLedger(room.store, {"tps": Destination("tps", "TPS", "127.0.0.1", 104)})
    now = datetime.now(UTC)
    with room.store.transaction() as session:
        handed = len(hand_overs.due(session, now))
    return len(ledger.due(now)), handed


@pytest.mark.parametrize(("kind", "action"), [("hold", "case-held"), ("discard", "case-discarded")])
def test_nothing_goes_on_with_a_stopped_case_until_somebody_lets_it(
    physicist: Browser, job: Job, kind: str, action: str
) -> None:
    room = physicist.room
    assert physicist.post(path(job, kind), WHY).status_code == 303
    (event,) = events(room, action)
    assert (event.actor, event.detail) == ("a.physicist", {**WHY, "state": "review"})
    assert "the planning CT is to be repeated" in physicist.get(f"/cases/{job.case_id}").text
    rows = {"rows": [{"source": 0}]}
    assert code(physicist.send("PUT", path(job, "objectives.json"), rows, **{"if-match": f'"{job.id}-0"'})) == (
        409, "case-stopped"
    )  # fmt: skip
    assert code(sign(physicist, job)) == (409, "case-stopped")
    again = {"version": f"{job.id}-0", **WHY}
    assert code(physicist.post(path(job, "prediction"), again)) == (409, "case-stopped")
    assert code(physicist.post(path(job, kind), WHY)) == (409, "stopped-already")
    assert physicist.post(path(job, "resumption"), {"reason": "it is good after all"}).status_code == 303
    assert events(room, "case-resumed")[0].detail["reason"] == "it is good after all"
    assert code(physicist.post(path(job, "resumption"), WHY)) == (409, "not-stopped")
    assert sign(physicist, job).json() == {"released": True}


def test_what_a_physicist_discarded_is_not_put_on_hold_instead(physicist: Browser, planner: Browser, job: Job) -> None:
    physicist.post(path(job, "discard"), WHY)
    assert code(planner.post(path(job, "hold"), WHY)) == (409, "stopped-already")
    with physicist.room.store.transaction() as session:
        assert get_case(session, job.case_id).stop == "discarded"


def test_what_is_held_is_not_sent_and_is_sent_when_it_goes_on(physicist: Browser, job: Job) -> None:
    sign(physicist, job)
    assert due(physicist.room) == (2, 1)
    physicist.post(path(job, "hold"), WHY)
    assert due(physicist.room) == (0, 0)
    physicist.post(path(job, "resumption"), WHY)
    assert due(physicist.room) == (2, 1)


def test_what_is_held_in_the_queue_is_not_predicted(physicist: Browser, job: Job) -> None:
    physicist.post(path(job, "prediction"), {"version": f"{job.id}-0", **WHY})
    physicist.post(path(job, "hold"), WHY)
    with physicist.room.store.transaction() as session:
        assert jobs.claim_next(session) is None
    physicist.post(path(job, "resumption"), WHY)
    with physicist.room.store.transaction() as session:
        assert jobs.claim_next(session) is not None


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "two\nlines"])
def test_it_needs_a_reason(physicist: Browser, job: Job, reason: str) -> None:
    for what in ("hold", "discard"):
        assert code(physicist.post(path(job, what), {"reason": reason})) == (409, "reason")
    again = {"version": f"{job.id}-0", "reason": reason}
    assert code(physicist.post(path(job, "prediction"), again)) == (409, "reason")
    assert state(physicist.room, job) is CaseState.REVIEW
    assert events(physicist.room, "prediction-repeated") == []


@pytest.mark.parametrize(
    ("role", "may"),
    [("viewer", set()), ("admin", set()), ("planner", {"hold", "prediction", "trial"})],
)
def test_a_role_handles_what_it_may(browser: Browser, job: Job, role: str, may: set[str]) -> None:
    browser.log_in(role)
    for what in ("hold", "discard", "resumption", "trial", "prediction", "sending"):
        refused = browser.post(path(job, what), {}).json()["code"] == "role-too-low"
        assert refused is (what not in may), what


def test_a_case_is_predicted_again_for_a_wish_and_its_signatures_are_void(physicist: Browser, job: Job) -> None:
    room = physicist.room
    sign(physicist, job)
    with room.store.transaction() as session:
        set_state(session, job.case_id, CaseState.DELIVERED, "2 objects to tps")
    wish = {"preference": "balanced", "hi": None, "oar_weight": None, "oar_weights": {}}
    wanted = {"version": shown(physicist, job)["version"], **WHY, "preference": wish}
    assert physicist.send("POST", path(job, "prediction.json"), wanted).json() == {"queued": True}
    assert state(room, job) is CaseState.QUEUED
    assert events(room, "approval-voided")[0].detail == {"signed_by": ["a.physicist"], "was": "delivered"}
    with room.store.transaction() as session:
        again = jobs.claim_next(session)
    assert again is not None
    assert (again.inputs, again.input_sha256 == job.input_sha256) == (job.inputs, False)
    assert preference_of(**(again.preference or {})) == preference_of("balanced", None, None, {})
    replayed = physicist.send("POST", path(job, "prediction.json"), wanted)
    assert code(replayed) == (409, "not-repeatable")


def test_a_wish_that_the_model_cannot_fulfil_is_refused_before_it_is_queued(physicist: Browser, job: Job) -> None:
    wish = {"preference": "balanced", "hi": 0.07}
    wanted = {"version": f"{job.id}-0", **WHY, "preference": wish}
    status, _ = code(physicist.send("POST", path(job, "prediction.json"), wanted))
    assert status == 422
    assert state(physicist.room, job) is CaseState.REVIEW


def test_a_prediction_over_a_colleagues_edit_is_refused(physicist: Browser, job: Job) -> None:
    rows = [{"source": place} for place in range(1, len(shown(physicist, job)["set"]["objectives"]))]
    physicist.send("PUT", path(job, "objectives.json"), {"rows": rows}, **{"if-match": f'"{job.id}-0"'})
    assert code(physicist.post(path(job, "prediction"), {"version": f"{job.id}-0", **WHY})) == (409, "edit-stale")
    assert state(physicist.room, job) is CaseState.REVIEW


def test_what_was_sent_is_sent_again_to_one_destination(physicist: Browser, job: Job) -> None:
    room = physicist.room
    assert code(physicist.post(path(job, "sending"), {"destination": "tps", **WHY})) == (409, "not-sent")
    sign(physicist, job)
    now = datetime.now(UTC)
    with room.store.transaction() as session:
        for row in deliveries_of(session, job.case_id):
            row.state, row.attempts_utc, row.finished_utc = "delivered", [now.isoformat()], now
        for handed in hand_overs.hand_overs_of(session, job.case_id):
            handed.state = "delivered"
        set_state(session, job.case_id, CaseState.DELIVERED, "2 objects to tps")
    assert code(physicist.post(path(job, "sending"), {"destination": "elsewhere", **WHY})) == (409, "not-sent")
    assert physicist.post(path(job, "sending"), {"destination": "tps", **WHY}).status_code == 303
    assert (state(room, job), due(room)) == (CaseState.DELIVERING, (2, 0))
    (event,) = events(room, "sent-again")
    assert event.detail == {"destination": "tps", **WHY}
    with room.store.transaction() as session:
        set_state(session, job.case_id, CaseState.DELIVERED, "2 objects to tps")
    assert physicist.post(path(job, "sending"), {"destination": "the folder for Eclipse", **WHY}).status_code == 303
    assert due(room) == (2, 1)


def test_a_case_that_is_not_there_is_not_handled(physicist: Browser) -> None:
    assert code(physicist.post("/cases/0123456789ab/hold", WHY)) == (404, "case-unknown")


@pytest.mark.parametrize("name", ["objectives.json", "dvh.json", "result.json"])
def test_a_case_whose_files_were_touched_says_so_and_can_be_predicted_again(
    physicist: Browser, job: Job, name: str
) -> None:
    with (result_folder(physicist.room.cases_folder, job) / name).open("ab") as file:
        file.write(b"\n")
    page = physicist.get(f"/cases/{job.case_id}")
    assert page.status_code == 200
    assert f"{name} of case {job.case_id} is not the file that the bridge wrote" in page.text
    assert "and release" not in page.text
    assert physicist.post(path(job, "prediction"), {"version": f"{job.id}-0", **WHY}).status_code == 303
    assert state(physicist.room, job) is CaseState.QUEUED


def test_edits_that_a_new_prediction_leaves_behind_are_told_with_the_reason(physicist: Browser, job: Job) -> None:
    room = physicist.room
    assert "leave-edits" not in physicist.get(path(job, "")[:-1]).text
    for first in (1, 0):
        now = shown(physicist, job)
        rows = [{"source": place} for place in range(first, len(now["set"]["objectives"]))]
        rows[0]["priority"] = 55.0 + first
        headers = {"if-match": f'"{now["version"]}"'}
        assert physicist.send("PUT", path(job, "objectives.json"), {"rows": rows}, **headers).status_code == 200
    page = physicist.get(path(job, "")[:-1]).text
    assert page.count("Leave all 2 edits under “Who changed what” behind") == 2, "predict again, and adopt"
    assert "left-behind" not in page
    again = {"version": shown(physicist, job)["version"], **WHY}
    # who posts without the page's box is refused by the server as well
    assert code(physicist.post(path(job, "prediction"), again)) == (409, "edits-left-behind")
    asked = {**again, "preference": None}
    assert code(physicist.send("POST", path(job, "prediction.json"), asked)) == (409, "edits-left-behind")
    assert state(room, job) is CaseState.REVIEW
    assert physicist.post(path(job, "prediction"), {**again, "leave_edits": "on"}).status_code == 303
    with room.store.transaction() as session:
        queued = jobs.claim_next(session)
        assert queued is not None
        shutil.copytree(result_folder(room.cases_folder, job), result_folder(room.cases_folder, queued))
        jobs.finish(session, queued, "done", "", jobs.done_by(session, job.id)[1])
        set_state(session, job.case_id, CaseState.REVIEW, "predicted; waits for approval")
    page = physicist.get(path(job, "")[:-1]).text
    told = page[page.index('id="left-behind"') :]
    assert "2 edits of earlier predictions are not in this version." in told
    assert f"version {job.id}-1, a.physicist at" in told
    assert f"version {job.id}-2, a.physicist at" in told
    assert f"UTC: {WHY['reason']}" in told
    (event,) = events(room, "prediction-repeated")
    assert event.detail["edits_left_behind"] == 2


def test_after_an_edit_it_is_said_what_lies_elsewhere_and_is_not_called_back(physicist: Browser, job: Job) -> None:
    room = physicist.room
    sign(physicist, job)
    with room.store.transaction() as session:
        for row in [*deliveries_of(session, job.case_id), *hand_overs.hand_overs_of(session, job.case_id)]:
            row.state, row.finished_utc = "delivered", datetime.now(UTC)
        set_state(session, job.case_id, CaseState.DELIVERED, "sent")
    assert "out-of-date" not in physicist.get(path(job, "")[:-1]).text
    now = shown(physicist, job)
    rows = [{"source": place} for place in range(1, len(now["set"]["objectives"]))]
    headers = {"if-match": f'"{now["version"]}"'}
    assert physicist.send("PUT", path(job, "objectives.json"), {"rows": rows}, **headers).status_code == 200
    page = physicist.get(path(job, "")[:-1]).text
    assert "cannot be called back" in page
    listed = f"the folder for Eclipse: objectives <code>{now['set']['sha256'][:20]}"
    assert re.search(f"{listed}.*, withdrawing</li>", page)
    assert sign(physicist, job).json() == {"released": True}
    assert listed in physicist.get(path(job, "")[:-1]).text, "the earlier ones may still lie there"
    for is_used in (False, True):
        with room.store.transaction() as session:
            row = hand_overs.hand_overs_of(session, job.case_id)[0]
            row.state = "withdrawn"
            if is_used:
                session.add(
                    AnswerRow(
                        hand_over_id=row.id, file="receipt.json", sha256="0" * 64, state="applied", message="a plan",
                        receipt=None, created_utc=datetime.now(UTC), taken_utc=datetime.now(UTC),
                    )
                )  # fmt: skip
        assert (listed in physicist.get(path(job, "")[:-1]).text) is is_used


def test_a_case_that_could_not_be_sent_offers_what_may_be_done_with_it(physicist: Browser, job: Job) -> None:
    """Where a newer prediction failed, the earlier results are not sent any more."""
    room = physicist.room
    sign(physicist, job)
    with room.store.transaction() as session:
        set_state(session, job.case_id, CaseState.FAILED, "not delivered to tps: does not match")
    offered = ("trial", "prediction", "sending")
    assert [f'action="{path(job, what)}"' in physicist.get(path(job, "")[:-1]).text for what in offered] == [True] * 3
    with room.store.transaction() as session:
        jobs.queue_again(session, job, None)
        set_state(session, job.case_id, CaseState.QUEUED, "to be predicted again")
        newer = jobs.claim_next(session)
        assert newer is not None
        jobs.finish(session, newer, "failed", "the model failed")
        set_state(session, job.case_id, CaseState.FAILED, "the model failed")
    page = physicist.get(path(job, "")[:-1]).text
    assert [f'action="{path(job, what)}"' in page for what in offered] == [True, True, False]
