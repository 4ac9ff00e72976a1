"""A library of plans over all patients of the data: settings, an executor, and who could not be planned and why."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path

from bridge import __version__
from bridge.rt.errors import BridgeError, Failure, ModelRefusal, StorageFailure
from bridge.workflow.child_process import end_with
from bridge.workflow.library.goals import protocol_sha256
from bridge.workflow.library.patient import PatientJob, build_patient
from bridge.workflow.library.planner import InfluenceOf
from bridge.workflow.library.record import LeftOut, Work, add_work, read_left_out, write_left_out
from bridge.workflow.library.weightings import WeightingChoice
from bridge.workflow.lock import data_folder_lock
from config.protocol import Protocol, load_protocol
from esapi_stub.engine.engine import EngineSettings
from esapi_stub.engine.optimizer import StoppingRule
from esapi_stub.engine.radplan import dose_influence
from models.library.files import write_whole
from models.library.manifest import LIBRARY_FILE, LibraryManifest, Recipe, as_bytes, read_manifest
from models.openkbp.reader import list_patients, patient_folder

__all__ = ["LIBRARY_RULE", "LibraryOptions", "LibraryRun", "build_library", "process_executor", "recipe_of"]

logger = logging.getLogger(__name__)

LIBRARY_RULE = StoppingRule(max_iterations=120)
"""The engine's own rule with a bound: warm plans end by the rule, and the first of a patient may not."""

_METHOD = "planning 2"
"""How goals and weightings become objectives: a change of numbers needs another, else old plans and new ones mix."""

_NUMBA_THREADS = "NUMBA_NUM_THREADS"

Progress = Callable[[int, int, str], None]
"""Told how many patients are done, of how many, and a line about the last one."""


@dataclass(frozen=True)
class LibraryOptions:
    """What library to make.

    Attributes
    ----------
    sets
        Sets of the data.
    patients
        The first so many of each set; None for all.
    beams
        Number of equispaced beams of each set of beams.
    choice
        Weightings.
    settings
        Dose grid, beamlets and stopping rule of the engine.
    rounds
        Most optimizations on the way to a reference plan.
    protocol
        Name of the protocol.
    """

    sets: tuple[str, ...] = ("train", "validation")
    patients: int | None = None
    beams: tuple[int, ...] = (9,)
    choice: WeightingChoice = field(default_factory=WeightingChoice)
    settings: EngineSettings = field(default_factory=lambda: EngineSettings(rule=LIBRARY_RULE))
    rounds: int = 5
    protocol: str = "head_and_neck"


@dataclass(frozen=True)
class LibraryRun:
    """What a run has done.

    Attributes
    ----------
    patients
        That are whole now.
    plans
        Made in this run.
    left_out
        Patients who could not be planned, with the reasons.
    """

    patients: int
    plans: int
    left_out: tuple[LeftOut, ...]


def recipe_of(options: LibraryOptions, protocol: Protocol) -> Recipe:
    """Say what makes the plans what they are; how many there are of them is not part of it."""
    rule = options.settings.rule
    try:
        release = metadata.version("pyRadPlan")
    except metadata.PackageNotFoundError:
        release = "missing"  # the engine itself says what to install
    return Recipe(
        engine=f"fdp-bridge {__version__}, {_METHOD}, pyRadPlan {release}",
        dose_grid_mm=options.settings.dose_grid_mm,
        beamlet_mm=options.settings.beamlet_mm,
        max_iterations=rule.max_iterations,
        relative_decrease=rule.relative_decrease,
        over_iterations=rule.over_iterations,
        rounds=options.rounds,
        protocol=options.protocol,
        protocol_sha256=protocol_sha256(protocol),
        seed=options.choice.seed,
    )


def build_library(
    data: Path,
    library: Path,
    options: LibraryOptions,
    executor: Executor,
    *,
    processes: int = 1,
    influence_of: InfluenceOf = dose_influence,
    progress: Progress = lambda *_: None,
) -> LibraryRun:
    """Make what a library lacks.

    Parameters
    ----------
    data
        OpenKBP patients, in folders by their sets or all in one.
    library
        Folder of the library, made where it is not there.
    options
        What to make. More weightings, sets of beams or patients than an earlier run made join what is there.
    executor
        Works on patients in parallel: processes of this machine, or of several (``distributed.Client.get_executor``),
        which then need to see both folders under the same names.
    processes
        How many patients the executor works on at a time, for the record.
    influence_of
        Computes dose influences.
    progress
        Told after each patient.

    Raises
    ------
    ModelRefusal
        The folder holds a library of another recipe (``library-recipe``): name another folder.
    Refusal
        There is no patient.
    StorageFailure
        The folder cannot be written, or another run works in it.
    Failure
        A worker process died (``library-worker``); run again, and it goes on.
    """
    protocol = load_protocol(options.protocol)
    recipe = recipe_of(options, protocol)
    sources = _sources(data, options)
    with data_folder_lock(library):
        _keep_recipe(library, recipe)
        jobs = [
            PatientJob(
                path, set_name, library, recipe.sha256, protocol, options.settings, options.rounds, options.choice,
                options.beams,
            )
            for set_name, path in sources
        ]  # fmt: skip
        return _run(jobs, library, executor, processes, influence_of, progress)


