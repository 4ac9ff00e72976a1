"""`fdp-bridge library` as a program sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge import cli_over_patients
from bridge.cli import main
from bridge.workflow.library import build as module
from bridge.workflow.library.build import LibraryOptions, LibraryRun
from bridge.workflow.library.record import LeftOut
from tests.models.library.libraries import write_library
from tests.workflow.library.small import write_patient


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command asks for; nothing is planned, and no process started."""
    seen: list[Any] = []

    @contextmanager
    def threads(processes: int) -> Iterator[Executor]:
        seen.append(processes)
        with ThreadPoolExecutor(1) as pool:
            yield pool

    def listen(data: Path, library: Path, options: LibraryOptions, executor: Executor, **more: Any) -> LibraryRun:
        seen.extend([data, library, options])
        more["progress"](1, 2, "pt_1: 17 plans in 90 s")
        return LibraryRun(1, 17, (LeftOut("pt_2", {"message": "There is no target.", "code": "no-target"}),))

    monkeypatch.setattr(cli_over_patients, "process_executor", threads)
    monkeypatch.setattr(module, "build_library", listen)
    return seen


def test_what_is_asked_for_reaches_the_build(asked: list[Any], tmp_path: Path) -> None:
    assert run(
        "library", "build", "--data", "data", "--out", tmp_path, "--set", "train", "--patients", 3, "--beams", 9,
        "--beams", 5, "--beams", 9, "--drawn", 4, "--no-anchors", "--seed", 7, "--beamlet-mm", 10, "--dose-grid-mm", 4,
        "--processes", 2,
    ) == 0  # fmt: skip
    processes, data, library, options = asked
    assert (processes, data, library) == (2, Path("data"), tmp_path)
    assert (options.sets, options.patients, options.beams) == (("train",), 3, (9, 5))
    assert (options.choice.drawn, options.choice.anchors, options.choice.seed) == (4, False, 7)
    assert (options.settings.beamlet_mm, options.settings.dose_grid_mm) == (10.0, 4.0)


def test_by_default_both_sets_are_planned_with_nine_beams(asked: list[Any], tmp_path: Path) -> None:
    assert run("library", "build", "--data", "data", "--out", tmp_path) == 0
    assert asked[3] == LibraryOptions()
    assert (asked[3].sets, asked[3].beams, asked[3].patients) == (("train", "validation"), (9,), None)


def test_it_says_what_was_made_and_who_was_left_out(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("library", "build", "--data", "data", "--out", tmp_path) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "1 of 2: pt_1: 17 plans in 90 s",
        "patients: 1; plans made: 17; left out: 1",
        "warning: pt_2: There is no target. [no-target]",
    ]


def test_it_says_how_many_doses_were_made_again(
    asked: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "build_library", lambda *_, **__: LibraryRun(2, 0, (), doses=18))
    assert run("library", "build", "--data", "data", "--out", tmp_path) == 0
    assert capsys.readouterr().out == "patients: 2; plans made: 0; doses made again: 18; left out: 0\n"


def test_the_report_is_written_into_the_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_library(tmp_path / "library")
    assert run("library", "report", "--library", folder) == 0
    report = json.loads((folder / "report.json").read_text())
    assert report["plans"] == 3
    assert report["trade_offs"]["pt_7"]["Parotid_L"].startswith("1 Gy off Parotid_L costs 0.10 Gy of PTV70 D95%")
    assert (folder / "fronts.png").read_bytes().startswith(b"\x89PNG")
    assert "pt_7: 1 Gy off Parotid_L costs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ("library",),
        ("library", "build", "--data", "data"),
        ("library", "build", "--data", "data", "--out", "out", "--beams", "2"),
        ("library", "build", "--data", "data", "--out", "out", "--processes", "0"),
        ("library", "report"),
    ],
)
def test_wrong_use_is_2(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert list(tmp_path.iterdir()) == []


def test_refusals_are_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_patient(tmp_path / "data" / "train")

    def code(*arguments: object) -> str:
        assert run("--json-errors", *arguments) == 3
        found = json.loads(capsys.readouterr().err.splitlines()[-1])["code"]
        assert isinstance(found, str)
        return found

    assert code("library", "build", "--data", tmp_path, "--out", tmp_path / "out") == "openkbp-no-patients"
    assert code("library", "report", "--library", tmp_path) == "library-file-missing"
    build = ("library", "build", "--data", tmp_path / "data", "--set", "train", "--out", tmp_path / "out")
    assert code(*build, "--protocol", "chin") == "settings"
    assert not (tmp_path / "out").exists()
