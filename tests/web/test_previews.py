"""Sliders: what a preference gives, and that no answer comes after that of a newer question."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from bridge.dicom.headers import read_header
from bridge.rt.case import PatientCase
from bridge.rt.errors import ApprovalRefusal, BridgeError, Failure, ModelRefusal
from bridge.web.newest import NewestOnly
from bridge.web.preview_process import PreviewProcess
from bridge.web.room import ReviewRoom
from bridge.web.steering import sliders_of
from bridge.workflow.jobs import Job
from bridge.workflow.predict import model_in, predict_files
from bridge.workflow.preview import Preview, PreviewRequest, preview
from config.load import load_settings
from models.preference import NEUTRAL, Preference
from models.registry import load_card
from tests.phantom import write_small_phantom
from tests.web.browser import Browser, code
from tests.web.predicted import SETTINGS


@pytest.fixture
def planner(room: ReviewRoom, job: Job) -> Browser:
    planner = Browser(room)
    planner.log_in("planner")
    return planner


def path(job: Job) -> str:
    return f"/cases/{job.case_id}/results/{job.input_sha256[:12]}/previews"


def wish(**wanted: object) -> dict[str, object]:
    return {"view": "one", "number": 1, "preference": "balanced", **wanted}


def test_without_a_wish_a_preview_is_the_prediction(planner: Browser, job: Job) -> None:
    answer = planner.send("POST", path(job), wish()).json()
    result = path(job).removesuffix("/previews")
    previewed, predicted = (
        np.frombuffer(planner.get(f"{result}/volumes/{name}").content, "<u2") for name in (answer["volume"], "dose")
    )
    assert np.array_equal(previewed, predicted)
    exported = planner.json(f"{result}/dvh/dose").json()
    assert [goal["is_met"] for goal in answer["goals"]] == [goal["is_met"] for goal in exported["goals"]]
    for shown, before in zip(answer["dvh"]["structures"], exported["dvh"]["structures"], strict=True):
        assert shown["roi_number"] == before["roi_number"]
        assert shown["metrics"]["mean_gy"] == pytest.approx(before["metrics"]["mean_gy"], abs=0.05)


def test_with_a_wish_a_preview_is_what_would_be_exported_in_one_view_too(tmp_path: Path) -> None:
    """Two views, which are usual, give another dose: by up to some Gy in a voxel."""
    settings = load_settings(None, {"prediction": {"model": "fdp-openkbp-v1", "mirror_average": False}})
    paths, wanted = write_small_phantom(tmp_path / "sent").paths, Preference("balanced", oar_weight=1.2)
    exported = predict_files(paths, model_in(settings), wanted, "phantom", tmp_path / "results", settings).result
    uids = tuple(exported.case.input_uids.values())
    previewed = preview(PreviewRequest(tuple(paths), uids, settings.model_dump_json(), wanted))
    assert np.abs(previewed.dose.values - exported.prediction.dose.values).max() < 0.001


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


def test_a_move_that_a_newer_one_overtook_is_refused_but_no_attempt_at_anything(
    planner: Browser, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(_asker: str, _number: int, _request: PreviewRequest) -> Preview:
        raise ApprovalRefusal("superseded", "Something newer was asked for meanwhile; this is let go.")

    monkeypatch.setattr(planner.room.previews, "ask", overtaken)
    assert code(planner.send("POST", path(job), wish())) == (409, "superseded")
    assert planner.audited() == []


def test_a_preview_of_an_old_result_is_refused(planner: Browser, job: Job) -> None:
    old = f"/cases/{job.case_id}/results/{'0' * 12}/previews"
    assert code(planner.send("POST", old, wish())) == (409, "result-superseded")


def test_a_preview_is_of_its_own_case_alone(planner: Browser, job: Job) -> None:
    name = planner.send("POST", path(job), wish()).json()["volume"]
    for case_id, result in (("another case", job.input_sha256[:12]), (job.case_id, "another one")):
        with pytest.raises(ApprovalRefusal) as gone:
            planner.room.preview_doses.get(name.removeprefix("preview-"), case_id, result)
        assert gone.value.code == "preview-gone"


def lines(answer: httpx.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def steerable(room: ReviewRoom, job: Job) -> Browser:
    """A room whose previews answer to the spinal cord's weight: its curve is divided by it."""

    def predict(request: PreviewRequest) -> Preview:
        neutral = preview(replace(request, preference=NEUTRAL))
        weight = request.preference.oar_weights.get("SpinalCord", 1.0)
        document = json.loads(json.dumps(neutral.dvhs))
        for one in document["structures"]:
            if one["roi_name"] == "SpinalCord":
                one["curve"]["dose_gy"] = [gy / weight for gy in one["curve"]["dose_gy"]]
        return replace(neutral, dvhs=document)

    settings = room.settings.model_copy(
        update={"prediction": room.settings.prediction.model_copy(update={"model": "fdp-openkbp-v1"})}
    )
    geometric = SETTINGS.model_dump_json()
    browser = Browser(
        replace(room, settings=settings, predict_preview=lambda asked: predict(replace(asked, settings_json=geometric)))
    )
    browser.log_in("planner")
    return browser


