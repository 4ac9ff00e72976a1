"""What was sent where, when, how often, and what was said to it: on the page of the case, for good."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from bridge.node.ledger import Delivery
from bridge.node.scu import DeliveryOutcome, InstanceResult
from bridge.node.settings import Destination
from bridge.web.room import ReviewRoom
from bridge.workflow import hand_overs
from bridge.workflow.case_ledger import LedgerLine, ledger_of
from bridge.workflow.deliveries import SqlDeliveryLedger
from bridge.workflow.jobs import Job
from bridge.workflow.schema import AnswerRow
from tests.web.browser import PASSWORD, Browser

TPS = Destination("tps", "TPS", "127.0.0.1", 104)


@pytest.fixture
def physicist(browser: Browser, job: Job) -> Browser:
    browser.log_in("physicist")
    shown = browser.json(f"/cases/{job.case_id}/objectives.json").json()
    wanted = {"version": shown["version"], "objectives_sha256": shown["set"]["sha256"], "password": PASSWORD}
    assert browser.send("POST", f"/cases/{job.case_id}/approval.json", wanted).json() == {"released": True}
    return browser


def result(delivery: Delivery, outcome: DeliveryOutcome, reason: str) -> InstanceResult:
    return InstanceResult(delivery.path, delivery.sop_instance_uid, outcome, None, outcome.name.lower(), reason)


def try_all(room: ReviewRoom, outcome: DeliveryOutcome, reason: str, again: datetime | None) -> None:
    ledger = SqlDeliveryLedger(room.store, {"tps": TPS})
    now = datetime.now(UTC)
    for delivery in ledger.due(now + timedelta(days=1)):
        ledger.mark(delivery, result(delivery, outcome, reason), now, again)


def ledger(room: ReviewRoom, job: Job) -> list[LedgerLine]:
    with room.store.transaction() as session:
        return list(ledger_of(session, job.case_id))


def test_every_attempt_is_told_with_what_was_said(physicist: Browser, job: Job) -> None:
    room = physicist.room
    assert [(line.destination, line.what, line.state, line.attempts) for line in ledger(room, job)] == [
        ("the folder for Eclipse", "objectives", "pending", ()),
        ("tps", "RTPLAN", "pending", ()),
        ("tps", "RTDOSE", "pending", ()),
    ]
    again = datetime.now(UTC) + timedelta(minutes=5)
    try_all(room, DeliveryOutcome.TEMPORARY, "nobody answers", again)
    waiting = ledger(room, job)[1]
    assert (waiting.state, waiting.next_utc) == ("pending", again)
    try_all(room, DeliveryOutcome.SENT, "stored", None)
    told = [(one.outcome, one.message) for one in ledger(room, job)[1].attempts]
    assert told == [("temporary", "nobody answers"), ("sent", "stored")]
    page = physicist.get(f"/cases/{job.case_id}").text
    assert len(re.findall("temporary: nobody answers", page)) == 2


def test_sending_again_forgets_no_attempt(physicist: Browser, job: Job) -> None:
    room = physicist.room
    with room.store.transaction() as session:
        (handed,) = hand_overs.hand_overs_of(session, job.case_id)
        handed.state = "delivered"
    try_all(room, DeliveryOutcome.PERMANENT, "does not match", None)
    form = {"destination": "tps", "reason": "the peer was mended"}
    assert physicist.post(f"/cases/{job.case_id}/sending", form).status_code == 303
    try_all(room, DeliveryOutcome.SENT, "stored", None)
    line = ledger(room, job)[1]
    told = [(one.outcome, one.message) for one in line.attempts]
    assert (line.state, told) == ("delivered", [("permanent", "does not match"), ("sent", "stored")])


def test_what_eclipse_answered_stands_with_what_was_handed_over(physicist: Browser, job: Job) -> None:
    room, now = physicist.room, datetime.now(UTC)
    with room.store.transaction() as session:
        (row,) = hand_overs.hand_overs_of(session, job.case_id)
        row.state = "delivered"
        session.add(
            AnswerRow(
                hand_over_id=row.id,
                file="receipt.json",
                sha256="0" * 64,
                state="applied",
                message="31 objectives in plan P1",
                receipt=None,
                created_utc=now,
                taken_utc=now,
            )
        )
    line = ledger(room, job)[0]
    assert [(one.outcome, one.message) for one in line.attempts] == [("answered: applied", "31 objectives in plan P1")]
    assert "answered: applied: 31 objectives in plan P1" in physicist.get(f"/cases/{job.case_id}").text
