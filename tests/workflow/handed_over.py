"""A case with real objectives, a folder for Eclipse, and the couriers between them, on a clock of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bridge.node.settings import RetryPolicy
from bridge.tps.eclipse import EclipseFolder
from bridge.workflow import audit
from bridge.workflow.cases import get_case
from bridge.workflow.eclipse_answers import EclipseAnswers
from bridge.workflow.eclipse_courier import EclipseCourier
from bridge.workflow.jobs import result_folder
from bridge.workflow.release import Recipient, approve
from bridge.workflow.schema import AuditRow
from bridge.workflow.store import Store
from bridge.workflow.worklist import HandOverLine, worklist
from objective_extraction.objective_json import objective_set_to_json
from objective_extraction.objective_set import ObjectiveSet
from tests.tps.receipts import GIVEN, receipt_json
from tests.workflow.results import make_results

POLICY = RetryPolicy(first_delay_s=10.0, factor=2.0, longest_delay_s=25.0, give_up_after_s=100.0)


class Room:
    """A case in review, and Eclipse's folder beside it."""

    def __init__(self, store: Store, root: Path, objectives: ObjectiveSet = GIVEN) -> None:
        self.objectives = objectives
        self.store, self.cases, self.now = store, root / "cases", datetime.now(UTC) + timedelta(hours=1)
        job, _ = make_results(store, self.cases, contents={"objectives": objective_set_to_json(objectives).encode()})
        self.id, self.path = job.case_id, result_folder(self.cases, job) / "objectives.json"
        self.folder = EclipseFolder(root / "share")
        self.folder.root.mkdir(parents=True)
        self.answers = EclipseAnswers(store, self.folder)

    @property
    def handed(self) -> Path:
        """The folder of the hand-over."""
        return self.folder.folder_of(self.objectives)

    def approve(self, recipients: Sequence[Recipient] = (), to_eclipse: bool = True) -> None:
        seen = hashlib.sha256(self.path.read_bytes()).hexdigest()
        with self.store.transaction() as session:
            approve(session, self.id, self.cases, recipients, "A. Physicist", seen, to_eclipse)

    def courier(self) -> EclipseCourier:
        return EclipseCourier(self.store, self.folder, POLICY, lambda: self.now)

    def answered(self, name: str = "receipt.json", **changes: Any) -> None:
        """Let the plug-in answer, and take the answer in."""
        part = self.handed / f"{name}.part"
        part.write_bytes(receipt_json(**changes))
        part.replace(self.handed / name)
        self.answers.take_in()

    def state(self) -> tuple[str, str]:
        with self.store.transaction() as session:
            case = get_case(session, self.id)
            return case.state.value, case.reason

    def line(self) -> HandOverLine:
        """The one hand-over of the one case in the worklist."""
        (row,) = worklist(self.store)
        (line,) = row.hand_overs
        return line

    def events(self, *actions: str) -> list[AuditRow]:
        """The events of these kinds in the audit trail, whose chain must hold."""
        with self.store.transaction() as session:
            audit.verify(session)
            return list(session.scalars(select(AuditRow).where(AuditRow.action.in_(actions)).order_by(AuditRow.id)))


def handed_over(store: Store, root: Path) -> Room:
    """A case whose approved objectives lie in Eclipse's folder."""
    room = Room(store, root)
    room.approve()
    room.courier().run_once()
    return room
