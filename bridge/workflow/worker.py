"""The worker: queued predictions and comparisons, one at a time, in a process of its own.

A model that crashes, hangs or takes all memory takes that process with it and not the node, which goes on receiving.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy.orm import Session

from bridge.rt.errors import BridgeError, Refusal
from bridge.workflow import hand_overs, jobs, reimport
from bridge.workflow.approved import unchanged_objectives
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.child_process import end_with
from bridge.workflow.comparison import compare_files, comparison_folder
from bridge.workflow.instances import paths_of
from bridge.workflow.jobs import Artifact, Job, result_folder
from bridge.workflow.predict import model_in, predict_files, preference_in
from bridge.workflow.reimport import Reimport
from bridge.workflow.release import Recipient, enqueue
from bridge.workflow.store import Store
from config.settings import Settings
from models.predictor import DosePredictor
from models.preference import preference_of

__all__ = ["Worker"]

logger = logging.getLogger(__name__)

_LONGEST_PREDICTION_S = 900.0
"""A prediction takes seconds; one that takes this long hangs."""


@dataclass
class _Running:
    work: Job | Reimport
    folder: Path
    future: Future[tuple[Artifact, ...]]
    deadline: float


class Worker:
    """Runs the jobs of a store.

    Parameters
    ----------
    store
        Where jobs are queued.
    settings
        Model, preference, and everything else that shapes a result.
    cases_folder
        Each case's results go to ``<cases_folder>/<case id>/<first 12 digits of the input's hash>``.
    recipients
        Who gets results that are released without approval, or None where approval comes first. Eclipse gets the
        objectives as well, where the settings name its folder.
    """

    def __init__(
        self, store: Store, settings: Settings, cases_folder: Path, recipients: tuple[Recipient, ...] | None
    ) -> None:
        self._store = store
        self._settings = settings
        self._cases_folder = cases_folder
        self._recipients = recipients
        self._running: _Running | None = None
        self._pool: Executor | None = None
        self._process_id = 0

    def start(self) -> None:
        """Queue again what a crash interrupted, and warm the process up with its model."""
        with self._store.transaction() as session:
            jobs.recover(session)
            reimport.recover(session)
        self._open_pool()

    def stop(self) -> None:
        """End the process; a job that was running is queued again at the next start."""
        if self._pool is not None:
            if self._running is not None:
                self._kill(self._running)
                with self._store.transaction() as session:
                    if isinstance(self._running.work, Job):
                        jobs.give_back(session, self._running.work)
                    else:
                        reimport.give_back(session, self._running.work)
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def tick(self) -> None:
        """Collect a finished job, or take the next one. Called again and again from one thread."""
        if self._running is None:
            self._take_next()
        elif self._running.future.done():
            # let go only when it is recorded: while the database is locked or the disk full, it is tried again
            self._collect(self._running)
            self._running = None
        elif time.monotonic() > self._running.deadline:
            self._kill(self._running)

    def _take_next(self) -> None:
        """Take a prediction that waits, or else a comparison."""
        if self._pool is None:
            return
        with self._store.transaction() as session:
            work = jobs.claim_next(session) or reimport.claim_next(session)
            if work is None:
                return
            job = work if isinstance(work, Job) else work.job
            paths = paths_of(session, job.inputs)
            hashes = [] if isinstance(work, Job) else [work.dose_sha256, work.plan_sha256]
            came_back = [path for sha256 in hashes for path in paths_of(session, [sha256])]
        folder = result_folder(self._cases_folder, job)
        try:
            if isinstance(work, Job):
                future = self._pool.submit(_run, paths, job, folder, self._settings)
            else:
                out = comparison_folder(self._cases_folder, work)
                dose, plan = came_back
                future = self._pool.submit(compare_files, paths, folder, work, dose, plan, out, self._settings)
        except BrokenProcessPool as error:  # the process died while it had nothing to do
            future = Future()
            future.set_exception(error)
        self._running = _Running(work, folder, future, time.monotonic() + _LONGEST_PREDICTION_S)

    def _collect(self, running: _Running) -> None:
        work = running.work
        try:
            artifacts = running.future.result()
            released = self._released_objectives(running, artifacts)
        except BrokenProcessPool:
            logger.error("the prediction process died during case %s", work.case_id)
            with self._store.transaction() as session:
                jobs.recover(session)
                reimport.recover(session)
            self._open_pool()
            return
        except BridgeError as error:
            state, case_state = (
                ("refused", CaseState.REFUSED) if isinstance(error, Refusal) else ("failed", CaseState.FAILED)
            )
            logger.warning("case %s %s: %s", work.case_id, state, error)
            self._finish(work, state, case_state, str(error))
            return
        except Exception as error:
            # a bug must not stop the node: the case fails visibly, the log has the trace
            logger.exception("case %s met a bug", work.case_id)
            self._finish(work, "failed", CaseState.FAILED, f"internal error ({type(error).__name__}), see the log")
            return
        with self._store.transaction() as session:
            if isinstance(work, Job):
                self._predicted(session, work, running.folder, artifacts, released)
            else:
                reimport.finish(session, work, "done", comparison_folder(self._cases_folder, work).name, artifacts)

    def _released_objectives(self, running: _Running, artifacts: Sequence[Artifact]) -> str | None:
        """Give the hash of the objectives that go to Eclipse without approval; None where none do."""
        is_wanted = self._recipients is not None and self._settings.eclipse.drop_folder is not None
        if not is_wanted or not isinstance(running.work, Job):
            return None
        file = jobs.artifact_of(artifacts, "objectives")
        return unchanged_objectives(running.folder / file.path, file.sha256, None).sha256

    def _predicted(
        self, session: Session, job: Job, folder: Path, artifacts: Sequence[Artifact], released: str | None
    ) -> None:
        if not jobs.is_wanted(session, job):
            jobs.finish(session, job, "superseded", "the case changed meanwhile")
            return
        jobs.finish(session, job, "done", "", artifacts)
        if self._recipients is None:
            set_state(session, job.case_id, CaseState.REVIEW, "predicted; waits for approval")
        else:
            if released is not None:
                file = jobs.artifact_of(artifacts, "objectives")
                hand_overs.queue(session, folder / file.path, file.sha256, released, None, job.case_id)
            enqueue(session, job.case_id, folder, artifacts, self._recipients)
        # a dose that was here before the prediction had nothing to be compared with
        reimport.link_doses(session, get_case(session, job.case_id).study_instance_uid)

    def _finish(self, work: Job | Reimport, state: str, case_state: CaseState, reason: str) -> None:
        with self._store.transaction() as session:
            if not isinstance(work, Job):
                reimport.finish(session, work, state, reason)
                return
            wanted = jobs.is_wanted(session, work)
            jobs.finish(session, work, state, reason)
            if wanted:
                set_state(session, work.case_id, case_state, reason)

    def _open_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
        )
        self._process_id = self._pool.submit(_warm_up, self._settings).result()

    def _kill(self, running: _Running) -> None:
        # without an unfinished job the process may be gone, and its number another's
        if not running.future.done():
            os.kill(self._process_id, signal.SIGKILL)


def _begin(parent: int) -> None:
    """Set the worker process up: it must not outlive a node that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)


@cache
def _predictor(settings_json: str) -> DosePredictor:
    return model_in(Settings.model_validate_json(settings_json))


def _warm_up(settings: Settings) -> int:
    _predictor(settings.model_dump_json())
    return os.getpid()


def _run(paths: tuple[Path, ...], job: Job, folder: Path, settings: Settings) -> tuple[Artifact, ...]:
    predictor = _predictor(settings.model_dump_json())
    preference = preference_in(settings) if job.preference is None else preference_of(**job.preference)
    return predict_files(paths, predictor, preference, job.case_id, folder, settings).artifacts
