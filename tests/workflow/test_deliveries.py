from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from bridge.node.ledger import Courier
from bridge.node.scu import DeliveryOutcome, InstanceResult
from bridge.node.settings import Destination, RetryPolicy
from bridge.rt.errors import ApprovalRefusal
from bridge.workflow import audit, decide, jobs
from bridge.workflow.case_ledger import ledger_of, out_of_date
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.deliveries import SqlDeliveryLedger, deliveries_of
from bridge.workflow.jobs import result_folder
from bridge.workflow.release import Recipient, enqueue
from bridge.workflow.results import results_of
from bridge.workflow.revisions import void
from bridge.workflow.store import Store
from tests.workflow.results import make_results

BOTH = ("predicted_plan", "predicted_dose")
TPS, ARCHIVE = (Destination(name, name.upper(), "127.0.0.1", 104) for name in ("tps", "archive"))
SENT = (DeliveryOutcome.SENT, 0x0000, "stored")
WARNED = (DeliveryOutcome.SENT_WITH_WARNING, 0xB000, "stored, with warning")
DOWN = (DeliveryOutcome.TEMPORARY, None, "nobody answers")
NEVER = (DeliveryOutcome.PERMANENT, 0xA900, "does not match")
Answer = tuple[DeliveryOutcome, int | None, str]