def desired(job: Job, **wanted: object) -> tuple[str, dict[str, object]]:
    point = {"roi_number": 4, "volume_percent": 50.0, "dose_gy": 20.0, "neutral_hi": 0.08}
    return path(job).replace("/previews", "/desired-dvh"), wish(**{**point, **wanted})


def test_a_desired_dvh_tells_of_each_prediction_and_ends_with_the_nearest(steerable: Browser, job: Job) -> None:
    start = steerable.send("POST", path(job), wish()).json()["dvh"]["structures"][3]
    neutral_gy = start["curve"]["dose_gy"][50]
    where, asked = desired(job, dose_gy=neutral_gy / 1.2)
    *progress, last = lines(steerable.send("POST", where, asked))
    assert [one["number"] for one in progress] == list(range(len(progress)))
    assert {one["most"] for one in progress} == {12}
    assert last["reached_gy"] == pytest.approx(neutral_gy / 1.2, abs=0.1)
    assert last["preview"]["preference"]["oar_weight.SpinalCord"] == pytest.approx(1.2, abs=0.02)
    assert last["preview"]["dvh"]["structures"][3]["curve"]["dose_gy"][50] == pytest.approx(last["reached_gy"])
    volume = path(job).replace("/previews", f"/volumes/{last['preview']['volume']}")
    assert steerable.get(volume).status_code == 200


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"roi_number": 99}, (422, "roi-unknown")),
        ({"volume_percent": 101.0}, (422, "preference-invalid")),
        ({"dose_gy": -1.0}, (422, "preference-invalid")),
        ({"neutral_hi": None}, (422, "preference-invalid")),
    ],
)
def test_a_desired_dvh_that_cannot_be_is_refused(
    steerable: Browser, job: Job, wanted: dict[str, object], expected: tuple[int, str]
) -> None:
    assert code(steerable.send("POST", *desired(job, **wanted))) == expected


def test_without_sliders_no_dvh_can_be_desired(planner: Browser, job: Job) -> None:
    assert code(planner.send("POST", *desired(job))) == (422, "no-slider")


def test_a_search_ends_where_something_newer_is_asked(steerable: Browser, job: Job) -> None:
    where, asked = desired(job)
    steerable.send("POST", path(job), wish(number=2))
    (only,) = lines(steerable.send("POST", where, asked))
    assert only["error"]["code"] == "superseded"


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
        first = pool.submit(newest.ask, "tab", 0, "move 0")
        until(lambda: bench.begun)
        moves = []
        for number in range(1, 30):
            moves.append(pool.submit(newest.ask, "tab", number, f"move {number}"))
            until(lambda wanted=number: newest._newest["tab"] == wanted)
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
        mine, yours = pool.submit(newest.ask, "mine", 5, "a"), pool.submit(newest.ask, "yours", 1, "b")
        until(lambda: len(newest._newest) == 2)
        bench.go.set()
        assert (mine.result(30), yours.result(30)) == ("answer to a", "answer to b")


