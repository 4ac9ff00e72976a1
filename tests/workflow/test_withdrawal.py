"""Objectives whose approval is void leave Eclipse's folder, unless a plan got them or somebody changed them there."""

from __future__ import annotations

import shutil
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from bridge.rt.errors import ApprovalRefusal, StorageFailure
from bridge.workflow import decide, stops
from bridge.workflow.cases import CaseState, set_state
from bridge.workflow.revisions import void
from bridge.workflow.schema import JobRow
from bridge.workflow.store import Store
from objective_extraction.objective_json import read_approved
from tests.tps.receipts import GIVEN, REFUSED, receipt_json
from tests.workflow.handed_over import Room, handed_over


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Room:
    return handed_over(store, tmp_path)


def voided(room: Room) -> None:
    """Let somebody edit the objectives."""
    with room.store.transaction() as session:
        void(session, room.id, "a.physicist")
        set_state(session, room.id, CaseState.REVIEW, "edited by a.physicist; waits for approval")


def test_objectives_that_no_plan_got_leave_the_folder(room: Room) -> None:
    voided(room)
    assert room.line().state == "withdrawing"
    for _ in range(2):
        room.courier().run_once()
        room.answers.take_in()
    assert list(room.folder.root.iterdir()) == []
    assert (room.line().state, room.line().message) == ("withdrawn", "")
    (event,) = room.events("hand-over-withdrawn")
    assert (event.case_id, event.detail["objectives_sha256"]) == (room.id, GIVEN.sha256)
    assert room.events("hand-over-removed") == [], "the bridge took it out itself"
    assert room.state() == ("review", "edited by a.physicist; waits for approval")


def test_they_leave_although_the_case_is_put_on_hold(room: Room) -> None:
    voided(room)
    with room.store.transaction() as session:
        stops.stop(session, room.id, stops.StopKind.HELD, "a.physicist", "look again")
    room.courier().run_once()
    assert not room.handed.exists()


def test_those_of_a_discarded_case_leave_and_come_back_with_it(room: Room) -> None:
    with room.store.transaction() as session:
        stops.stop(session, room.id, stops.StopKind.DISCARDED, "a.physicist", "another patient's")
    room.courier().run_once()
    assert (list(room.folder.root.iterdir()), room.line().state) == ([], "withdrawn")
    with room.store.transaction() as session:
        stops.resume(session, room.id, "a.physicist", "it was his after all")
    room.courier().run_once()
    assert sorted(path.name for path in room.handed.iterdir()) == ["objectives.json", "objectives.xml"]
    assert room.state() == ("delivered", "objectives to the folder for Eclipse: no answer yet")


def test_what_an_edit_made_void_does_not_come_back_with_a_discarded_case(room: Room) -> None:
    voided(room)
    room.courier().run_once()
    for change in (partial(stops.stop, kind=stops.StopKind.DISCARDED), stops.resume):
        with room.store.transaction() as session:
            change(session, room.id, actor="a.physicist", reason="a mistake")
    room.courier().run_once()
    assert (list(room.folder.root.iterdir()), room.line().state) == ([], "withdrawn")


def test_objectives_that_a_plan_got_stay_and_it_is_said(room: Room) -> None:
    room.answered()
    voided(room)
    room.courier().run_once()
    assert sorted(path.name for path in room.handed.iterdir()) == ["objectives.json", "objectives.xml", "receipt.json"]
    assert (room.line().state, room.line().message) == ("delivered", "not withdrawn: a plan in Eclipse got them")
    (event,) = room.events("hand-over-kept")
    assert (event.case_id, event.detail["reason"]) == (room.id, room.line().message)


def test_so_do_those_whose_receipt_was_not_taken_in_yet(room: Room) -> None:
    (room.handed / "receipt.json").write_bytes(receipt_json())
    voided(room)
    room.courier().run_once()
    assert (room.handed / "objectives.json").exists()
    told = "not withdrawn: A plan in Eclipse got them (2.25.7). [objectives-used]"
    assert (room.line().state, room.line().message) == ("delivered", told)
    assert len(room.events("hand-over-kept")) == 1
    room.answers.take_in()
    assert [one.state for one in room.line().answers] == ["applied"]


