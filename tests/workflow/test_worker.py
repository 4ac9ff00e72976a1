"""The worker with a real process pool. A start of its process takes seconds, so the tests share one, in their order."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.dicom.headers import read_header
from bridge.dicom.phantom import PhantomStructure
from bridge.node.instances import Source, StoredInstance
from bridge.rt.errors import DicomRefusal, ModelRefusal
from bridge.workflow import audit, hand_overs, jobs, reimport, worker
from bridge.workflow.cases import CaseState, case_id_of, ensure_case, get_case, set_state
from bridge.workflow.deliveries import deliveries_of
from bridge.workflow.instances import SqlInstanceIndex
from bridge.workflow.jobs import result_folder
from bridge.workflow.release import Recipient
from bridge.workflow.schema import JobRow, ReimportRow
from bridge.workflow.store import Store
from bridge.workflow.worker import Worker
from config.load import load_settings
from objective_extraction.objective_json import read_objective_set
from tests.phantom import STRUCTURES, write_small_phantom
from tests.stores import new_store

pytestmark = pytest.mark.timeout(400)

TPS = Recipient("tps", ("predicted_plan", "predicted_dose"))


class Room:
    """A store with phantoms in it, and a worker that is ticked by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # what the model says is not tested here, and the others take longer to load
        chosen = {"data_dir": str(folder / "data"), "prediction": {"model": "geometric"}}
        self.settings = load_settings(None, chosen)
        self.store = new_store(self.settings.data_dir)
        self.cases = self.settings.data_dir / "cases"
        self.worker = Worker(self.store, self.settings, self.cases, None)

    def queue(self, name: str, structures: Sequence[PhantomStructure] = STRUCTURES) -> str:
        phantom = write_small_phantom(self.folder / name, structures, patient_id=name)
        index, hashes = SqlInstanceIndex(self.store), []
        for path in phantom.paths:
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            size = path.stat().st_size
            index.record(StoredInstance(read_header(path), path, sha256, size, datetime.now(UTC), Source("folder")))
            hashes.append(sha256)
        with self.store.transaction() as session:
            case_id = ensure_case(session, phantom.identity.study_instance_uid, phantom.identity.structure_set_uid)
            jobs.queue(session, case_id, hashes)
        return case_id

    def case(self, case_id: str) -> tuple[CaseState, str]:
        with self.store.transaction() as session:
            audit.verify(session)
            case = get_case(session, case_id)
            return case.state, case.reason

    def job(self, case_id: str) -> tuple[str, int]:
        with self.store.transaction() as session:
            row = session.scalars(select(JobRow).where(JobRow.case_id == case_id)).one()
            return row.state, row.attempts

    def tick_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 150  # what takes a second may take a minute on a computer that is busy
        while not condition():
            assert time.monotonic() < deadline
            self.worker.tick()
            time.sleep(0.02)

    def finish(self, case_id: str) -> tuple[CaseState, str]:
        self.tick_until(lambda: self.case(case_id)[0] not in (CaseState.QUEUED, CaseState.RUNNING))
        return self.case(case_id)

    def kill_process(self) -> None:
        """Take the model's process down as the kernel does when memory runs out."""
        os.kill(self.worker._process_id, signal.SIGKILL)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    room = Room(tmp_path_factory.mktemp("worker"))
    room.worker.start()
    yield room
    room.worker.stop()
    room.store.close()


def test_a_queued_case_is_predicted_and_waits_for_approval(room: Room) -> None:
    case_id = room.queue("success")
    assert room.finish(case_id) == (CaseState.REVIEW, "predicted; waits for approval")
    assert room.job(case_id) == ("done", 1)
    with room.store.transaction() as session:
        done = jobs.last_done(session, case_id)
        assert deliveries_of(session, case_id) == []
    assert done is not None
    job, artifacts = done
    folder = result_folder(room.cases, job)
    assert {path.name for path in folder.iterdir()} == {artifact.path for artifact in artifacts}
    for artifact in artifacts:
        assert hashlib.sha256((folder / artifact.path).read_bytes()).hexdigest() == artifact.sha256
    assert {a.kind for a in artifacts if a.sop_instance_uid} == {"predicted_dose", "predicted_plan"}


def test_a_case_without_target_is_refused_with_its_reason(room: Room) -> None:
    case_id = room.queue("refused", [s for s in STRUCTURES if not s.name.startswith("PTV")])
    state, reason = room.finish(case_id)
    assert (state, "[no-target" in reason) == (CaseState.REFUSED, True)
    assert room.job(case_id) == ("refused", 1)
    assert not (room.cases / case_id).exists()


def test_results_are_released_at_once_where_the_site_says_so(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room.worker, "_recipients", (TPS,))
    case_id = room.queue("automatic")
    assert room.finish(case_id) == (CaseState.DELIVERING, "to tps")
    with room.store.transaction() as session:
        assert [Path(row.path).name for row in deliveries_of(session, case_id)] == ["rtplan.dcm", "rtdose.dcm"]