def test_a_question_that_was_overtaken_on_the_way_comes_too_late() -> None:
    bench = Bench()
    newest = NewestOnly(bench)
    with ThreadPoolExecutor(2) as pool:
        second = pool.submit(newest.ask, "tab", 2, "move 2")
        until(lambda: bench.begun)
        assert code_of(pool.submit(newest.ask, "tab", 1, "move 1")) == "superseded"
        bench.go.set()
        assert second.result(30) == "answer to move 2"
    with pytest.raises(ApprovalRefusal, match="newer"):
        newest.ask("tab", 1, "move 1")
    assert newest.ask("tab", 2, "more of move 2") == "answer to more of move 2", "a search asks on"


def test_a_crowd_is_refused_and_not_queued_without_end() -> None:
    bench = Bench()
    newest = NewestOnly(bench)
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(newest.ask, f"tab {number}", 1, "a") for number in range(17)]
        until(lambda: newest._waiting == 16)
        assert code_of(pool.submit(newest.ask, "one more", 1, "a")) == "previews-busy"
        bench.go.set()
        assert [one.result(30) for one in asked] == ["answer to a"] * 17
    assert newest._waiting == 0


def test_askers_are_not_remembered_without_end() -> None:
    newest = NewestOnly(str.upper)
    for number in range(300):
        assert newest.ask(f"tab {number}", 1, "a") == "A"
    assert len(newest._newest) == 256


def test_work_that_fails_leaves_the_way_free() -> None:
    def fail(_question: str) -> str:
        raise Failure("preview-failed", "It died.")

    newest = NewestOnly(fail)
    for _ in range(2):
        with pytest.raises(Failure):
            newest.ask("tab", 1, "a")


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


def test_a_preview_with_other_settings_than_the_exported_dose_says_so(planner: Browser, job: Job) -> None:
    findings = planner.send("POST", path(job), wish()).json()["findings"]
    assert "settings-changed" not in [one["code"] for one in findings]
    coarse = planner.room.settings.prediction.model_copy(update={"dose_grid_mm": 5.0})
    other = Browser(replace(planner.room, settings=planner.room.settings.model_copy(update={"prediction": coarse})))
    other.log_in("planner")
    (told,) = [
        one for one in other.send("POST", path(job), wish()).json()["findings"] if one["code"] == "settings-changed"
    ]
    assert told["severity"] == "warning"


def test_a_preview_of_an_image_that_was_changed_in_the_spool_is_refused(planner: Browser, job: Job) -> None:
    spool = planner.room.cases_folder.parent / "spool"
    image = next(file for file in sorted(spool.iterdir()) if read_header(file).modality == "CT")
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(data)
    assert code(planner.send("POST", path(job), wish())) == (409, "input-changed")


def test_a_search_ends_with_the_nearest_and_not_with_what_was_tried_last(steerable: Browser, job: Job) -> None:
    where, asked = desired(job, dose_gy=0.5)
    *progress, last = lines(steerable.send("POST", where, asked))
    weights = [one for one in sliders_of(load_card("fdp-openkbp-v1"), _case(job, steerable)) if "Cord" in one["name"]]
    assert last["preview"]["preference"] == {"oar_weight.SpinalCord": weights[0]["high"]}
    assert last["reached_gy"] == min(one["nearest_gy"] for one in progress)
    curve = last["preview"]["dvh"]["structures"][3]["curve"]
    assert curve["dose_gy"][50] == pytest.approx(last["reached_gy"])


def _case(job: Job, browser: Browser) -> PatientCase:
    return browser.room.shown.get(job.case_id).opened.case
