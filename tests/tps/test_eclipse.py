from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.rt.errors import ApprovalRefusal, BridgeError, Refusal, StorageFailure
from bridge.tps import eclipse
from bridge.tps.eclipse import EclipseFolder, answer
from bridge.tps.port import TpsPort
from bridge.tps.receipt import Outcome, Receipt
from objective_extraction.approval import Approval
from objective_extraction.eclipse_template import read_template
from objective_extraction.objective_json import read_approved, read_objective_set
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import NormalTissueObjective
from tests.objective_extraction.cases import objective_set, point
from tests.tps.receipts import GIVEN, REFUSED, receipt_json

APPROVAL = Approval("A. Physicist", datetime(2026, 3, 2, 10, tzinfo=UTC), GIVEN.sha256)


def answered(folder: EclipseFolder, name: str = "receipt.json", **changes: Any) -> None:
    (folder.folder_of(GIVEN) / name).write_bytes(receipt_json(**changes))


@pytest.fixture
def folder(tmp_path: Path) -> EclipseFolder:
    handed_over = EclipseFolder(tmp_path / "share")
    handed_over.root.mkdir()
    handed_over.hand_over(GIVEN)
    return handed_over


def test_a_hand_over_is_a_folder_of_data(tmp_path: Path) -> None:
    port: TpsPort = EclipseFolder(tmp_path)
    receipt = port.hand_over(GIVEN)
    assert (receipt.state, receipt.objectives_sha256, receipt.added, receipt.refused) == (
        "waiting", GIVEN.sha256, (), (),
    )  # fmt: skip
    (made,) = tmp_path.iterdir()
    assert made.name == f"objectives-{GIVEN.sha256[:16]}"
    assert sorted(path.name for path in made.iterdir()) == ["objectives.json", "objectives.xml"]
    assert read_objective_set(made / "objectives.json") == GIVEN


def test_the_same_hand_over_again_writes_nothing(folder: EclipseFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.folder_of(GIVEN).iterdir()}
    assert folder.hand_over(GIVEN).state == "waiting"
    assert {path: path.stat().st_mtime_ns for path in folder.folder_of(GIVEN).iterdir()} == before


@pytest.mark.parametrize("left", [".part", ".0a1b2c3d.part"])
def test_an_interrupted_hand_over_is_begun_again(tmp_path: Path, left: str) -> None:
    port = EclipseFolder(tmp_path)
    part = tmp_path / f".{port.folder_of(GIVEN).name}{left}"
    part.mkdir()
    (part / "objectives.json").write_text("{")
    port.hand_over(GIVEN)
    assert [path.name for path in tmp_path.iterdir()] == [port.folder_of(GIVEN).name]


def test_a_hand_over_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(eclipse, "write_template", full)
    with pytest.raises(StorageFailure, match="No space left"):
        EclipseFolder(tmp_path).hand_over(GIVEN)
    assert list(tmp_path.iterdir()) == []


