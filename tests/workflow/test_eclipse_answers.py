"""What Eclipse answers is judged once, stands in the audit trail, and the case says it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from bridge.rt.errors import StorageFailure
from bridge.tps.eclipse import EclipseFolder
from bridge.workflow import decide, eclipse_answers, hand_overs, jobs
from bridge.workflow.eclipse_answers import EclipseAnswers
from bridge.workflow.store import Store
from tests.tps.receipts import GIVEN, REFUSED, receipt_json
from tests.workflow.handed_over import Room, handed_over
from tests.workflow.results import make_results

APPLIED = "applied 5 of 6 objectives to plan 2.25.7; not taken: Parotid_L-PTV: upper 20 Gy at 20 % (no such)"
SAID = ("eclipse-applied", "eclipse-refused", "receipt-refused")
LATER = {"created_utc": "2026-03-02T11:00:00Z"}


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Room:
    return handed_over(store, tmp_path)


def again(room: Room) -> None:
    """Look once more, as this process and as one that was just started."""
    room.answers.take_in()
    EclipseAnswers(room.store, room.folder).take_in()


def test_an_applied_receipt_is_taken_in_once(room: Room) -> None:
    room.answers.take_in()
    assert room.line().answers == ()
    room.answered()
    again(room)
    (event,) = room.events(*SAID)
    assert (event.action, event.case_id, event.actor) == ("eclipse-applied", room.id, "bridge")
    assert event.detail["objectives_sha256"] == GIVEN.sha256
    assert (event.detail["plan_uid"], event.detail["taken_by"]) == ("2.25.7", "eclipse plug-in 1.0")
    assert event.detail["message"] == APPLIED
    assert room.state() == ("delivered", f"objectives to the folder for Eclipse: {APPLIED}")
    assert [(one.file, one.state, one.message) for one in room.line().answers] == [("receipt.json", "applied", APPLIED)]


def test_an_accepted_receipt_says_which_prediction_a_plan_got(room: Room) -> None:
    room.answered(**REFUSED)
    with room.store.transaction() as session:
        assert hand_overs.predictions_in(session, ["2.25.7"]) == {}
    room.answered(**LATER)
    with room.store.transaction() as session:
        done = jobs.last_done(session, room.id)
        assert done is not None
        assert hand_overs.predictions_in(session, ["2.25.7", "2.25.8"]) == {"2.25.7": done[0].id}


def test_a_refusal_says_why_and_a_later_run_may_apply(room: Room) -> None:
    room.answered(**REFUSED)
    refused = "refused: The plan is approved. [plan-approved]"
    assert room.state() == ("delivered", f"objectives to the folder for Eclipse: {refused}")
    room.answered(**LATER)
    assert room.state() == ("delivered", f"objectives to the folder for Eclipse: {APPLIED}")
    assert [event.action for event in room.events(*SAID)] == ["eclipse-refused", "eclipse-applied"]
    assert [one.message for one in room.line().answers] == [refused, APPLIED]


def test_a_refusal_after_an_applied_run_hides_nothing(room: Room) -> None:
    room.answered()
    room.answered("refusal.json", **REFUSED, **LATER)
    again(room)
    assert room.state()[1].endswith(f"{APPLIED}; then refused: The plan is approved. [plan-approved]")
    assert [event.action for event in room.events(*SAID)] == ["eclipse-applied", "eclipse-refused"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"objectives_sha256": "0" * 64}, "receipt-of-other-objectives"),
        ({"state": "done"}, "receipt-invalid"),
        ({"state": "waiting", "made": [], "added": [], "refused": []}, "receipt-invalid"),
        ({"added": []}, "receipt-invalid"),
        ({"plan_uid": "../../etc"}, "receipt-invalid"),
    ],
)
def test_what_is_no_receipt_of_these_objectives_is_refused_loudly_and_once(
    room: Room, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], code: str
) -> None:
    room.answered(**changes)
    again(room)
    (event,) = room.events(*SAID)
    assert event.action == "receipt-refused"
    assert code in event.detail["message"]
    assert room.state()[1].startswith("objectives to the folder for Eclipse: receipt.json was not accepted: ")
    assert code in room.state()[1]
    assert [one.state for one in room.line().answers] == ["rejected"]
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    room.answered()
    assert room.state()[1].endswith(APPLIED), "a receipt that can be trusted may still come"


@pytest.mark.parametrize(
    "changes",
    [
        {"plan_uid": "2.25.8"},
        {"plan_uid": "2.25.8", "created_utc": "2026-03-02T09:59:59Z"},
        {**REFUSED, **LATER},
    ],
    ids=["other plan", "older", "no longer applied"],
)
def test_a_receipt_that_was_changed_after_it_was_taken_in_is_refused_and_hides_nothing(
    room: Room, changes: dict[str, Any]
) -> None:
    room.answered()
    room.answered(**changes)
    again(room)
    assert [event.action for event in room.events(*SAID)] == ["eclipse-applied", "receipt-refused"]
    assert room.state()[1].startswith(
        f"objectives to the folder for Eclipse: {APPLIED}; then receipt.json was not accepted: "
    )
    assert "receipt-changed" in room.state()[1]


def test_a_receipt_for_a_file_that_was_changed_since_is_refused(room: Room) -> None:
    room.path.write_bytes(room.path.read_bytes().replace(b"70.5", b"60.5"))
    room.answered()
    assert "artifact-changed" in room.line().answers[0].message


def test_what_a_case_says_stands_on_one_line_and_moves_no_cursor(room: Room) -> None:
    room.answered(**REFUSED | {"reason": "first\nsecond\x1b[2J\tthird"})
    assert room.line().answers[0].message == "refused: first second [2J third"


def test_a_receipt_that_cannot_be_read_yet_is_read_later_and_said_once(
    room: Room, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(path: Path) -> bytes:
        raise StorageFailure("receipt-read", "The receipt cannot be read: Permission denied.", file=path.name)

    with monkeypatch.context() as patch:
        patch.setattr(eclipse_answers, "receipt_bytes", locked)
        room.answered()
        room.answers.take_in()
    assert room.events(*SAID) == []
    assert caplog.text.count("Permission denied") == 1
    room.answers.take_in()
    assert len(room.events("eclipse-applied")) == 1
    assert "can be read again" in caplog.text


def test_a_bug_with_one_receipt_is_logged_once_and_holds_up_nothing(
    room: Room, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (room.handed / "receipt.json").write_bytes(receipt_json())
    with monkeypatch.context() as patch:
        patch.setattr(eclipse_answers, "_judged", lambda *_: 1 / 0)
        for _ in range(3):
            room.answers.take_in()
    assert caplog.text.count("ZeroDivisionError") == 1
    again(room)
    assert len(room.events("eclipse-applied")) == 1, "the next start looks again"


def test_a_share_that_is_away_is_said_once_and_comes_back(
    room: Room, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    away = room.folder.root.rename(tmp_path / "away")
    for _ in range(3):
        room.answers.take_in()
    assert caplog.text.count("cannot be read") == 1
    away.rename(room.folder.root)
    room.answered()
    assert len(room.events("eclipse-applied")) == 1


def test_a_folder_that_is_removed_before_a_plan_got_the_objectives_is_missed_once_and_written_again_on_request(
    room: Room, caplog: pytest.LogCaptureFixture
) -> None:
    room.answered(**REFUSED)
    shutil.rmtree(room.handed)
    again(room)
    (event,) = room.events("hand-over-removed")
    assert (event.case_id, event.detail["folder"]) == (room.id, room.handed.name)
    missed = (
        f"{room.handed.name} was removed from the drop folder, and no receipt says that a plan got them; "
        "`retry` writes it again"
    )
    assert room.state() == ("failed", f"not delivered to the folder for Eclipse: {missed}")
    assert sum(missed in one.message for one in caplog.records if one.levelname == "WARNING") == 1
    room.courier().run_once()
    assert not room.handed.exists(), "somebody may have meant to withdraw them"
    with room.store.transaction() as session:
        decide.retry(session, room.id, "A. Physicist")
    room.courier().run_once()
    again(room)
    assert (room.state()[0], room.line().state) == ("delivered", "delivered")
    assert room.handed.is_dir()


def test_a_folder_may_be_removed_once_a_plan_got_the_objectives(room: Room) -> None:
    room.answered()
    shutil.rmtree(room.handed)
    again(room)
    assert room.events("hand-over-removed") == []
    assert room.state() == ("delivered", f"objectives to the folder for Eclipse: {APPLIED}")


def test_an_answer_to_objectives_that_are_no_longer_the_newest_says_so(room: Room) -> None:
    """What was handed over stays in the folder when the case is predicted anew, and a planner may still take it."""
    make_results(room.store, room.cases, inputs=("aa", "cc"))
    room.answered()
    assert room.line().answers[0].message == f"{APPLIED}; the case has newer objectives than these"
    assert room.events("eclipse-applied")[0].detail["message"].endswith("newer objectives than these")


@pytest.mark.parametrize("kind", ["folder", "nothing"])
def test_only_files_are_receipts(room: Room, kind: str) -> None:
    if kind == "folder":
        (room.handed / "receipt.json").mkdir()
    (room.folder.root / "objectives-0").mkdir()
    (room.folder.root / "notes.txt").write_text("x")
    again(room)
    assert room.events(*SAID, "receipt-of-unknown-hand-over") == []


def test_an_answer_to_what_was_never_handed_over_is_said_once(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    strange = room.folder.root / ("objectives-" + "0123456789abcdef")
    strange.mkdir()
    again(room)
    assert room.events("receipt-of-unknown-hand-over") == []
    (strange / "receipt.json").write_bytes(receipt_json())
    again(room)
    again(room)
    (event,) = room.events("receipt-of-unknown-hand-over")
    assert event.detail == {"folder": strange.name, "files": ["receipt.json"]}
    assert caplog.text.count(strange.name) == 1


@pytest.mark.parametrize(("takes_s", "step_s"), [(0.0, 2.0), (0.5, 10.5)])
def test_the_folder_is_looked_at_every_other_second_and_a_slow_one_less_often(
    room: Room, monkeypatch: pytest.MonkeyPatch, takes_s: float, step_s: float
) -> None:
    now, rounds = 0.0, []

    def take_in(_: EclipseAnswers) -> None:
        nonlocal now
        rounds.append(now)
        now += takes_s

    monkeypatch.setattr(EclipseAnswers, "take_in", take_in)
    answers = EclipseAnswers(room.store, EclipseFolder(room.folder.root), lambda: now)
    while now < 3 * step_s:
        answers.run_once()
        now += 0.125
    assert rounds == [0.0, step_s, 2 * step_s]