@contextmanager
def process_executor(processes: int) -> Iterator[Executor]:
    """Give processes of this machine, which share its cores evenly and end with this one."""
    # numba reads it when it is imported, in the processes to come
    before = os.environ.get(_NUMBA_THREADS)
    os.environ[_NUMBA_THREADS] = str(max(1, (os.cpu_count() or 1) // processes))
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin, initargs=(os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if before is None:
            del os.environ[_NUMBA_THREADS]
        else:
            os.environ[_NUMBA_THREADS] = before


def _begin(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is lost but the plans under way
    os.environ.setdefault("TQDM_DISABLE", "1")
    end_with(parent)


def _sources(data: Path, options: LibraryOptions) -> list[tuple[str, Path]]:
    """Give the patients with their sets; a folder that has none of the sets in it is taken for the first one."""
    found: list[tuple[str, Path]] = []
    for set_name in options.sets:
        folder = patient_folder(data, set_name)
        if folder == data and found:
            break  # all patients lie in one folder
        found += [(set_name, path) for path in list_patients(folder)[: options.patients]]
    return found


def _keep_recipe(library: Path, recipe: Recipe) -> None:
    """Write the recipe, or hold it against the one that is there."""
    path = library / LIBRARY_FILE
    if not path.exists():
        write_whole(path, as_bytes(LibraryManifest(recipe=recipe)))
        return
    known = read_manifest(path, LibraryManifest).recipe
    if known != recipe:
        before, now = known.model_dump(), recipe.model_dump()
        unlike = ", ".join(f"{name} {before[name]}, now {now[name]}" for name in now if before[name] != now[name])
        raise ModelRefusal(
            "library-recipe",
            f"The folder holds a library that was made otherwise: {unlike}. Plans of two recipes cannot be compared; "
            "name another folder.",
        )


@dataclass(frozen=True)
class _Outcome:
    patient: str
    plans: int
    seconds: float
    error: dict[str, object] | None


def _run(
    jobs: Sequence[PatientJob],
    library: Path,
    executor: Executor,
    processes: int,
    influence_of: InfluenceOf,
    progress: Progress,
) -> LibraryRun:
    futures: list[Future[_Outcome]] = [executor.submit(_work, job, influence_of) for job in jobs]
    outcomes: list[_Outcome] = []
    left_out: list[LeftOut] = []
    # of patients whom this run does not come to, what an earlier one found still holds
    all_left_out = {one.patient: one for one in read_left_out(library)}
    try:
        for future in as_completed(futures):
            outcome = future.result()
            outcomes.append(outcome)
            all_left_out.pop(outcome.patient, None)
            if outcome.error is not None:
                left_out.append(LeftOut(outcome.patient, outcome.error))
                all_left_out[outcome.patient] = left_out[-1]
                logger.warning("%s is left out: %s", outcome.patient, outcome.error["message"])
            elif outcome.plans:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                add_work(library, Work(now, outcome.patient, outcome.plans, outcome.seconds, processes))
            write_left_out(library, tuple(all_left_out.values()))
            progress(len(outcomes), len(jobs), _line(outcome))
    except BrokenProcessPool as error:
        raise Failure(
            "library-worker",
            "A worker process died; was there enough memory? A patient takes 3 GB with nine beams. Run again, "
            "perhaps with fewer processes: nothing that was made is lost.",
        ) from error
    finally:
        for future in futures:
            future.cancel()
    return LibraryRun(len(outcomes) - len(left_out), sum(outcome.plans for outcome in outcomes), tuple(left_out))


def _work(job: PatientJob, influence_of: InfluenceOf) -> _Outcome:
    """Do one patient; what is wrong with one must not stop the others."""
    begun = time.perf_counter()
    error: dict[str, object] | None = None
    made = 0
    try:
        made = build_patient(job, influence_of).made
    except StorageFailure:
        raise  # the disk is everybody's
    except BridgeError as found:
        if found.code == "planning-not-installed":
            raise
        error = found.as_dict()
    except Exception as found:
        # a bug, or an anatomy that nobody thought of: the patient is left out visibly, the log has the trace
        logger.exception("%s met a bug", job.patient_id)
        message = f"Internal error ({type(found).__name__}), see the log."
        error = {"kind": "failed", "code": "internal-error", "message": message, "where": {"patient": job.patient_id}}
    return _Outcome(job.patient_id, made, time.perf_counter() - begun, error)


def _line(outcome: _Outcome) -> str:
    if outcome.error is not None:
        return f"{outcome.patient} is left out: {outcome.error['message']} [{outcome.error['code']}]"
    if not outcome.plans:
        return f"{outcome.patient}: nothing was missing"
    return f"{outcome.patient}: {outcome.plans} plans in {outcome.seconds:.0f} s"
