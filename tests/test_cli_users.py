from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.rt.errors import AccessRefusal, ApprovalRefusal, IdentityRefusal, StorageFailure
from bridge.workflow.store import Store
from config.load import load_settings


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "bridge.yaml"
    path.write_text("data_dir: data\n")
    return path


def run(config: Path, *arguments: str, stdin: str = "") -> str:
    result = CliRunner().invoke(app, [*arguments, "--config", str(config)], input=stdin)
    if isinstance(result.exception, Exception):
        raise result.exception
    return result.output


def test_users_are_added_listed_and_disabled(config: Path) -> None:
    password = "a long sentence is best\n"  # noqa: S105 - of no real person
    assert "no users" in run(config, "users", "list")
    run(config, "users", "add", "m.curie", "--role", "physicist", "--password-stdin", stdin=password)
    run(config, "users", "add", "l.meitner", "--role", "viewer", stdin=password * 2)
    listed = run(config, "users", "list")
    assert [line.split()[:3] for line in listed.splitlines()] == [
        ["l.meitner", "viewer", "active"],
        ["m.curie", "physicist", "active"],
    ]
    run(config, "users", "disable", "m.curie")
    assert "disabled" in run(config, "users", "list").splitlines()[1]
    assert run(config, "audit", "verify").startswith("3 events, none changed")


def test_a_trail_is_verified_by_its_data_folder_alone(config: Path, tmp_path: Path) -> None:
    run(config, "users", "add", "m.curie", "--role", "viewer", "--password-stdin", stdin="a long sentence is best\n")
    folder = load_settings(config).data_dir
    done = CliRunner().invoke(app, ["audit", "verify", "--data-dir", str(folder)])
    assert done.output.startswith("1 events, none changed"), done.output
    assert CliRunner().invoke(app, ["audit", "verify", "--data-dir", str(tmp_path / "none")]).exit_code == 2
    assert CliRunner().invoke(app, ["audit", "verify"]).exit_code == 2


def test_a_weak_password_adds_nobody(config: Path) -> None:
    with pytest.raises(AccessRefusal) as refused:
        run(config, "users", "add", "m.curie", "--role", "viewer", "--password-stdin", stdin="short\n")
    assert refused.value.code == "password-weak"
    assert "no users" in run(config, "users", "list")


def test_a_trail_that_was_altered_does_not_verify(config: Path) -> None:
    run(config, "users", "add", "m.curie", "--role", "viewer", "--password-stdin", stdin="a long sentence is best\n")
    store = Store.in_folder(config.parent / "data")
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql("UPDATE audit SET actor = 'somebody'")
    store.close()
    with pytest.raises(IdentityRefusal, match="altered at event 1"):
        run(config, "audit", "verify")


@pytest.mark.parametrize("command", ["verify", "show"])
def test_a_folder_that_no_bridge_worked_in_has_no_trail_and_gets_none(tmp_path: Path, command: str) -> None:
    failed = CliRunner().invoke(app, ["audit", command, "--data-dir", str(tmp_path)]).exception
    assert isinstance(failed, StorageFailure)
    assert failed.code == "no-bridge-data"
    assert list(tmp_path.iterdir()) == []


def test_where_there_is_a_review_room_cases_are_signed_there_with_a_password(config: Path) -> None:
    config.write_text("data_dir: data\nreview: {enabled: true}\n")
    objectives = config.with_name("objectives.json")
    objectives.write_text("{}")
    with pytest.raises(ApprovalRefusal) as refused:
        run(config, "approve", "0" * 12, "--objectives", str(objectives), "--user", "anybody")
    assert refused.value.code == "sign-in-review-room"


@pytest.mark.parametrize("command", [["approve", "0" * 12, "--objectives"], ["hand-over"]])
def test_where_two_physicists_must_sign_the_command_line_approves_nothing(config: Path, command: list[str]) -> None:
    config.write_text("data_dir: data\nreview: {two_persons: true}\n")
    objectives = config.with_name("objectives.json")
    objectives.write_text("{}")
    with pytest.raises(ApprovalRefusal) as refused:
        run(config, *command, str(objectives), "--user", "somebody")
    assert refused.value.code == "two-persons"