def test_objectives_that_were_refused_leave_and_the_refusal_stays(room: Room) -> None:
    room.answered(**REFUSED)
    voided(room)
    room.courier().run_once()
    assert [path.name for path in room.handed.iterdir()] == ["receipt.json"]
    assert room.line().state == "withdrawn"


@pytest.mark.parametrize("file", ["objectives.json", "objectives.xml"])
def test_what_somebody_changed_stays_and_it_is_said(room: Room, file: str) -> None:
    path = room.handed / file
    path.write_text(path.read_text().replace("70.5", "60.5"))
    voided(room)
    room.courier().run_once()
    assert sorted(path.name for path in room.handed.iterdir()) == ["objectives.json", "objectives.xml"]
    assert room.line().state == "delivered"
    assert room.line().message.startswith("not withdrawn: ")
    assert "objectives-changed" in room.line().message
    assert len(room.events("hand-over-kept")) == 1


def test_another_approval_than_was_written_is_a_change(room: Room) -> None:
    path = room.handed / "objectives.json"
    path.write_text(path.read_text().replace("A. Physicist", "B. Physicist"))
    voided(room)
    room.courier().run_once()
    assert path.exists()
    assert "objectives-changed" in room.line().message


def test_a_withdrawal_that_was_interrupted_is_ended(room: Room) -> None:
    (room.handed / "objectives.xml").unlink()
    voided(room)
    room.courier().run_once()
    assert list(room.folder.root.iterdir()) == []
    assert room.line().state == "withdrawn"


def test_a_folder_that_somebody_removed_is_not_there_to_withdraw(room: Room) -> None:
    shutil.rmtree(room.handed)
    voided(room)
    room.courier().run_once()
    assert (room.line().state, room.line().message) == ("withdrawn", f"nothing of it lay in {room.folder.root}")


def test_a_share_that_is_away_is_tried_again_and_then_given_up(room: Room) -> None:
    away = room.folder.root.rename(room.folder.root.with_name("away"))
    voided(room)
    for _ in range(130):
        room.courier().run_once()
        room.now += timedelta(seconds=1)
    assert room.line().state == "delivered"
    assert room.line().message.startswith("not withdrawn: The drop folder for Eclipse is not there")
    assert len(room.events("hand-over-not-yet-withdrawn")) == 5
    assert (away / room.handed.name / "objectives.json").exists()


def test_files_that_cannot_be_removed_are_tried_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    voided(room)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", _denied)
        room.courier().run_once()
    assert room.line().state == "withdrawing"
    assert "Permission denied" in room.line().message
    room.now += timedelta(seconds=10)
    room.courier().run_once()
    assert list(room.folder.root.iterdir()) == []