def test_of_two_processes_the_first_hands_over_and_the_other_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one writes its template, another one hands over from beginning to end."""
    write_template = eclipse.write_template

    def overtaken(objectives: ObjectiveSet, path: Path) -> None:
        monkeypatch.setattr(eclipse, "write_template", write_template)
        EclipseFolder(tmp_path).hand_over(objectives, APPROVAL)
        write_template(objectives, path)

    monkeypatch.setattr(eclipse, "write_template", overtaken)
    later = replace(APPROVAL, approved_by="B. Physicist")
    (note,) = EclipseFolder(tmp_path).hand_over(GIVEN, later).notes
    assert note == "Already handed over as approved by A. Physicist at 2026-03-02 10:00 UTC; that stays."
    (made,) = tmp_path.iterdir()
    assert read_approved(made / "objectives.json") == (GIVEN, APPROVAL)
    assert sorted(path.name for path in made.iterdir()) == ["objectives.json", "objectives.xml"]


def test_many_at_once_make_one_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda _: EclipseFolder(tmp_path).hand_over(GIVEN, APPROVAL).state, range(16)))
    assert states == ["waiting"] * 16
    (made,) = tmp_path.iterdir()
    assert read_approved(made / "objectives.json") == (GIVEN, APPROVAL)


def test_the_plug_in_answers(folder: EclipseFolder) -> None:
    assert folder.receipt(GIVEN) is None
    answered(folder)
    receipt = folder.hand_over(GIVEN)
    assert receipt.state == "applied"
    assert receipt.added[0] == Outcome(objective=0, structure="PTV_70", what="lower 70.5 Gy at 98 %")
    assert [outcome.reason for outcome in receipt.refused] == ["no such"]


def test_a_refused_hand_over_says_why(folder: EclipseFolder) -> None:
    answered(folder, **REFUSED)
    receipt = folder.hand_over(GIVEN)
    assert (receipt.state, receipt.reason) == ("refused", "The plan is approved. [plan-approved]")


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "refused"},
        {"reason": "The plan is approved."},
        {"state": "refused", "reason": "The plan is approved.", "made": []},
        {"state": "refused", "reason": "The plan is approved.", "added": []},
        {"version": "2.0"},
        {"state": "done"},
        {"created_utc": "2026-03-02T10:00:00"},
        {"objectives_sha256": ...},
        {"objectives_sha256": "x"},
        {"plan_uid": "../../etc"},
        {"comment": "x"},
        {"added": [{"objective": 6, "what": "x"}]},
        {"added": [{"objective": -1, "what": "x"}]},
        {"refused": [{"objective": 0}]},
        {"refused": []},
        {"refused": [{"objective": 4, "what": "said twice"}]},
        {"added": [], "refused": []},
    ],
)
def test_what_is_no_receipt_is_refused(folder: EclipseFolder, changes: dict[str, Any]) -> None:
    answered(folder, **changes)
    with pytest.raises(Refusal) as refused:
        folder.receipt(GIVEN)
    assert refused.value.code == "receipt-invalid"


def test_a_receipt_of_other_objectives_is_refused(folder: EclipseFolder) -> None:
    answered(folder, objectives_sha256="0" * 64)
    with pytest.raises(ApprovalRefusal) as refused:
        folder.receipt(GIVEN)
    assert refused.value.code == "receipt-of-other-objectives"


def test_a_receipt_that_is_no_json_is_refused(folder: EclipseFolder) -> None:
    (folder.folder_of(GIVEN) / "receipt.json").write_bytes(b"\xff{")
    with pytest.raises(Refusal):
        folder.receipt(GIVEN)


def test_changed_objectives_in_the_folder_are_refused(folder: EclipseFolder) -> None:
    path = folder.folder_of(GIVEN) / "objectives.json"
    path.write_text(path.read_text().replace("70.5", "60.5"))
    with pytest.raises(ApprovalRefusal):
        folder.hand_over(GIVEN)


@pytest.mark.parametrize("change", ["changed", "removed"])
def test_a_template_in_the_folder_that_is_not_the_one_of_these_objectives_is_refused(
    folder: EclipseFolder, change: str
) -> None:
    """It is imported by hand, and nothing there holds it against a hash."""
    path = folder.folder_of(GIVEN) / "objectives.xml"
    if change == "changed":
        path.write_text(path.read_text().replace("70.5", "60.5"))
    else:
        path.unlink()
    with pytest.raises(ApprovalRefusal) as refused:
        folder.hand_over(GIVEN)
    assert refused.value.code == "objectives-changed"


@pytest.mark.parametrize(
    ("later", "noted"), [("2026-03-02T11:00:00Z", True), ("2026-03-02T09:00:00Z", False)], ids=["later", "earlier"]
)
def test_a_refusal_after_an_applied_run_is_read(folder: EclipseFolder, later: str, noted: bool) -> None:
    answered(folder)
    answered(folder, "refusal.json", **REFUSED, created_utc=later)
    receipt = folder.hand_over(GIVEN)
    assert (receipt.state, len(receipt.added)) == ("applied", 5)
    said = "A later run was refused at 2026-03-02 11:00 UTC: The plan is approved. [plan-approved]"
    assert receipt.notes == ((said,) if noted else ())


def test_a_refusal_that_stands_alone_is_the_answer(folder: EclipseFolder) -> None:
    answered(folder, "refusal.json", **REFUSED)
    assert folder.hand_over(GIVEN).state == "refused"


def test_a_refusal_of_other_objectives_is_refused(folder: EclipseFolder) -> None:
    answered(folder)
    answered(folder, "refusal.json", **REFUSED, objectives_sha256="0" * 64)
    with pytest.raises(ApprovalRefusal):
        folder.receipt(GIVEN)


def test_an_answer_never_hides_what_was_applied(folder: EclipseFolder) -> None:
    def receipt(**changes: Any) -> Receipt:
        return Receipt.model_validate_json(receipt_json(**changes))

    path = folder.folder_of(GIVEN)
    answer(path, receipt(**REFUSED))
    assert folder.hand_over(GIVEN).state == "refused"
    answer(path, receipt())
    assert folder.hand_over(GIVEN).state == "applied"
    answer(path, receipt(**REFUSED, created_utc="2026-03-02T11:00:00Z"))
    assert folder.hand_over(GIVEN).state == "applied"
    assert sorted(one.name for one in path.iterdir()) == [
        "objectives.json", "objectives.xml", "receipt.json", "refusal.json",
    ]  # fmt: skip


def test_an_approval_travels_with_the_objectives(tmp_path: Path) -> None:
    folder = EclipseFolder(tmp_path)
    folder.hand_over(GIVEN, APPROVAL)
    assert read_approved(folder.folder_of(GIVEN) / "objectives.json") == (GIVEN, APPROVAL)


def test_an_approval_that_comes_later_is_added_and_stays(folder: EclipseFolder) -> None:
    path = folder.folder_of(GIVEN) / "objectives.json"
    assert read_approved(path) == (GIVEN, None)
    folder.hand_over(GIVEN, APPROVAL)
    assert read_approved(path) == (GIVEN, APPROVAL)
    folder.hand_over(GIVEN)
    assert read_approved(path) == (GIVEN, APPROVAL)
    assert folder.hand_over(GIVEN, replace(APPROVAL, approved_by="B. Physicist")).notes != ()
    assert read_approved(path) == (GIVEN, APPROVAL), "who approved first stays said"


def test_an_approval_of_other_objectives_is_not_handed_over(tmp_path: Path) -> None:
    with pytest.raises(ApprovalRefusal) as refused:
        EclipseFolder(tmp_path).hand_over(GIVEN, replace(APPROVAL, objectives_sha256="0" * 64))
    assert refused.value.code == "approval-of-other-objectives"
    assert list(tmp_path.iterdir()) == []


def test_an_approval_of_other_objectives_is_refused_where_they_are_approved_already(tmp_path: Path) -> None:
    folder = EclipseFolder(tmp_path)
    folder.hand_over(GIVEN, APPROVAL)
    with pytest.raises(ApprovalRefusal) as refused:
        folder.hand_over(GIVEN, replace(APPROVAL, objectives_sha256="0" * 64))
    assert refused.value.code == "approval-of-other-objectives"


def test_names_of_any_length_are_handed_over_with_their_ids(tmp_path: Path) -> None:
    name = "Parotid gland superficial left"
    given = objective_set([point(name, "upper", 20.0, 20.0)])
    folder = EclipseFolder(tmp_path)
    receipt = folder.hand_over(given)
    assert receipt.short_ids == given.shortened_names != {}
    assert {row.structure for row in read_template(folder.folder_of(given) / "objectives.xml")} == {name}


def test_a_manual_normal_tissue_objective_is_handed_over_and_the_template_is_said_to_lack_it(tmp_path: Path) -> None:
    given = replace(GIVEN, normal_tissue=NormalTissueObjective(90.0, 5.0, 105.0, 60.0, 0.05))
    folder = EclipseFolder(tmp_path)
    (note,) = folder.hand_over(given).notes
    assert "template has no normal tissue objective" in note
    assert read_objective_set(folder.folder_of(given) / "objectives.json") == given


@pytest.mark.parametrize("there", ["a file", "nothing"])
def test_a_share_that_is_not_there_is_a_failure_and_is_not_made_up(tmp_path: Path, there: str) -> None:
    """Below the mount point of a share that is away, objectives would lie where nobody looks."""
    root = tmp_path / "share"
    if there == "a file":
        root.write_text("")
    with pytest.raises(StorageFailure) as failed:
        EclipseFolder(root).hand_over(GIVEN)
    assert isinstance(failed.value, BridgeError)
    assert not root.is_dir()


def test_what_was_handed_over_before_its_approval_is_withdrawn_all_the_same(folder: EclipseFolder) -> None:
    """It was approved meanwhile, and that approval is void before it could be added."""
    assert folder.withdraw(GIVEN.sha256, APPROVAL)
    assert list(folder.root.iterdir()) == []
