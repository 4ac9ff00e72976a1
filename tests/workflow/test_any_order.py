"""Whatever happens in whatever order: no case waits for nothing, and nothing leaves that nobody approved as it is."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.node.instances import StoredInstance
from bridge.node.ledger import Courier
from bridge.node.scu import InstanceResult
from bridge.node.settings import Destination
from bridge.rt.errors import BridgeError
from bridge.tps.eclipse import EclipseFolder
from bridge.workflow import audit, decide, jobs, stops
from bridge.workflow.cases import RELEASED, CaseState, CaseView, get_case, set_state
from bridge.workflow.deliveries import SqlDeliveryLedger
from bridge.workflow.eclipse_courier import EclipseCourier
from bridge.workflow.jobs import Artifact, result_folder
from bridge.workflow.release import Recipient, approve
from bridge.workflow.results import CaseResults
from bridge.workflow.schema import InstanceRow, JobRow
from bridge.workflow.store import Store
from objective_extraction.objective_json import objective_set_to_json
from tests.tps.receipts import GIVEN
from tests.workflow.handed_over import POLICY
from tests.workflow.records import CT_UIDS, STUDY, instance, plan, slices, structure_set
from tests.workflow.test_deliveries import DOWN, NEVER, SENT, TPS
from tests.workflow.test_intake import CASE, Room

SEEDS, STEPS = 25, 40
FILES = {"predicted_dose": "rtdose.dcm", "predicted_plan": "rtplan.dcm", "objectives": "objectives.json"}


class Walk:
    """A bridge without a network and a model, to which things happen by chance."""

    def __init__(self, store: Store, root: Path, seed: int) -> None:
        self.store, self.cases, self.chance = store, root / "cases", random.Random(seed)  # noqa: S311 - no secret
        self.room, self.now, self.share = Room(store), datetime.now(UTC), EclipseFolder(root / "share")
        self.share.root.mkdir()
        self.contents, self.made, self.told = [slices()[0]], dict[str, int](), list[str]()
        self.room.arrive(structure_set(), *slices())
        self.room.wait(3.0)
        self.actions: dict[str, Callable[[], None]] = {
            "predict": lambda: self.predict("done"),
            "fail": lambda: self.predict(self.chance.choice(["failed", "refused"])),
            "arrive": self.arrive,
            "keep": self.keep,
            "wait": lambda: self.room.wait(3.0),
            "restart": self.room.restart,
            "send": self.couriers,
            "approve": lambda: self.ask(self._approve),
            "again": lambda: self.ask(self._again),
            "retry": lambda: self.ask(lambda session: decide.retry(session, CASE, "p")),
            "resend": lambda: self.ask(
                lambda session: decide.send_again(
                    session, CASE, self.chance.choice(["tps", "the folder for Eclipse"]), "p", "r"
                )
            ),
            "hold": lambda: self.ask(lambda session: stops.stop(session, CASE, stops.StopKind.HELD, "p", "r")),
            "discard": lambda: self.ask(lambda session: stops.stop(session, CASE, stops.StopKind.DISCARDED, "p", "r")),
            "resume": self.resume,
        }

    def step(self) -> None:
        often = {"predict": 3, "approve": 3, "send": 2, "again": 2, "resume": 2}
        self.told += self.chance.choices(list(self.actions), [often.get(name, 1) for name in self.actions])
        self.actions[self.told[-1]]()

    def ask(self, what: Callable[[Session], object]) -> None:
        with suppress(BridgeError), self.store.transaction() as session:
            what(session)

    def resume(self) -> None:
        self.ask(lambda session: stops.resume(session, CASE, "p", "r"))

    def arrive(self) -> None:
        came: StoredInstance = plan(f"{STUDY}.5.{self.chance.randint(1, 3)}")
        if self.chance.random() < 0.5:
            came = instance(CT_UIDS[0], content=str(len(self.contents)), z_mm=3.0)
            self.contents.append(came)
        self.room.arrive(came)

    def keep(self) -> None:
        with self.store.transaction() as session:
            decide.keep(session, CT_UIDS[0], self.chance.choice(self.contents).sha256, "p")
        if self.chance.random() < 0.7:
            self.room.wait(3.0)

    def predict(self, ended: str) -> None:
        """Take the next job and end it as the worker does; something may happen meanwhile."""
        with self.store.transaction() as session:
            job = jobs.claim_next(session)
        if job is None:
            return
        if self.chance.random() < 0.2:
            self.chance.choice([self.arrive, self.keep])()
        with self.store.transaction() as session:
            if not jobs.is_wanted(session, job):
                jobs.finish(session, job, "superseded", "the case changed meanwhile")
                return
            jobs.finish(session, job, ended, "", self._files(job) if ended == "done" else ())
            set_state(session, CASE, CaseState.REVIEW if ended == "done" else CaseState(ended), "it ended")

    def _files(self, job: jobs.Job) -> Sequence[Artifact]:
        created = GIVEN.provenance.created_utc + timedelta(seconds=job.id)
        objectives = replace(GIVEN, provenance=replace(GIVEN.provenance, created_utc=created))
        self.made[self.share.folder_of(objectives).name] = job.id
        folder, files = result_folder(self.cases, job), []
        folder.mkdir(parents=True)
        for kind, name in FILES.items():
            content = (objective_set_to_json(objectives) if kind == "objectives" else f"{kind} {job.id}").encode()
            (folder / name).write_bytes(content)
            uid = f"1.2.{job.id}.{len(kind)}" if name.endswith(".dcm") else None
            files.append(Artifact(kind, name, hashlib.sha256(content).hexdigest(), uid))
        return files

    def results(self, session: Session) -> CaseResults | None:
        done = jobs.last_done(session, CASE)
        return None if done is None else CaseResults(*done, result_folder(self.cases, done[0]))

    def _approve(self, session: Session) -> None:
        if results := self.results(session):
            seen = jobs.artifact_of(results.artifacts, "objectives").sha256
            to = Recipient("tps", ("predicted_plan", "predicted_dose"))
            approve(session, CASE, self.cases, [to], "A. Physicist", seen, to_eclipse=True)

    def _again(self, session: Session) -> None:
        if results := self.results(session):
            decide.predict_again(session, results, "p", "r", self.chance.choice([None, {"name": "a"}]))

    def couriers(self) -> None:
        self.now += timedelta(seconds=self.chance.choice([1, 200]))
        EclipseCourier(self.store, self.share, POLICY, lambda: self.now).run_once()
        Courier(SqlDeliveryLedger(self.store, {"tps": TPS}), self, lambda: self.now, POLICY).run_once()

    def send(self, _to: Destination, files: Sequence[Path]) -> list[InstanceResult]:
        """Be the destination: what comes is of the newest results, whose approval holds."""
        with self.store.transaction() as session:
            results, case = self.results(session), get_case(session, CASE)
        assert results is not None
        assert {file.parent for file in files} == {results.folder}, self.told
        assert case.state in RELEASED, self.told
        outcome, status, reason = self.chance.choice([SENT, SENT, DOWN, NEVER])
        return [InstanceResult(file, None, outcome, status, "code", reason) for file in files]

    def check(self) -> CaseView:
        with self.store.transaction() as session:
            case = get_case(session, CASE)
            waiting = list(session.scalars(select(JobRow.id).where(JobRow.state == "queued")))
        assert len(waiting) <= 1, self.told
        assert waiting or case.state is not CaseState.QUEUED, self.told
        return case


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_stuck_and_nothing_void_lies_elsewhere(store: Store, tmp_path: Path, seed: int) -> None:
    walk = Walk(store, tmp_path, seed)
    for _ in range(STEPS):
        walk.step()
        walk.check()
    walk.resume()
    walk.keep()
    for _ in range(6):
        walk.room.wait(3.0)
        walk.predict("done")
        walk.now += timedelta(seconds=200)
        walk.couriers()
    case = walk.check()
    assert case.state not in (CaseState.WAITING, CaseState.QUEUED, CaseState.RUNNING), walk.told
    with store.transaction() as session:
        audit.verify(session)
        results, is_settled = walk.results(session), jobs.is_settled(session, CASE)
        set_aside = set(session.scalars(select(InstanceRow.sha256).where(InstanceRow.set_aside)))
    assert results is not None
    there = {walk.made[folder.name] for folder in walk.share.root.iterdir()}
    assert there <= ({results.job.id} if case.state in RELEASED and is_settled else set()), walk.told
    assert there or case.state is not CaseState.DELIVERED, walk.told
    assert case.state not in (CaseState.REVIEW, CaseState.DELIVERED) or not set_aside & set(results.job.inputs)
