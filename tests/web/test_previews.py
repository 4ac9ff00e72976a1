"""Sliders: what a preference gives, and that no answer comes after that of a newer question."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from bridge.rt.errors import ApprovalRefusal, BridgeError, Failure, ModelRefusal
from bridge.web.newest import NewestOnly
from bridge.web.preview_process import PreviewProcess
from bridge.web.room import ReviewRoom
from bridge.workflow.jobs import Job
from bridge.workflow.preview import PreviewRequest
from models.preference import NEUTRAL, Preference
from tests.web.browser import Browser, code
from tests.web.predicted import SETTINGS, receive_and_predict


@pytest.fixture
def job(room: ReviewRoom) -> Job:
    return receive_and_predict(room.store, room.cases_folder, room.cases_folder.parent / "spool")


@pytest.fixture
def planner(room: ReviewRoom, job: Job) -> Browser:
    planner = Browser(room)
    planner.log_in("planner")
    return planner


def path(job: Job) -> str:
    return f"/cases/{job.case_id}/results/{job.input_sha256[:12]}/previews"


def wish(**wanted: object) -> dict[str, object]:
    return {"view": "one", "preference": "balanced", **wanted}


def test_without_a_wish_a_preview_is_the_prediction(planner: Browser, job: Job) -> None:
    answer = planner.send("POST", path(job), wish()).json()
    result = path(job).removesuffix("/previews")
    previewed, predicted = (
        np.frombuffer(planner.get(f"{result}/volumes/{name}").content, "<u2") for name in (answer["volume"], "dose")
    )
    assert np.array_equal(previewed, predicted)
    exported = planner.json(f"{result}/dvh").json()["structures"]
    for shown, before in zip(answer["dvh"]["structures"], exported, strict=True):
        assert shown["roi_number"] == before["roi_number"]
        assert shown["metrics"]["mean_gy"] == pytest.approx(before["metrics"]["mean_gy"], abs=0.05)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"preference": "no such"}, (422, "preference-unknown")),
        ({"oar_weight": -1.0}, (422, "preference-invalid")),
        ({"oar_weight": "1"}, (422, "preference-invalid")),
        ({"oar_weights": {"Parotid_L": None}}, (422, "preference-invalid")),
        ({"view": "../x"}, (422, "preference-invalid")),
        ({"more": 1}, (422, "preference-invalid")),
    ],
)
def test_a_wish_that_cannot_be_is_refused(
    planner: Browser, job: Job, wanted: dict[str, object], expected: tuple[int, str]
) -> None:
    assert code(planner.send("POST", path(job), wish(**wanted))) == expected


def test_a_viewer_moves_no_sliders(planner: Browser, job: Job) -> None:
    planner.log_in("viewer")
    assert code(planner.send("POST", path(job), wish())) == (403, "role-too-low")


def test_a_preview_of_an_old_result_is_refused(planner: Browser, job: Job) -> None:
    old = f"/cases/{job.case_id}/results/{'0' * 12}/previews"
    assert code(planner.send("POST", old, wish())) == (409, "result-superseded")


def test_a_preview_is_of_its_own_case_alone(planner: Browser, job: Job) -> None:
    name = planner.send("POST", path(job), wish()).json()["volume"]
    with pytest.raises(ApprovalRefusal) as gone:
        planner.room.preview_doses.get(name.removeprefix("preview-"), "another case", job.input_sha256[:12])
    assert gone.value.code == "preview-gone"


class Bench:
    """Work that waits until it is let go, and notes what it was asked."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = Event()

    def __call__(self, question: str) -> str:
        self.begun.append(question)
        assert self.go.wait(30)
        return f"answer to {question}"


def until(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def code_of(asked: Future[str]) -> str:
    error = asked.exception(30)
    assert isinstance(error, BridgeError)
    return error.code


def test_thirty_moves_in_a_row_give_the_last_answer_alone() -> None:
    bench = Bench()
    newest = NewestOnly(bench)
    with ThreadPoolExecutor(31) as pool:
        first = pool.submit(newest.ask, "tab", "move 0")
        until(lambda: bench.begun)
        moves = []
        for number in range(1, 30):
            moves.append(pool.submit(newest.ask, "tab", f"move {number}"))
            until(lambda wanted=number + 1: newest._asked == wanted)
        assert {code_of(move) for move in moves[:-1]} == {"superseded"}
        bench.go.set()
        assert moves[-1].result(30) == "answer to move 29"
        with pytest.raises(ApprovalRefusal, match="newer"):
            first.result(30)
    assert bench.begun == ["move 0", "move 29"], "what nobody waits for is not worked on"


def test_one_asker_does_not_let_go_of_another() -> None:
    bench = Bench()
    newest = NewestOnly(bench)
    with ThreadPoolExecutor(3) as pool:
        mine, yours = pool.submit(newest.ask, "mine", "a"), pool.submit(newest.ask, "yours", "b")
        until(lambda: newest._asked == 2)
        bench.go.set()
        assert (mine.result(30), yours.result(30)) == ("answer to a", "answer to b")


def test_a_crowd_is_refused_and_not_queued_without_end() -> None:
    bench = Bench()
    newest = NewestOnly(bench)
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(newest.ask, f"tab {number}", "a") for number in range(16)]
        until(lambda: newest._asked == 16)
        assert code_of(pool.submit(newest.ask, "one more", "a")) == "previews-busy"
        bench.go.set()
        assert [one.result(30) for one in asked] == ["answer to a"] * 16
    assert newest._newest == {}


def test_work_that_fails_leaves_the_way_free() -> None:
    def fail(_question: str) -> str:
        raise Failure("preview-failed", "It died.")

    newest = NewestOnly(fail)
    for _ in range(2):
        with pytest.raises(Failure):
            newest.ask("tab", "a")


def request_of(room: ReviewRoom, job: Job, preference: Preference) -> PreviewRequest:
    paths = tuple(sorted((room.cases_folder.parent / "spool").iterdir()))
    return PreviewRequest(paths, job.inputs, SETTINGS.model_dump_json(), preference)


def test_the_process_predicts_refuses_and_survives_its_own_death(room: ReviewRoom, job: Job) -> None:
    process = PreviewProcess()
    try:
        first = process(request_of(room, job, NEUTRAL))
        assert first.dose.maximum_gy > 60.0
        with pytest.raises(ModelRefusal):
            process(request_of(room, job, Preference("odd", oar_weights={"No such organ": 1.0})))
        assert process._pool is not None
        (child,) = process._pool._processes.values()
        child.kill()
        child.join()
        with pytest.raises(Failure) as failed:
            process(request_of(room, job, NEUTRAL))
        assert failed.value.code == "preview-failed"
        again = process(request_of(room, job, NEUTRAL))
        assert np.array_equal(again.dose.values, first.dose.values)
    finally:
        process.close()
