"""What is handed over is what a person approved, with that person's name, the time, and the hash."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.rt.errors import ApprovalRefusal
from bridge.tps.eclipse import EclipseFolder
from bridge.workflow.approved import approved_objectives
from bridge.workflow.jobs import result_folder
from bridge.workflow.release import approve
from bridge.workflow.store import Store
from objective_extraction.approval import Approval
from objective_extraction.objective_json import objective_set_to_json, read_approved
from objective_extraction.objective_set import ObjectiveSet
from tests.objective_extraction.cases import objective_set
from tests.workflow.results import make_results

GIVEN = objective_set()


class Case:
    """A case in review whose objectives are real."""

    def __init__(self, store: Store, cases: Path) -> None:
        self.store, self.cases = store, cases
        content = objective_set_to_json(GIVEN).encode()
        job, _ = make_results(store, cases, contents={"objectives": content})
        self.id, self.path = job.case_id, result_folder(cases, job) / "objectives.json"

    def approve(self) -> None:
        seen = hashlib.sha256(self.path.read_bytes()).hexdigest()
        with self.store.transaction() as session:
            approve(session, self.id, self.cases, (), "A. Physicist", seen)

    def approved(self) -> tuple[ObjectiveSet, Approval]:
        with self.store.transaction() as session:
            return approved_objectives(session, self.id, self.cases)


@pytest.fixture
def case(store: Store, tmp_path: Path) -> Case:
    return Case(store, tmp_path / "cases")


def test_what_was_approved_is_handed_over_with_the_approval(case: Case, tmp_path: Path) -> None:
    case.approve()
    objectives, approval = case.approved()
    assert (objectives, approval.approved_by, approval.objectives_sha256) == (GIVEN, "A. Physicist", GIVEN.sha256)
    assert abs(datetime.now(UTC) - approval.approved_utc) < timedelta(minutes=5)
    folder = EclipseFolder(tmp_path / "share")
    folder.root.mkdir()
    folder.hand_over(objectives, approval)
    assert read_approved(folder.folder_of(GIVEN) / "objectives.json") == (GIVEN, approval)


def test_what_nobody_approved_is_not_handed_over(case: Case) -> None:
    with pytest.raises(ApprovalRefusal) as refused:
        case.approved()
    assert refused.value.code == "not-approved"


@pytest.mark.parametrize("change", ["changed", "removed", "predicted again"])
def test_what_is_not_the_approved_file_is_not_handed_over(case: Case, change: str) -> None:
    case.approve()
    if change == "changed":
        case.path.write_bytes(case.path.read_bytes().replace(b"70.5", b"60.5"))
    elif change == "removed":
        case.path.unlink()
    else:
        make_results(case.store, case.cases, inputs=("aa", "cc"))
    with pytest.raises(ApprovalRefusal) as refused:
        case.approved()
    assert refused.value.code == "artifact-changed"
