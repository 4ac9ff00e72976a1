"""Objectives handed over to Eclipse from the command line, and how hand-overs are listed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.tps.eclipse import EclipseFolder
from bridge.workflow.cases import case_id_of
from bridge.workflow.store import Store
from objective_extraction.objective_json import objective_set_to_json, read_approved
from tests.tps.receipts import GIVEN, REFUSED, receipt_json
from tests.workflow.handed_over import Room


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site.yaml").write_text("data_dir: data\neclipse: {drop_folder: share}\n")
    (tmp_path / "share").mkdir()
    (tmp_path / "reviewed.json").write_text(objective_set_to_json(GIVEN))
    return tmp_path


def hand_over(site: Path, *options: str, file: str = "reviewed.json", user: str = "A. Physicist") -> int:
    return run(*options, "hand-over", site / file, "--user", user, "--config", site / "site.yaml")


def test_a_file_is_handed_over_and_the_same_command_shows_the_answer(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hand_over(site) == 0
    name = f"objectives-{GIVEN.sha256[:16]}"
    first, approved, folder, after = capsys.readouterr().out.strip().splitlines()
    assert first == f"to the folder for Eclipse as {name}: delivered after 1 attempt"
    assert approved.strip().startswith("approved by A. Physicist on 20")
    assert folder.strip() == f"folder: {site / 'share' / name}"
    assert after.startswith("next: run the plug-in")
    objectives, approval = read_approved(site / "share" / name / "objectives.json")
    assert (objectives, approval and approval.approved_by) == (GIVEN, "A. Physicist")
    (site / "share" / name / "receipt.json").write_bytes(receipt_json(**REFUSED))
    for _ in range(2):
        assert hand_over(site) == 0
        assert "receipt.json: refused: The plan is approved. [plan-approved]" in capsys.readouterr().out


def test_without_a_folder_in_the_settings_it_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site / "site.yaml").write_text("data_dir: data\n")
    assert hand_over(site, "--json-errors") == 3
    assert json.loads(capsys.readouterr().err)["code"] == "no-drop-folder"


def test_a_folder_that_is_away_is_a_failure_and_one_with_something_else_a_refusal(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "share").rmdir()
    assert hand_over(site) == 4
    shown, said = capsys.readouterr()
    assert (shown, said.count("[")) == ("", 1)
    assert f"The drop folder for Eclipse is not there: {site / 'share'}" in said
    assert said.strip().endswith("[drop-folder-missing]")
    (site / "share").mkdir()
    folder = EclipseFolder(site / "share")
    folder.hand_over(GIVEN)
    path = folder.folder_of(GIVEN) / "objectives.json"
    path.write_text(path.read_text().replace("70.5", "60.5"))
    assert hand_over(site) == 3
    said = capsys.readouterr().err
    assert "changed after they were written" in said
    assert said.strip().endswith("[objectives-changed]")


def test_a_folder_that_was_removed_after_a_plan_got_it_is_written_again_and_that_is_said(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hand_over(site) == 0
    folder = EclipseFolder(site / "share").folder_of(GIVEN)
    (folder / "receipt.json").write_bytes(receipt_json())
    assert hand_over(site) == 0
    shutil.rmtree(folder)
    capsys.readouterr()
    assert hand_over(site) == 0
    assert "written again: its folder was removed after a plan got them" in capsys.readouterr().out
    assert read_approved(folder / "objectives.json")[0] == GIVEN
    assert hand_over(site) == 0
    assert "written again" not in capsys.readouterr().out


def test_a_second_approver_is_told_that_the_first_approval_stays(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hand_over(site) == 0
    capsys.readouterr()
    assert hand_over(site, user="B. Physicist") == 0
    shown = capsys.readouterr().out
    assert "approved by A. Physicist on 20" in shown
    assert "they were approved by A. Physicist before; the approval of B. Physicist was not added" in shown
    case_id = case_id_of(GIVEN.case.study_instance_uid, GIVEN.case.structure_set_uid)
    assert run("audit", "show", "--case", case_id, "--config", site / "site.yaml") == 0
    events = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert [(event[2], event[3], event[4]) for event in events] == [
        ("objectives-approved", "A. Physicist", case_id),
        ("hand-over-written", "bridge", case_id),
        ("approval-not-added", "B. Physicist", case_id),
    ]
    assert run("audit", "show", "--last", "1", "--config", site / "site.yaml") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_folder_that_was_removed_is_said_and_written_again_when_it_is_asked_for_once_more(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hand_over(site) == 0
    folder = EclipseFolder(site / "share").folder_of(GIVEN)
    shutil.rmtree(folder)
    assert hand_over(site) == 3
    assert "was removed from the drop folder, and no receipt says that a plan got them" in capsys.readouterr().err
    assert not folder.exists(), "somebody may have meant to withdraw them"
    assert hand_over(site) == 0
    assert read_approved(folder / "objectives.json")[0] == GIVEN


def test_what_was_changed_since_it_was_written_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = site / "reviewed.json"
    path.write_text(path.read_text().replace("70.5", "60.5"))
    assert hand_over(site, "--json-errors") == 3
    assert json.loads(capsys.readouterr().err)["code"] == "objectives-changed"
    assert list((site / "share").iterdir()) == []


def test_the_list_of_cases_shows_hand_overs_and_answers(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.in_folder(site / "data")
    room = Room(store, site / "room")
    room.approve()
    room.courier().run_once()
    room.answered()
    store.close()
    assert run("cases", "--config", site / "site.yaml", "--json", site / "cases.json") == 0
    shown = capsys.readouterr().out
    assert f"to the folder for Eclipse as {room.handed.name}: delivered after 1 attempt\n" in shown
    assert "receipt.json: applied 5 of 6 objectives to plan 2.25.7; not taken: Parotid_L-PTV" in shown
    (case,) = json.loads((site / "cases.json").read_text())
    assert [answer["state"] for answer in case["hand_overs"][0]["answers"]] == ["applied"]