def test_where_nobody_has_to_approve_the_objectives_go_to_eclipse_without_approval(
    room: Room, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changes = {"data_dir": str(room.settings.data_dir), "eclipse": {"drop_folder": str(tmp_path / "share")}}
    monkeypatch.setattr(room.worker, "_settings", load_settings(None, changes))
    monkeypatch.setattr(room.worker, "_recipients", ())
    case_id = room.queue("to eclipse")
    assert room.finish(case_id) == (CaseState.DELIVERING, "to the folder for Eclipse")
    with room.store.transaction() as session:
        (row,) = hand_overs.hand_overs_of(session, case_id)
    assert (row.state, row.approved_by, row.approved_utc) == ("pending", None, None)
    assert row.objectives_sha256 == read_objective_set(Path(row.path)).sha256
    assert row.sha256 == hashlib.sha256(Path(row.path).read_bytes()).hexdigest()


def test_nothing_is_released_of_a_case_that_was_refused_while_it_ran(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.worker, "_recipients", (TPS,))
    case_id = room.queue("changed")
    room.worker.tick()
    assert room.case(case_id)[0] is CaseState.RUNNING
    with room.store.transaction() as session:
        set_state(session, case_id, CaseState.REFUSED, "two patients")
    room.tick_until(lambda: room.job(case_id)[0] != "running")
    assert room.job(case_id) == ("superseded", 1)
    assert room.case(case_id) == (CaseState.REFUSED, "two patients")
    with room.store.transaction() as session:
        assert deliveries_of(session, case_id) == []


def test_a_bug_fails_the_case_and_not_the_node(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    case_id = room.queue("bug")
    with room.store.transaction() as session:
        job = jobs.claim_next(session)
    assert job is not None
    future: Future[tuple[jobs.Artifact, ...]] = Future()
    future.set_exception(ZeroDivisionError("what it says may name somebody"))
    room.worker._running = worker._Running(job, room.cases, future, time.monotonic() + 60)
    room.worker.tick()
    assert room.case(case_id) == (CaseState.FAILED, "internal error (ZeroDivisionError), see the log")
    assert room.job(case_id) == ("failed", 1)
    assert case_id in caplog.text


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (DicomRefusal("dose-summation", "One beam is not a plan."), "refused", "One beam is not a plan. "),
        (ZeroDivisionError("what it says may name somebody"), "failed", "internal error (ZeroDivisionError), "),
    ],
)
def test_a_comparison_that_does_not_end_well_leaves_the_case_as_it_is(
    room: Room, error: Exception, state: str, message: str
) -> None:
    identity = write_small_phantom(room.folder / "again", patient_id="success").identity
    case_id = case_id_of(identity.study_instance_uid, identity.structure_set_uid)
    before = room.case(case_id)
    with room.store.transaction() as session:
        done = jobs.last_done(session, case_id)
        assert done is not None
        row = ReimportRow(
            case_id=case_id, job_id=done[0].id, dose_uid="1.2.3", dose_sha256=("a" if state == "refused" else "c") * 64,
            plan_uid="1.2.4", plan_sha256="b" * 64, follows=True, state="queued", created_utc=datetime.now(UTC),
        )  # fmt: skip
        session.add(row)
    with room.store.transaction() as session:
        work = reimport.claim_next(session)
    assert work is not None
    future: Future[tuple[jobs.Artifact, ...]] = Future()
    future.set_exception(error)
    room.worker._running = worker._Running(work, room.cases, future, time.monotonic() + 60)
    room.worker.tick()
    with room.store.transaction() as session:
        row = next(found for found in reimport.reimports_of(session, case_id) if found.id == work.id)
        assert row.state == state
        assert row.message.startswith(message)
    assert room.case(case_id) == before


def test_a_process_that_died_while_idle_costs_one_attempt(room: Room) -> None:
    process = room.worker._process_id
    room.kill_process()
    time.sleep(0.2)
    case_id = room.queue("idle")
    assert room.finish(case_id)[0] is CaseState.REVIEW
    assert room.job(case_id) == ("done", 2)
    assert room.worker._process_id != process


def test_a_job_that_kills_or_hangs_its_process_is_given_up_after_three(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    case_id = room.queue("deadly")
    for attempt in (1, 2, 3):
        with monkeypatch.context() as patch:
            if attempt == 2:
                patch.setattr(worker, "_LONGEST_PREDICTION_S", -1.0)  # past its deadline as soon as it has begun
            room.worker.tick()
            assert room.case(case_id) == (CaseState.RUNNING, f"attempt {attempt}")
            if attempt != 2:
                room.kill_process()
            room.tick_until(lambda: room.case(case_id)[0] is not CaseState.RUNNING)
        if attempt < 3:
            assert room.case(case_id) == (CaseState.QUEUED, "queued again after a crash")
    assert room.case(case_id) == (CaseState.FAILED, "the process died 3 times during this job")
    assert room.job(case_id) == ("failed", 3)
    room.worker.tick()
    assert room.job(case_id) == ("failed", 3)


def test_an_end_while_a_job_runs_leaves_it_for_the_next_start(room: Room) -> None:
    case_id = room.queue("stopped")
    room.worker.tick()
    assert room.case(case_id)[0] is CaseState.RUNNING
    room.worker.stop()
    room.worker.stop()
    assert room.job(case_id) == ("queued", 0), "to be stopped is no failed attempt"
    assert room.case(case_id)[0] is CaseState.QUEUED


def test_a_model_that_nobody_has_ends_the_start(tmp_path: Path) -> None:
    settings = load_settings(None, {"data_dir": str(tmp_path), "prediction": {"model": "nothing"}})
    store = Store.in_folder(tmp_path)
    one = Worker(store, settings, tmp_path / "cases", None)
    with pytest.raises(ModelRefusal, match="nothing"):
        one.start()
    one.stop()
    store.close()