def _denied(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_an_answer_that_comes_after_the_withdrawal_is_heard(room: Room) -> None:
    """The plug-in had read them before."""
    voided(room)
    room.courier().run_once()
    room.handed.mkdir()
    room.answered()
    (answer,) = room.line().answers
    assert answer.state == "applied"
    assert answer.message.endswith("; their approval is void")


def test_what_is_withdrawn_is_not_sent_again(room: Room) -> None:
    """The prediction that followed failed, and the void objectives are still the newest."""
    voided(room)
    room.courier().run_once()
    with room.store.transaction() as session:
        set_state(session, room.id, CaseState.FAILED, "the model failed")
    with pytest.raises(ApprovalRefusal, match="was ever sent"), room.store.transaction() as session:
        decide.send_again(session, room.id, "the folder for Eclipse", "a.physicist", "again")


def test_a_folder_with_a_template_alone_is_not_taken_for_a_hand_over(room: Room) -> None:
    (room.handed / "objectives.json").unlink()
    with pytest.raises(StorageFailure):
        room.folder.withdraw(GIVEN.sha256)
    assert (room.handed / "objectives.xml").exists()


def test_what_was_refused_comes_back_with_a_discarded_case_beside_its_refusal(room: Room) -> None:
    room.answered(**REFUSED)
    discard_and_resume(room)
    room.courier().run_once()
    assert sorted(path.name for path in room.handed.iterdir()) == ["objectives.json", "objectives.xml", "receipt.json"]
    assert room.line().state == "delivered"
    assert read_approved(room.handed / "objectives.json")[1] is not None


def discard_and_resume(room: Room) -> None:
    with room.store.transaction() as session:
        stops.stop(session, room.id, stops.StopKind.DISCARDED, "a.physicist", "another patient's")
    room.courier().run_once()
    with room.store.transaction() as session:
        stops.resume(session, room.id, "a.physicist", "it was his after all")


@pytest.mark.parametrize("is_there", [True, False])
def test_what_a_plan_got_is_not_written_once_more_when_its_approval_is_void(room: Room, is_there: bool) -> None:
    room.answered()
    if not is_there:
        shutil.rmtree(room.handed)
    with room.store.transaction() as session:
        decide.send_again(session, room.id, "the folder for Eclipse", "a.physicist", "its folder was removed")
    voided(room)
    for _ in range(2):
        room.courier().run_once()
    assert room.handed.exists() == is_there
    assert room.line().state == ("delivered" if is_there else "withdrawn")


def test_what_was_given_up_although_it_lies_there_is_withdrawn(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(store, tmp_path)
    room.approve()
    with monkeypatch.context() as patch:
        patch.setattr("bridge.tps.eclipse.sync_folder", _denied)
        for _ in range(130):
            room.courier().run_once()
            room.now += timedelta(seconds=1)
    assert (room.state()[0], room.handed.exists()) == ("failed", True)
    voided(room)
    room.courier().run_once()
    assert (room.line().state, room.handed.exists()) == ("withdrawn", False)


def not_delivered(room: Room) -> None:
    """Let a destination beside Eclipse's folder refuse what it was sent."""
    with room.store.transaction() as session:
        set_state(session, room.id, CaseState.FAILED, "not delivered to tps: does not match")


def test_they_come_back_also_where_another_destination_refused_what_it_got(room: Room) -> None:
    not_delivered(room)
    discard_and_resume(room)
    room.courier().run_once()
    assert (room.line().state, room.handed.exists()) == ("delivered", True)


def test_they_do_not_come_back_where_a_newer_prediction_failed(room: Room) -> None:
    not_delivered(room)
    with room.store.transaction() as session:
        session.add(newer_job(room, "failed"))
    discard_and_resume(room)
    room.courier().run_once()
    assert (room.line().state, room.handed.exists()) == ("withdrawn", False)


def newer_job(room: Room, state: str) -> JobRow:
    return JobRow(
        case_id=room.id, input_sha256="newer", inputs=["cc"], state=state, attempts=1, message="", created_utc=room.now
    )


def test_a_discarded_case_says_that_its_objectives_were_withdrawn(room: Room) -> None:
    with room.store.transaction() as session:
        stops.stop(session, room.id, stops.StopKind.DISCARDED, "a.physicist", "another patient's")
    room.courier().run_once()
    assert room.state() == ("delivered", "objectives to the folder for Eclipse: withdrawn")


def test_an_answer_that_comes_before_the_withdrawal_is_heard_and_keeps_them(room: Room) -> None:
    voided(room)
    room.answered()
    assert [one.state for one in room.line().answers] == ["applied"]
    room.courier().run_once()
    assert (room.line().state, room.handed.exists()) == ("delivered", True)


def test_a_withdrawal_that_is_cut_short_leaves_what_says_whose_the_rest_is(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    voided(room)
    unlink, done = Path.unlink, list[Path]()

    def once(path: Path, missing_ok: bool = False) -> None:
        if done:
            _denied()
        done.append(path)
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", once)
        room.courier().run_once()
    assert [path.name for path in room.handed.iterdir()] == ["objectives.json"]
    room.now += timedelta(seconds=10)
    room.courier().run_once()
    assert (room.line().state, room.handed.exists()) == ("withdrawn", False)
