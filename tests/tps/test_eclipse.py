from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.rt.errors import ApprovalRefusal, BridgeError, Refusal, StorageFailure
from bridge.tps.eclipse import EclipseFolder
from bridge.tps.port import TpsPort
from bridge.tps.receipt import Outcome
from objective_extraction.objective_json import read_objective_set
from tests.objective_extraction.cases import objective_set, point

GIVEN = objective_set()
RECEIPT: dict[str, Any] = {
    "version": "1.0",
    "objectives_sha256": GIVEN.sha256,
    "state": "applied",
    "taken_by": "eclipse plug-in 1.0",
    "plan_uid": "2.25.7",
    "created_utc": "2026-03-02T10:00:00Z",
    "made": ["Parotid_L-PTV"],
    "added": [{"objective": 0, "structure": "PTV_70", "what": "lower 70.5 Gy at 98 %"}],
    "refused": [{"objective": 5, "structure": "Parotid_L-PTV", "what": "upper 20 Gy at 20 %", "reason": "no such"}],
    "notes": [],
}


def answered(folder: EclipseFolder, **changes: Any) -> None:
    receipt = {key: value for key, value in (RECEIPT | changes).items() if value is not ...}
    (folder.folder_of(GIVEN) / "receipt.json").write_text(json.dumps(receipt))


@pytest.fixture
def folder(tmp_path: Path) -> EclipseFolder:
    handed_over = EclipseFolder(tmp_path / "share")
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


def test_an_interrupted_hand_over_is_begun_again(tmp_path: Path) -> None:
    port = EclipseFolder(tmp_path)
    part = tmp_path / f".{port.folder_of(GIVEN).name}.part"
    part.mkdir()
    (part / "objectives.json").write_text("{")
    port.hand_over(GIVEN)
    assert [path.name for path in tmp_path.iterdir()] == [port.folder_of(GIVEN).name]


def test_the_plug_in_answers(folder: EclipseFolder) -> None:
    assert folder.receipt(GIVEN) is None
    answered(folder)
    receipt = folder.hand_over(GIVEN)
    assert receipt.state == "applied"
    assert receipt.added == (Outcome(objective=0, structure="PTV_70", what="lower 70.5 Gy at 98 %"),)
    assert [outcome.reason for outcome in receipt.refused] == ["no such"]


def test_a_refused_hand_over_says_why(folder: EclipseFolder) -> None:
    answered(folder, state="refused", reason="The plan is approved. [plan-approved]", made=[], added=[], refused=[])
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


def test_a_name_too_long_for_eclipse_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="up to 16 characters"):
        EclipseFolder(tmp_path).hand_over(objective_set([point("x" * 17, "upper", 20.0, 20.0)]))
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_a_share_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailure) as failed:
        EclipseFolder(tmp_path / "file").hand_over(GIVEN)
    assert isinstance(failed.value, BridgeError)