class Room:
    """A case that is being delivered, on a clock of its own, to destinations that answer as they are told."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder, self.now = store, folder, datetime.now(UTC) + timedelta(hours=1)
        self.answers: dict[str, Answer] = {"tps": SENT, "archive": SENT}
        self.sent: list[tuple[str, str]] = []
        self.case_id = ""
        self.release(("aa", "bb"))

    def release(self, inputs: Sequence[str]) -> None:
        job, artifacts = make_results(self.store, self.folder, inputs)
        self.case_id = job.case_id
        with self.store.transaction() as session:
            recipients = [Recipient("tps", BOTH), Recipient("archive", BOTH)]
            enqueue(session, job.case_id, result_folder(self.folder, job), artifacts, recipients)

    def send(self, destination: Destination, files: Sequence[Path]) -> list[InstanceResult]:
        outcome, status, reason = self.answers[destination.name]
        self.sent += [(destination.name, file.name) for file in files]
        return [InstanceResult(file, None, outcome, status, "code", reason) for file in files]

    def courier(self, *destinations: Destination) -> None:
        ledger = SqlDeliveryLedger(self.store, {d.name: d for d in destinations or (TPS, ARCHIVE)})
        policy = RetryPolicy(first_delay_s=10.0, factor=2.0, longest_delay_s=25.0, give_up_after_s=100.0)
        Courier(ledger, self, lambda: self.now, policy).run_once()

    def state(self) -> tuple[CaseState, str]:
        with self.store.transaction() as session:
            audit.verify(session)
            case = get_case(session, self.case_id)
            return case.state, case.reason

    def force(self, state: CaseState) -> None:
        with self.store.transaction() as session:
            set_state(session, self.case_id, state, "for the test")


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Room:
    return Room(store, tmp_path / "cases")


def test_everything_is_sent_once_plan_before_dose(room: Room) -> None:
    room.courier()
    assert [name for to, name in room.sent if to == "tps"] == ["rtplan.dcm", "rtdose.dcm"]
    assert room.state() == (CaseState.DELIVERED, "4 objects to archive, tps")
    room.now += timedelta(days=30)
    room.courier()
    assert len(room.sent) == 4


def test_a_warning_counts_as_delivered_and_is_kept(room: Room) -> None:
    room.answers["tps"] = WARNED
    room.courier()
    assert room.state()[0] is CaseState.DELIVERED
    with room.store.transaction() as session:
        rows = deliveries_of(session, room.case_id)
    assert {(row.destination, row.status, row.message) for row in rows} == {
        ("tps", 0xB000, "stored, with warning"),
        ("archive", 0x0000, "stored"),
    }


def test_a_destination_that_is_down_is_tried_again_later_and_later(room: Room) -> None:
    room.answers["tps"] = DOWN
    times = []
    for second in range(130):
        before = len(room.sent)
        room.courier()
        if any(to == "tps" for to, _ in room.sent[before:]):
            times.append(second)
        if second == 5:
            assert room.state() == (CaseState.DELIVERING, "tps: nobody answers; tps: nobody answers")
        room.now += timedelta(seconds=1)
    # 10, 20, then 25 at most; after the one at 80 the next would come later than 100 s after the first
    assert times == [0, 10, 30, 55, 80]
    assert room.state() == (CaseState.FAILED, "not delivered to tps: nobody answers; tps: nobody answers")
    with room.store.transaction() as session:
        attempts = [len(row.attempts_utc) for row in deliveries_of(session, room.case_id)]
    assert attempts == [5, 5, 1, 1]


def test_what_a_crash_left_is_still_owed_with_its_attempts(room: Room) -> None:
    room.answers["tps"] = DOWN
    room.courier()
    again = Store(room.store.engine.url)
    ledger = SqlDeliveryLedger(again, {"tps": TPS, "archive": ARCHIVE})
    assert ledger.due(room.now + timedelta(seconds=9)) == []
    due = ledger.due(room.now + timedelta(seconds=10))
    again.close()
    assert [(item.destination.name, item.attempts) for item in due] == [("tps", (room.now,))] * 2


def test_a_permanent_refusal_fails_the_case_once_nothing_is_pending(room: Room) -> None:
    room.answers = {"tps": NEVER, "archive": DOWN}
    room.courier()
    assert room.state()[0] is CaseState.DELIVERING
    room.answers["archive"] = SENT
    room.now += timedelta(seconds=10)
    room.courier()
    assert room.state() == (CaseState.FAILED, "not delivered to tps: does not match; tps: does not match")
    assert [to for to, _ in room.sent].count("tps") == 2


def test_a_destination_that_left_the_settings_waits_until_it_is_back(room: Room) -> None:
    room.courier(ARCHIVE)
    assert room.state()[0] is CaseState.DELIVERING
    assert {to for to, _ in room.sent} == {"archive"}
    room.courier()
    assert room.state()[0] is CaseState.DELIVERED


@pytest.mark.parametrize(
    "state", [CaseState.QUEUED, CaseState.RUNNING, CaseState.REVIEW, CaseState.REFUSED, CaseState.FAILED]
)
def test_a_late_delivery_does_not_touch_a_case_that_went_on(room: Room, state: CaseState) -> None:
    """Results of an earlier input arrive while newer ones wait for approval: the approval must stay possible."""
    room.force(state)
    room.courier()
    assert len(room.sent) == 4
    assert room.state() == (state, "for the test")


def test_an_earlier_result_that_failed_does_not_fail_a_newer_one(room: Room) -> None:
    room.answers["tps"] = NEVER
    room.courier()
    assert room.state()[0] is CaseState.FAILED
    room.answers["tps"] = SENT
    room.release(("aa", "bb", "plan"))
    room.courier()
    assert room.state() == (CaseState.DELIVERED, "4 objects to archive, tps")


@pytest.mark.parametrize("change", ["altered", "removed"])
def test_a_file_that_changed_after_its_release_is_never_sent(room: Room, change: str) -> None:
    dose = next(room.folder.rglob("rtdose.dcm"))
    if change == "altered":
        dose.write_bytes(dose.read_bytes() + b"\0")
    else:
        dose.unlink()
    room.courier()
    assert {name for _, name in room.sent} == {"rtplan.dcm"}
    state, reason = room.state()
    assert state is CaseState.FAILED
    assert "rtdose.dcm is not the file that was released" in reason


def test_only_the_newest_results_are_tried_again(room: Room) -> None:
    room.answers["tps"] = NEVER
    room.courier()
    room.release(("aa", "bb", "cc"))
    room.courier()
    assert room.state()[0] is CaseState.FAILED
    with room.store.transaction() as session:
        decide.retry(session, room.case_id, "a.physicist")
        states = [(row.destination, row.state) for row in deliveries_of(session, room.case_id)]
    assert states[:2] == [("tps", "failed")] * 2
    assert states[4:6] == [("tps", "pending")] * 2


def voided(room: Room) -> None:
    with room.store.transaction() as session:
        void(session, room.case_id, "a.physicist")
        set_state(session, room.case_id, CaseState.QUEUED, "to be predicted again")


def test_nothing_is_sent_any_more_whose_approval_is_void(room: Room) -> None:
    room.answers["tps"] = DOWN
    room.courier()
    voided(room)
    sent = len(room.sent)
    room.now += timedelta(seconds=10)
    room.courier()
    assert len(room.sent) == sent
    with room.store.transaction() as session:
        rows = deliveries_of(session, room.case_id)
        told = [one.outcome for line in ledger_of(session, room.case_id) for one in line.attempts]
        assert out_of_date(ledger_of(session, room.case_id), True) != []
    assert [row.state for row in rows] == ["withdrawn"] * 2 + ["delivered"] * 2
    assert rows[0].message == "not sent: its approval is void"
    assert told.count("withdrawn") == 2


@pytest.mark.parametrize(("answer", "state"), [(SENT, "delivered"), (DOWN, "withdrawn"), (NEVER, "withdrawn")])
def test_what_was_on_its_way_when_its_approval_became_void_says_if_it_came(
    room: Room, monkeypatch: pytest.MonkeyPatch, answer: Answer, state: str
) -> None:
    send = room.send

    def late(destination: Destination, files: Sequence[Path]) -> list[InstanceResult]:
        voided(room)
        return send(destination, files)

    monkeypatch.setattr(room, "send", late)
    room.answers["tps"] = answer
    room.courier(TPS)
    room.now += timedelta(days=1)
    room.courier(TPS)
    with room.store.transaction() as session:
        rows = deliveries_of(session, room.case_id)
    assert [row.state for row in rows[:2]] == [state] * 2


def test_what_was_withdrawn_is_sent_where_it_is_released_once_more(room: Room) -> None:
    voided(room)
    with room.store.transaction() as session:
        done = jobs.last_done(session, room.case_id)
        assert done is not None
        enqueue(session, room.case_id, result_folder(room.folder, done[0]), done[1], [Recipient("tps", BOTH)])
    room.courier()
    assert room.sent == [("tps", "rtplan.dcm"), ("tps", "rtdose.dcm")]
    assert room.state() == (CaseState.DELIVERED, "4 objects to archive, tps")


def failed_anew(room: Room) -> None:
    """Let other files come after the delivery, and their prediction fail."""
    with room.store.transaction() as session:
        void(session, room.case_id, "bridge")
        assert jobs.queue(session, room.case_id, ["aa", "bb", "cc"])
        job = jobs.claim_next(session)
        assert job is not None
        jobs.finish(session, job, "failed", "the model failed")
        set_state(session, room.case_id, CaseState.FAILED, "the model failed")


@pytest.mark.parametrize("what", ["send", "predict"])
def test_where_a_newer_prediction_failed_the_earlier_results_are_let_be(room: Room, what: str) -> None:
    """They were decided without the files that came; sent again, the case would be called delivered."""
    room.courier()
    failed_anew(room)
    with room.store.transaction() as session:
        results = results_of(session, room.folder, room.case_id)
    ask = {
        "send": partial(decide.send_again, case_id=room.case_id, destination="tps"),
        "predict": partial(decide.predict_again, results=results),
    }
    with pytest.raises(ApprovalRefusal) as refused, room.store.transaction() as session:
        ask[what](session, actor="a.physicist", reason="again")
    assert refused.value.code == ("not-sent" if what == "send" else "not-repeatable")
    assert room.state() == (CaseState.FAILED, "the model failed")


def test_a_case_whose_files_were_damaged_before_they_were_sent_is_predicted_again(room: Room) -> None:
    with room.store.transaction() as session:
        Path(deliveries_of(session, room.case_id)[0].path).unlink()
    room.courier()
    assert room.state()[0] is CaseState.FAILED
    with room.store.transaction() as session:
        results = results_of(session, room.folder, room.case_id)
        decide.predict_again(session, results, "a.physicist", "a file is gone")
        job = jobs.claim_next(session)
    assert job is not None
    assert job.inputs == results.job.inputs
