"""Work over many patients: an executor, one patient who cannot be done stops nobody, and who was left out and why."""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

from bridge.rt.errors import BridgeError, Failure, StorageFailure
from bridge.workflow.child_process import end_with
from bridge.workflow.library.record import LeftOut, Work, add_work, read_left_out, write_left_out

__all__ = ["Done", "Made", "Progress", "over_patients", "process_executor"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
"""Told how many patients are done, of how many, and a line about the last one."""

_THREADS = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Made:
    """What was made of one patient: plans, and doses of plans that were there without one."""

    plans: int
    doses: int = 0


@dataclass(frozen=True)
class Done:
    """What a run has done.

    Attributes
    ----------
    plans
        Made in this run, by patient; 0 of one of whom nothing was missing.
    left_out
        Patients who could not be done, with the reasons, in the order of the jobs.
    doses
        Made again in this run, of plans that were there.
    """

    plans: dict[str, int]
    left_out: tuple[LeftOut, ...]
    doses: int


@dataclass(frozen=True)
class _Outcome:
    patient: str
    made: Made
    seconds: float
    error: dict[str, object] | None


@contextmanager
def process_executor(processes: int) -> Iterator[Executor]:
    """Give processes of this machine, which share its cores evenly and end with this one."""
    share = str(max(1, (os.cpu_count() or 1) // processes))
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, share))  # read on import, in the processes to come
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin, initargs=(os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is lost but the plans under way
    end_with(parent)


def over_patients(
    jobs: Sequence[tuple[str, Callable[[], Made]]],
    folder: Path,
    executor: Executor,
    processes: int,
    progress: Progress,
) -> Done:
    """Do all patients, and keep in the folder what was made, and who is left out and why.

    Parameters
    ----------
    jobs
        Names of the patients, and what makes the plans and doses that one lacks and tells how many these were; both go
        to other processes.
    folder
        Of the record and of those left out. Of patients whom this run does not come to, what an earlier one found
        still holds.
    executor
        Works on patients in parallel: processes of this machine, or of several (``distributed.Client.get_executor``),
        which then need to see all folders under the same names.
    processes
        How many patients the executor works on at a time, for the record.
    progress
        Told after each patient.

    Raises
    ------
    StorageFailure
        The disk, which is everybody's.
    Failure
        A worker process died (``worker-died``), or the engine is not installed; run again, and it goes on.
    """
    futures: list[Future[_Outcome]] = [executor.submit(_attempt, patient, job) for patient, job in jobs]
    plans: dict[str, int] = {}
    doses = 0
    left_out: dict[str, LeftOut] = {}
    all_left_out = {one.patient: one for one in read_left_out(folder)}
    try:
        for done, future in enumerate(as_completed(futures), start=1):
            outcome = future.result()
            all_left_out.pop(outcome.patient, None)
            if outcome.error is not None:
                left_out[outcome.patient] = all_left_out[outcome.patient] = LeftOut(outcome.patient, outcome.error)
                logger.warning("%s is left out: %s", outcome.patient, outcome.error["message"])
            else:
                plans[outcome.patient] = outcome.made.plans
                doses += outcome.made.doses
            if outcome.made.plans:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                add_work(folder, Work(now, outcome.patient, outcome.made.plans, outcome.seconds, processes))
            write_left_out(folder, tuple(all_left_out.values()))
            progress(done, len(jobs), _line(outcome))
    except BrokenProcessPool as error:
        raise Failure(
            "worker-died",
            "A worker process died; was there enough memory? A patient takes 3 GB with nine beams. Run again, "
            "perhaps with fewer processes: nothing that was finished is lost.",
        ) from error
    finally:
        for future in futures:
            future.cancel()
    return Done(plans, tuple(left_out[patient] for patient, _ in jobs if patient in left_out), doses)


def _attempt(patient: str, job: Callable[[], Made]) -> _Outcome:
    """Do one patient; what is wrong with one must not stop the others."""
    begun = time.perf_counter()
    error: dict[str, object] | None = None
    made = Made(0)
    try:
        made = job()
    except StorageFailure:
        raise
    except BridgeError as found:
        if found.code == "planning-not-installed":
            raise
        error = found.as_dict()
    except Exception as found:
        # a bug, or an anatomy that nobody thought of: the patient is left out visibly, the log has the trace
        logger.exception("%s met a bug", patient)
        message = f"Internal error ({type(found).__name__}), see the log."
        error = {"kind": "failed", "code": "internal-error", "message": message, "where": {"patient": patient}}
    # a patient's arrays hang in cycles of a few objects, too few for the collector to come by itself: without this a
    # worker grows by some 40 MB with every patient
    gc.collect()
    return _Outcome(patient, made, time.perf_counter() - begun, error)


def _line(outcome: _Outcome) -> str:
    if outcome.error is not None:
        return f"{outcome.patient} is left out: {outcome.error['message']} [{outcome.error['code']}]"
    counts = ((outcome.made.plans, "plan", ""), (outcome.made.doses, "dose", " made again"))
    what = ", ".join(f"{n} {one}{'' if n == 1 else 's'}{more}" for n, one, more in counts if n)
    return (
        f"{outcome.patient}: {what} in {outcome.seconds:.0f} s" if what else f"{outcome.patient}: nothing was missing"
    )
