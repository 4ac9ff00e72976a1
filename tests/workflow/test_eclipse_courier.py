"""What was approved gets into Eclipse's folder: once, whatever dies or is not there meanwhile, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bridge.node.ledger import Courier
from bridge.node.scu import DeliveryOutcome, InstanceResult
from bridge.node.settings import Destination
from bridge.rt.errors import ApprovalRefusal, BridgeError, Refusal
from bridge.workflow import decide, hand_overs
from bridge.workflow.deliveries import SqlDeliveryLedger
from bridge.workflow.eclipse_courier import EclipseCourier
from bridge.workflow.release import Recipient, approve_file
from bridge.workflow.store import Store
from bridge.workflow.worklist import worklist
from objective_extraction.objective_json import objective_set_to_json, read_approved
from tests.tps.receipts import GIVEN
from tests.workflow.handed_over import POLICY, Room
from tests.workflow.results import make_results


@pytest.fixture
def room(store: Store, tmp_path: Path) -> Room:
    return Room(store, tmp_path)


def test_approved_objectives_are_handed_over_once_with_their_approval(room: Room) -> None:
    room.approve()
    assert room.state() == ("delivering", "to the folder for Eclipse")
    for _ in range(3):
        room.courier().run_once()
        room.now += timedelta(days=1)
    objectives, approval = read_approved(room.handed / "objectives.json")
    (approved,) = room.events("case-approved")
    assert (objectives, approval and approval.approved_by) == (GIVEN, "A. Physicist")
    assert approval is not None
    assert approval.approved_utc == approved.utc
    assert room.state() == ("delivered", "objectives to the folder for Eclipse: no answer yet")
    (event,) = room.events("hand-over-written")
    assert event.case_id == room.id
    assert event.detail["objectives_sha256"] == GIVEN.sha256
    assert event.detail["folder"] == room.handed.name
    assert (room.line().state, room.line().attempts) == ("delivered", 1)


def test_a_site_without_the_folder_owes_nothing(room: Room) -> None:
    room.approve(to_eclipse=False)
    room.courier().run_once()
    assert room.state()[0] == "delivered"
    assert list(room.folder.root.iterdir()) == []


def test_a_process_that_dies_between_folder_and_ledger_hands_over_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.approve()
    with monkeypatch.context() as patch:
        patch.setattr(EclipseCourier, "_mark", _die)
        with pytest.raises(KeyboardInterrupt):
            room.courier().run_once()
    before = {path: path.stat().st_mtime_ns for path in room.handed.iterdir()}
    assert room.line().state == "pending"
    room.courier().run_once()
    assert {path: path.stat().st_mtime_ns for path in room.handed.iterdir()} == before
    assert room.line().state == "delivered"
    assert len(room.events("hand-over-written")) == 1


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_two_couriers_at_once_hand_over_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one comes while the first one has written and not yet marked."""
    room.approve()
    mark = EclipseCourier._mark

    def overtaken(self: EclipseCourier, *arguments: object) -> None:
        monkeypatch.setattr(EclipseCourier, "_mark", mark)
        room.courier().run_once()
        mark(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(EclipseCourier, "_mark", overtaken)
    room.courier().run_once()
    assert len(room.events("hand-over-written")) == 1
    assert (room.line().state, room.line().attempts) == ("delivered", 1)


def test_a_share_that_is_away_is_tried_later_and_later_then_given_up_and_a_person_may_ask_again(room: Room) -> None:
    room.approve()
    room.folder.root.rmdir()
    times = []
    for second in range(130):
        before = room.line().attempts
        room.courier().run_once()
        if room.line().attempts > before:
            times.append(second)
        if second == 5:
            assert room.state() == (
                "delivering",
                "the folder for Eclipse: The drop folder for Eclipse is not there: "
                f"{room.folder.root} (eclipse.drop_folder). Make it, or mount its share. [drop-folder-missing]",
            )
        room.now += timedelta(seconds=1)
    assert times == [0, 10, 30, 55, 80]
    assert not room.folder.root.exists(), "a share that is away must not be made up"
    state, reason = room.state()
    assert (state, reason.partition(":")[0]) == ("failed", "not delivered to the folder for Eclipse")
    assert room.line().state == "failed"
    room.folder.root.mkdir()
    with room.store.transaction() as session:
        decide.retry(session, room.id, "A. Physicist")
    assert room.state()[0] == "delivering"
    room.now += timedelta(minutes=5)
    room.courier().run_once()
    assert room.state()[0] == "delivered"
    assert read_approved(room.handed / "objectives.json")[0] == GIVEN


def test_a_bug_with_one_hand_over_is_shown_and_tried_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.approve()
    with monkeypatch.context() as patch:
        patch.setattr("bridge.tps.eclipse.EclipseFolder.put", lambda *_: 1 / 0)
        room.courier().run_once()
    assert room.state() == ("delivering", "the folder for Eclipse: internal error (ZeroDivisionError), see the log")
    room.now += timedelta(seconds=10)
    room.courier().run_once()
    assert room.state()[0] == "delivered"


@pytest.mark.parametrize("change", ["changed", "removed"])
def test_a_file_that_is_not_the_approved_one_is_refused_and_the_case_says_so(room: Room, change: str) -> None:
    room.approve()
    if change == "changed":
        room.path.write_bytes(room.path.read_bytes().replace(b"70.5", b"60.5"))
    else:
        room.path.unlink()
    room.courier().run_once()
    state, reason = room.state()
    assert state == "failed"
    assert "objectives.json is not the file that A. Physicist approved" in reason
    assert "artifact-changed" in room.line().message
    assert len(room.events("hand-over-refused")) == 1
    assert list(room.folder.root.iterdir()) == []


def test_other_objectives_in_the_folder_are_refused_and_the_case_says_so(room: Room) -> None:
    room.folder.hand_over(GIVEN)
    path = room.handed / "objectives.json"
    path.write_text(path.read_text().replace("70.5", "60.5"))
    room.approve()
    room.courier().run_once()
    state, reason = room.state()
    assert state == "failed"
    assert "The objectives were changed after they were written" in reason
    assert len(room.events("hand-over-refused")) == 1
    path.unlink()
    (room.handed / "objectives.xml").unlink()
    room.handed.rmdir()
    with room.store.transaction() as session:
        decide.retry(session, room.id, "A. Physicist")
    room.now += timedelta(minutes=1)
    room.courier().run_once()
    assert room.state()[0] == "delivered"


def test_objectives_are_not_handed_over_once_there_are_newer_ones(room: Room) -> None:
    room.approve()
    make_results(room.store, room.cases, inputs=("aa", "cc"))
    room.courier().run_once()
    assert room.state()[0] == "review", "the newer ones can still be approved"
    assert room.line().state == "failed"
    assert "newer objectives" in room.line().message
    assert list(room.folder.root.iterdir()) == []


def test_what_holds_no_objectives_cannot_be_approved_for_eclipse(room: Room) -> None:
    make_results(room.store, room.cases, inputs=("aa", "cc"))
    (room.path,) = set(room.cases.rglob("objectives.json")) - {room.path}
    with pytest.raises(Refusal) as refused:
        room.approve()
    assert refused.value.code == "objectives-json"
    assert room.events("case-approved") == []
    assert room.state()[0] == "review"


def test_a_case_is_delivered_when_both_destinations_and_eclipse_have_theirs(room: Room) -> None:
    room.approve([Recipient("tps", ("predicted_plan", "predicted_dose"))])
    assert room.state() == ("delivering", "to tps, the folder for Eclipse")
    room.courier().run_once()
    assert room.state() == ("delivering", "2 of 3 objects to send")
    tps = Destination("tps", "TPS", "127.0.0.1", 104)
    Courier(SqlDeliveryLedger(room.store, {"tps": tps}), _Sender(), lambda: room.now, POLICY).run_once()
    assert room.state() == ("delivered", "2 objects to tps; objectives to the folder for Eclipse: no answer yet")


class _Sender:
    """A planning system that takes everything."""

    def send(self, _: Destination, files: Sequence[Path]) -> list[InstanceResult]:
        return [InstanceResult(file, None, DeliveryOutcome.SENT, 0, "code", "stored") for file in files]


def test_the_hand_over_of_a_case_stays_bound_to_the_file_of_the_case(room: Room, tmp_path: Path) -> None:
    room.approve()
    with room.store.transaction() as session:
        hand_overs.queue(session, tmp_path / "copy.json", "0" * 64, GIVEN.sha256, None)
    room.courier().run_once()
    assert room.state() == ("delivered", "objectives to the folder for Eclipse: no answer yet")


def test_an_approval_that_comes_after_objectives_went_without_one_is_handed_over_too(room: Room) -> None:
    """The plug-in of a site that requires approval refused them so far."""
    with room.store.transaction() as session:
        sha256 = hashlib.sha256(room.path.read_bytes()).hexdigest()
        hand_overs.queue(session, room.path, sha256, GIVEN.sha256, None, room.id)
    room.courier().run_once()
    assert read_approved(room.handed / "objectives.json")[1] is None
    room.approve()
    room.courier().run_once()
    _, approval = read_approved(room.handed / "objectives.json")
    assert approval is not None
    assert approval.approved_by == "A. Physicist"
    assert room.state() == ("delivered", "objectives to the folder for Eclipse: no answer yet")


OTHER = replace(GIVEN, dose_source="given")


class TestWithoutACase:
    """Objectives from a file, for sites that run no service."""

    def test_they_are_approved_and_handed_over_once(self, room: Room, tmp_path: Path) -> None:
        file = tmp_path / "mine.json"
        file.write_text(objective_set_to_json(OTHER) + "\n")
        for user in ("A. Physicist", "B. Physicist"):
            with room.store.transaction() as session:
                assert approve_file(session, file, tmp_path / "approved", user) == OTHER.sha256
            room.courier().run_once()
        file.unlink()
        assert [event.actor for event in room.events("objectives-approved")] == ["A. Physicist"]
        _, approval = read_approved(room.folder.folder_of(OTHER) / "objectives.json")
        assert approval is not None
        assert approval.approved_by == "A. Physicist"
        (row,) = worklist(room.store)
        assert row.hand_overs == ()

    @pytest.mark.parametrize("form", ["as they are", "as handed over"])
    def test_those_of_a_case_are_approved_with_it(self, room: Room, tmp_path: Path, form: str) -> None:
        file = tmp_path / "mine.json"
        file.write_bytes(room.path.read_bytes())
        if form == "as handed over":
            room.approve()
            room.courier().run_once()
            file.write_bytes((room.handed / "objectives.json").read_bytes())
        with pytest.raises(ApprovalRefusal, match=room.id) as refused, room.store.transaction() as session:
            approve_file(session, file, tmp_path / "approved", "A. Physicist")
        assert refused.value.code == "objectives-of-case"

    def test_another_form_of_the_same_objectives_leaves_those_that_are_owed_as_they_are(
        self, room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second approval ends before it is recorded, and after its copy was written."""
        file = tmp_path / "mine.json"
        file.write_text(objective_set_to_json(OTHER))
        with room.store.transaction() as session:
            approve_file(session, file, tmp_path / "approved", "A. Physicist")
        file.write_text(objective_set_to_json(OTHER) + "\n")
        with monkeypatch.context() as patch:
            patch.setattr(hand_overs, "queue", _die)
            with pytest.raises(KeyboardInterrupt), room.store.transaction() as session:
                approve_file(session, file, tmp_path / "approved", "B. Physicist")
        room.courier().run_once()
        assert read_approved(room.folder.folder_of(OTHER) / "objectives.json")[0] == OTHER

    @pytest.mark.parametrize(
        ("content", "user", "code"),
        [
            (None, "A. Physicist", "objectives-read"),
            (b"{}", "A. Physicist", "objectives-schema"),
            (b"{}", " ", "approver"),
        ],
    )
    def test_what_cannot_be_approved_is_refused(
        self, room: Room, tmp_path: Path, content: bytes | None, user: str, code: str
    ) -> None:
        file = tmp_path / "mine.json"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(BridgeError) as refused, room.store.transaction() as session:
            approve_file(session, file, tmp_path / "approved", user)
        assert refused.value.code == code
