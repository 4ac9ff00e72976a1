"""Work over many patients: who was done, who was left out and why, and what ends the run."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from bridge.rt.errors import Failure, Refusal, StorageFailure
from bridge.workflow.library.over_patients import Done, Made, over_patients, process_executor
from bridge.workflow.library.record import read_left_out, read_work

Job = tuple[str, Callable[[], Made]]
REFUSED = Refusal("no-target", "There is no target.")


def raising(error: Exception) -> Callable[[], Made]:
    def job() -> Made:
        raise error

    return job


def run(jobs: list[Job], folder: Path, lines: list[str] | None = None) -> Done:
    said = lines if lines is not None else []
    with ThreadPoolExecutor(1) as threads:
        return over_patients(jobs, folder, threads, 1, lambda done, total, line: said.append(f"{done}/{total} {line}"))


def test_who_was_done_and_who_was_left_out_is_told_and_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    bug = raising(ZeroDivisionError("PHANTOM^NAME"))
    jobs = [("pt_1", lambda: Made(9)), ("pt_2", lambda: Made(0)), ("pt_3", raising(REFUSED)), ("pt_4", bug)]
    done = run(jobs, tmp_path, lines)
    assert done.plans == {"pt_1": 9, "pt_2": 0}
    assert [(one.patient, one.error["code"]) for one in done.left_out] == [
        ("pt_3", "no-target"), ("pt_4", "internal-error"),
    ]  # fmt: skip
    assert "PHANTOM^NAME" not in str(done.left_out), "what a bug says may name a patient"
    assert [(work.patient, work.plans, work.processes) for work in read_work(tmp_path)] == [("pt_1", 9, 1)]
    counts, said = zip(*(line.split(" ", 1) for line in lines), strict=True)
    assert counts == ("1/4", "2/4", "3/4", "4/4")
    assert {"pt_2: nothing was missing", "pt_3 is left out: There is no target. [no-target]"} < set(said), (
        "in whatever order they ended"
    )


def test_doses_that_were_made_again_are_told_and_are_no_plans(tmp_path: Path) -> None:
    lines: list[str] = []
    done = run([("pt_1", lambda: Made(0, 9)), ("pt_2", lambda: Made(1, 8)), ("pt_3", lambda: Made(1))], tmp_path, lines)
    assert (done.plans, done.doses) == ({"pt_1": 0, "pt_2": 1, "pt_3": 1}, 17)
    said = sorted(line.split(" ", 1)[1].rpartition(" in ")[0] for line in lines)
    assert said == ["pt_1: 9 doses made again", "pt_2: 1 plan, 8 doses made again", "pt_3: 1 plan"]
    assert [work.patient for work in read_work(tmp_path)] == ["pt_2", "pt_3"], "speed is that of plans"


def test_a_run_over_others_forgets_nobody_and_one_who_is_done_now_is_left_out_no_longer(tmp_path: Path) -> None:
    run([("pt_1", raising(REFUSED)), ("pt_2", raising(REFUSED))], tmp_path)
    run([("pt_2", lambda: Made(9))], tmp_path)
    assert [one.patient for one in read_left_out(tmp_path)] == ["pt_1"]


@pytest.mark.parametrize(
    "error",
    [StorageFailure("library-unwritable", "The disk is full."), Failure("planning-not-installed", "pip install it.")],
)
def test_what_is_everybodys_trouble_ends_the_run(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)):
        run([("pt_1", raising(error)), ("pt_2", lambda: Made(9))], tmp_path)
    assert read_left_out(tmp_path) == (), "nobody is blamed for it"


def test_nothing_of_a_patient_is_left_for_the_next(tmp_path: Path) -> None:
    class Arrays:
        """As the dose engine's: in a circle."""

        def __init__(self) -> None:
            self.itself = self

    kept: list[weakref.ref[Arrays]] = []

    def job() -> Made:
        assert [one() for one in kept] == [None] * len(kept)
        kept.append(weakref.ref(Arrays()))
        return Made(9)

    gc.disable()
    try:
        assert run([("pt_1", job), ("pt_2", job), ("pt_3", job)], tmp_path).left_out == ()
    finally:
        gc.enable()


def test_a_worker_that_dies_is_a_failure_that_says_what_to_do(tmp_path: Path) -> None:
    class Dying(Executor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:  # type: ignore[override]
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool())
            return future

    with pytest.raises(Failure, match="nothing that was finished is lost") as raised:
        over_patients([("pt_1", lambda: Made(9))], tmp_path, Dying(), 1, lambda *_: None)
    assert raised.value.code == "worker-died"


def test_processes_share_the_cores_and_the_setting_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "5")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with process_executor(2) as executor:
        given = [executor.submit(os.getenv, name).result(60) for name in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")]
    assert given == ["4", "4"]
    assert (os.environ.get("NUMBA_NUM_THREADS"), os.environ["OPENBLAS_NUM_THREADS"]) == (None, "5")
