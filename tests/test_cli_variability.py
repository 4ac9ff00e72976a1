"""`fdp-bridge variability` as a program sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge import cli_over_patients
from bridge.cli import main
from bridge.rt.errors import Failure
from bridge.workflow.cohort import export
from bridge.workflow.cohort import run as module
from bridge.workflow.cohort.run import CohortRun
from bridge.workflow.cohort.study import StudyOptions
from bridge.workflow.library.record import LeftOut
from tests.workflow.cohort.made import STUDY, patient
from tests.workflow.cohort.studies import write_cohort

LEFT_OUT = (LeftOut("pt_9", {"message": "There is no target.", "code": "no-target"}),)
FILES = {
    "cohort.json", "comparisons.csv", "definitions.csv", "quality.csv", "slack.csv", "deviations.csv", "goals.csv",
    "plans.csv", "objectives.csv", "report.html",
}  # fmt: skip


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("data") / "validation")


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports take seconds; where they are not looked at, none are written."""
    monkeypatch.setattr(export, "write_reports", lambda *_, **__: ())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command asks for; nothing is planned, and no process started."""
    seen: list[Any] = []

    @contextmanager
    def threads(processes: int) -> Iterator[Executor]:
        seen.append(processes)
        with ThreadPoolExecutor(1) as pool:
            yield pool

    def listen(
        paths: Sequence[Path], folder: Path, options: StudyOptions, executor: Executor, **more: Any
    ) -> CohortRun:
        seen.extend([[path.name for path in paths], folder, options])
        more["progress"](1, 2, "pt_1: 4 plans in 90 s")
        return CohortRun(STUDY, (patient(1), patient(2)), 1, LEFT_OUT)

    monkeypatch.setattr(cli_over_patients, "process_executor", threads)
    monkeypatch.setattr(module, "run_cohort", listen)
    return seen


def test_what_is_asked_for_reaches_the_study(asked: list[Any], unwritten: None, cohort: Path, tmp_path: Path) -> None:
    assert run(
        "variability", "--cohort", cohort, "--out", tmp_path, "--model", "m", "--baseline", "b", "--preference",
        "spare", "--preference", "cover", "--patients", 1, "--beams", 7, "--normalisation", "d95", "--beamlet-mm", 10,
        "--dose-grid-mm", 4, "--iterations", 50, "--processes", 2, "--no-pdf",
    ) == 0  # fmt: skip
    processes, patients, folder, options = asked
    assert (processes, patients, folder) == (2, ["pt_1.npz"], tmp_path)
    assert (options.model, options.baseline, options.preferences) == ("m", "b", ("spare", "cover"))
    assert (options.beams, options.normalisation) == (7, "d95")
    settings = options.settings
    assert (settings.beamlet_mm, settings.dose_grid_mm, settings.rule.max_iterations) == (10.0, 4.0, 50)


def test_by_default_three_preferences_meet_the_baseline_on_all_patients(
    asked: list[Any], unwritten: None, cohort: Path, tmp_path: Path
) -> None:
    assert run("variability", "--cohort", cohort.parent, "--out", tmp_path, "--no-pdf") == 0
    assert asked[1] == ["pt_1.npz", "pt_2.npz"]
    assert asked[3] == StudyOptions("fdp-hn-engine-v1", "kbp-hn-engine-v1")
    assert asked[3].preferences == ("balanced", "spare", "cover")


def test_one_case_is_a_study_of_one(asked: list[Any], unwritten: None, cohort: Path, tmp_path: Path) -> None:
    assert run("variability", "--case", cohort / "pt_2.npz", "--out", tmp_path, "--no-pdf") == 0
    assert asked[1] == ["pt_2.npz"]


def test_it_says_what_came_out_and_who_was_left_out(
    asked: list[Any], cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("variability", "--cohort", cohort, "--out", tmp_path, "--no-pdf") == 0
    shown = capsys.readouterr().out
    assert "1 of 2: pt_1: 4 plans in 90 s" in shown
    assert "warning: pt_9 is left out: There is no target. [no-target]" in shown
    assert "in 2 of 2 organs" in shown
    assert "patients: 2, 1 of them in this run; left out: 1" in shown
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == FILES
    assert {path.suffix for path in (tmp_path / "patients").iterdir()} == {".html"}
    assert json.loads((tmp_path / "cohort.json").read_text())["patients"] == 2


@pytest.mark.parametrize("earlier", [0, 1])
def test_of_one_case_the_page_to_read_comes_first(
    asked: list[Any],
    unwritten: None,
    cohort: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    earlier: int,
) -> None:
    results = (patient(1), patient(2))[1 - earlier :]
    monkeypatch.setattr(module, "run_cohort", lambda *_, **__: CohortRun(STUDY, results, 1, (), earlier))
    assert run("variability", "--case", cohort / "pt_2.npz", "--out", tmp_path, "--no-pdf") == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"read: {tmp_path / 'patients' / 'pt_2.html'}"
    assert "There are too few patients to say who keeps the promise better." not in others
    last = f"patients: {1 + earlier}, 1 of them in this run; left out: 0"
    assert last in others
    assert ("the report has 1 patient of earlier runs too" in others) == bool(earlier)


def test_where_the_patients_pages_are_is_said(
    asked: list[Any], unwritten: None, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("variability", "--cohort", cohort, "--out", tmp_path, "--no-pdf") == 0
    assert f"written: 2 pages of patients in {tmp_path / 'patients'}" in capsys.readouterr().out.splitlines()


def test_a_case_that_is_left_out_has_no_page_to_read(
    unwritten: None, asked: list[Any], cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "run_cohort", lambda *_, **__: CohortRun(STUDY, (patient(1),), 0, LEFT_OUT, 1))
    assert run("variability", "--case", cohort / "pt_2.npz", "--out", tmp_path, "--no-pdf") == 0
    assert "read:" not in capsys.readouterr().out


def test_without_pango_all_but_the_pdf_is_there(
    asked: list[Any], cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(_: str) -> bytes:
        raise Failure("pdf-not-installed", "A PDF needs WeasyPrint and Pango.")

    monkeypatch.setattr(export, "pdf_bytes", missing)
    assert run("variability", "--cohort", cohort, "--out", tmp_path) == 4
    assert "A PDF needs WeasyPrint and Pango" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == FILES


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--out", "out"),
        ("--out", "out", "--cohort", "data", "--case", "data"),
        ("--out", "out", "--cohort", "data", "--beams", "2"),
        ("--out", "out", "--cohort", "data", "--normalisation", "d50"),
    ],
)
def test_wrong_use_is_2(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("variability", *arguments) == 2
    assert list(tmp_path.iterdir()) == []


def test_refusals_are_3(cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def code(*arguments: object) -> str:
        assert run("--json-errors", "variability", "--out", tmp_path / "out", *arguments) == 3
        found = json.loads(capsys.readouterr().err.splitlines()[-1])["code"]
        assert isinstance(found, str)
        return found

    assert code("--cohort", tmp_path) == "openkbp-no-patients"
    assert code("--cohort", cohort, "--model", "chin") == "model-unknown"
    assert code("--cohort", cohort, "--preference", "gentle") == "preference-unknown"
    assert not (tmp_path / "out").exists()
