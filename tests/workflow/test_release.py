from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from bridge.rt.errors import ApprovalRefusal, StorageFailure
from bridge.workflow import jobs
from bridge.workflow.cases import CaseState, get_case, set_state
from bridge.workflow.deliveries import deliveries_of
from bridge.workflow.jobs import Artifact, result_folder
from bridge.workflow.release import Recipient, approve, enqueue
from bridge.workflow.schema import AuditRow
from bridge.workflow.store import Store
from tests.workflow.results import make_results

BOTH = ("predicted_plan", "predicted_dose")
TPS, ARCHIVE = Recipient("tps", BOTH), Recipient("archive", BOTH[1:])


@dataclass
class Review:
    """A case in review, and what its reviewer saw."""

    store: Store
    cases: Path
    job: jobs.Job
    artifacts: tuple[Artifact, ...]

    @property
    def folder(self) -> Path:
        return result_folder(self.cases, self.job)

    @property
    def seen(self) -> str:
        return hashlib.sha256((self.folder / "objectives.json").read_bytes()).hexdigest()

    def approve(self, seen: str | None = None, recipients: tuple[Recipient, ...] = (TPS,)) -> None:
        with self.store.transaction() as session:
            approve(session, self.job.case_id, self.cases, recipients, "physicist", seen or self.seen)

    def state(self) -> tuple[CaseState, str]:
        with self.store.transaction() as session:
            case = get_case(session, self.job.case_id)
            return case.state, case.reason

    def owed(self) -> list[tuple[str, str]]:
        with self.store.transaction() as session:
            return [(row.destination, Path(row.path).name) for row in deliveries_of(session, self.job.case_id)]


@pytest.fixture
def review(store: Store, tmp_path: Path) -> Review:
    job, artifacts = make_results(store, tmp_path / "cases")
    return Review(store, tmp_path / "cases", job, artifacts)


def test_approval_sends_the_plan_before_the_dose_that_refers_to_it(review: Review) -> None:
    review.approve(recipients=(TPS, ARCHIVE))
    assert review.owed() == [("tps", "rtplan.dcm"), ("tps", "rtdose.dcm"), ("archive", "rtdose.dcm")]
    assert review.state() == (CaseState.DELIVERING, "to tps, archive")
    with review.store.transaction() as session:
        (event,) = session.scalars(select(AuditRow).where(AuditRow.action == "case-approved"))
        assert (event.actor, event.case_id) == ("physicist", review.job.case_id)
        assert event.detail["artifacts"] == {a.kind: a.sha256 for a in review.artifacts}


@pytest.mark.parametrize("name", ["rtdose.dcm", "rtplan.dcm", "objectives.json", "report.html"])
@pytest.mark.parametrize("change", ["changed", "removed"])
def test_a_file_that_is_not_the_one_that_was_written_is_refused(review: Review, name: str, change: str) -> None:
    seen, path = review.seen, review.folder / name
    if change == "removed":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ApprovalRefusal, match=name) as raised:
        review.approve(seen)
    assert raised.value.code == "artifact-changed"
    assert (review.owed(), review.state()[0]) == ([], CaseState.REVIEW)


def test_a_file_that_cannot_be_read_is_not_released(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, read = review.seen, Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == "rtplan.dcm":
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(StorageFailure, match=r"rtplan\.dcm cannot be read: Input/output error"):
        review.approve(seen)
    assert (review.owed(), review.state()[0]) == ([], CaseState.REVIEW)


def test_an_approval_of_other_objectives_is_refused(review: Review) -> None:
    with pytest.raises(ApprovalRefusal, match="Look at them again") as raised:
        review.approve("0" * 64)
    assert raised.value.code == "other-objectives"
    assert (review.owed(), review.state()[0]) == ([], CaseState.REVIEW)


@pytest.mark.parametrize("state", [state for state in CaseState if state is not CaseState.REVIEW])
def test_only_a_case_in_review_can_be_approved(review: Review, state: CaseState) -> None:
    with review.store.transaction() as session:
        set_state(session, review.job.case_id, state, "for the test")
    with pytest.raises(ApprovalRefusal, match=f"is {state.value}, not in review") as raised:
        review.approve()
    assert (raised.value.code, review.owed()) == ("not-in-review", [])


def test_approving_twice_sends_once(review: Review) -> None:
    review.approve()
    with pytest.raises(ApprovalRefusal, match="not in review"):
        review.approve()
    assert len(review.owed()) == 2


@pytest.mark.parametrize("user", ["", "  ", "x" * 65, "line\nbreak"])
def test_an_approval_names_who_approves(review: Review, user: str) -> None:
    with pytest.raises(ApprovalRefusal, match="who approves") as raised, review.store.transaction() as session:
        approve(session, review.job.case_id, review.cases, (TPS,), user, review.seen)
    assert raised.value.code == "approver"
    assert review.state()[0] is CaseState.REVIEW


def test_nothing_is_owed_twice(review: Review) -> None:
    for _ in range(2):
        with review.store.transaction() as session:
            enqueue(session, review.job.case_id, review.folder, review.artifacts, (TPS,))
    assert review.owed() == [("tps", "rtplan.dcm"), ("tps", "rtdose.dcm")]


@pytest.mark.parametrize("recipients", [(), (Recipient("tps", ()),)])
def test_without_a_destination_the_case_is_done(review: Review, recipients: tuple[Recipient, ...]) -> None:
    review.approve(recipients=recipients)
    assert review.state()[0] is CaseState.DELIVERED
    assert review.owed() == []


def test_an_unknown_case_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ApprovalRefusal, match="no case"), store.transaction() as session:
        approve(session, "nothing", tmp_path, (), "physicist", "0" * 64)


def test_what_is_released_again_after_something_else_went_out_is_sent_again(review: Review) -> None:
    """A case that was edited, delivered and predicted anew gets the UIDs of its first prediction again."""
    now = datetime(2026, 5, 4, 12, tzinfo=UTC)
    other = tuple(replace(one, sop_instance_uid=f"{one.sop_instance_uid}.1") for one in review.artifacts)

    def states() -> list[str]:
        with review.store.transaction() as session:
            return [row.state for row in deliveries_of(session, review.job.case_id)]

    for hour, artifacts in enumerate((review.artifacts, other, review.artifacts)):
        with review.store.transaction() as session:
            enqueue(session, review.job.case_id, review.folder, artifacts, (TPS,))
        assert states().count("pending") == 2
        with review.store.transaction() as session:
            for row in deliveries_of(session, review.job.case_id):
                if row.state == "pending":
                    row.state, row.finished_utc = "delivered", now + timedelta(hours=hour)
    with review.store.transaction() as session:
        enqueue(session, review.job.case_id, review.folder, review.artifacts, (TPS,))
    assert states() == ["delivered"] * 4, "it is the newest there"
