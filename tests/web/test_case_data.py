"""What the browser gets of one case, against what lies on disk."""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from bridge.dicom.assemble import read_case
from bridge.dicom.headers import read_header
from bridge.dicom.read_dose import read_dose
from bridge.node.instances import Source, StoredInstance
from bridge.rt.errors import BridgeError
from bridge.rt.grid import Grid
from bridge.rt.volume import CtVolume, Dose, Volume
from bridge.web.encoded import encode_ct, encode_dose
from bridge.web.room import ReviewRoom
from bridge.workflow import jobs
from bridge.workflow.cases import CaseState, set_state
from bridge.workflow.instances import SqlInstanceIndex
from bridge.workflow.jobs import Job, result_folder
from bridge.workflow.schema import ReimportRow
from tests.phantom import PATIENT_POSITIONS
from tests.web.browser import Browser, code
from tests.web.predicted import receive_and_predict

GRID = Grid.axial((4, 3, 2), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0), "1.2")


@pytest.fixture
def viewer(browser: Browser) -> Browser:
    browser.log_in("viewer")
    return browser


def geometry_of(viewer: Browser, job: Job) -> dict[str, Any]:
    content: dict[str, Any] = viewer.json(f"/cases/{job.case_id}/geometry").json()
    return content


def path(job: Job, rest: str) -> str:
    return f"/cases/{job.case_id}/results/{job.input_sha256[:12]}/{rest}"


def volume(viewer: Browser, job: Job, name: str) -> tuple[NDArray[np.float64], dict[str, Any]]:
    said = geometry_of(viewer, job)
    described = said["ct"] if name == "ct" else next(one for one in said["doses"] if one["name"] == name)
    numbers = unpacked(viewer.get(path(job, f"volumes/{name}")).content, described["shape"])
    return numbers.view(described["dtype"]) * described["step"], described


def unpacked(content: bytes, shape: Sequence[int]) -> NDArray[np.uint16]:
    """Undo the differences along the last axis, in 16 bits as they were made."""
    return np.cumsum(np.frombuffer(content, "<u2").reshape(shape), axis=2, dtype=np.uint16)


def test_it_says_whose_case_it_is_and_what_was_prescribed(viewer: Browser, job: Job) -> None:
    said = geometry_of(viewer, job)
    assert (said["patient"]["id"], said["patient"]["position"]) == ("PHANTOM-7", "HFS")
    assert [level["dose_gy"] for level in said["prescription"]["levels"]] == [60.0, 50.0]
    assert [one["roi_name"] for one in said["structures"]] == ["PTV_6000", "PTV_5000", "SpinalCord", "BODY"]
    report = (result_folder(viewer.room.cases_folder, job) / "report.html").read_text()
    for drawn in (*(one["style"] for one in said["structures"]), *said["dose_colours"]["isodoses"]):
        assert drawn["colour"] in report, "as the report draws it"
    assert said["result"] == job.input_sha256[:12]


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_the_dose_under_the_cursor_is_that_of_the_file(room: ReviewRoom, viewer: Browser, position: str) -> None:
    """As the browser finds it: from a position through the affine to a voxel's number."""
    job = receive_and_predict(room.store, room.cases_folder, room.cases_folder.parent / "spool", position)
    dose_gy, described = volume(viewer, job, "dose")
    dose = read_dose(result_folder(room.cases_folder, job) / "rtdose.dcm")
    affine = np.array(described["affine"])
    random = np.random.default_rng(4)
    for index in random.integers(0, described["shape"], (100, 3)):
        position_mm = affine[:3, :3] @ index + affine[:3, 3]
        shown = dose_gy[tuple(index)]
        assert shown == pytest.approx(float(dose.at(position_mm[None])[0]), abs=0.0051)
    assert dose_gy.max() > 60.0


def test_ct_numbers_are_those_of_the_images(room: ReviewRoom, viewer: Browser, job: Job) -> None:
    ct_hu, described = volume(viewer, job, "ct")
    spool = room.cases_folder.parent / "spool"
    given = read_case(sorted(spool.iterdir())).case.ct
    assert np.abs(ct_hu - given.values).max() <= 0.5
    assert np.array_equal(np.array(described["affine"]), given.grid.affine)
    assert described["unit"] == "HU"


def test_contours_are_as_drawn(viewer: Browser, job: Job) -> None:
    contours = viewer.json(path(job, "contours/4")).json()
    assert contours["roi_name"] == "SpinalCord"
    points = np.array(contours["planes"][0]["loops_mm"][0])
    assert np.hypot(*(points - [33.0, -102.0]).T) == pytest.approx(4.0, abs=0.02)


def test_dvhs_are_the_exported_ones(room: ReviewRoom, viewer: Browser, job: Job) -> None:
    on_disk = json.loads((result_folder(room.cases_folder, job) / "dvh.json").read_text())
    assert viewer.json(path(job, "dvh/dose")).json()["dvh"] == on_disk


def test_goals_are_those_of_the_protocol_measured_in_the_exported_dose(
    room: ReviewRoom, viewer: Browser, job: Job
) -> None:
    goals = viewer.json(path(job, "dvh/dose")).json()["goals"]
    exported = json.loads((result_folder(room.cases_folder, job) / "dvh.json").read_text())["structures"]
    metrics = {one["roi_name"]: one["metrics"] for one in exported}
    said = {(one["roi_name"], one["what"]): one for one in goals}
    assert said["PTV_6000", "D95% >= 60.00 Gy"]["reached_gy"] == pytest.approx(metrics["PTV_6000"]["D95%_gy"])
    assert said["PTV_6000", "D99% >= 57.00 Gy"]["is_met"] == (metrics["PTV_6000"]["D99%_gy"] >= 57.0)
    assert said["SpinalCord", "D0.1cc <= 45.00 Gy"]["is_hard"]
    # of the highest prescription; the maximum of a target of more than 1.5 cc is its D0.03cc
    maximum = said["PTV_6000", "D0.03cc <= 64.20 Gy"]
    assert maximum["reached_gy"] == pytest.approx(metrics["PTV_6000"]["D0.03cc_gy"])
    assert maximum["excess_gy"] == pytest.approx(maximum["reached_gy"] - 64.2)


def test_a_model_without_wishes_has_no_sliders(viewer: Browser, job: Job) -> None:
    assert geometry_of(viewer, job)["sliders"] == []


def came_back(room: ReviewRoom, job: Job, times: float) -> Path:
    """Put a dose into the spool as one that came back and was compared: the predicted one, but for a factor."""
    file = pydicom.dcmread(result_folder(room.cases_folder, job) / "rtdose.dcm")
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.3680043.8.498.77"
    file.DoseGridScaling = f"{float(file.DoseGridScaling) * times:.9e}"
    path = room.cases_folder.parent / "spool" / "returned.dcm"
    file.save_as(path, enforce_file_format=True)
    data, header, now = path.read_bytes(), read_header(path), datetime(2026, 5, 4, 12, tzinfo=UTC)
    sha256 = hashlib.sha256(data).hexdigest()
    source = Source("network", "TPS", "BRIDGE", "127.0.0.1", "a2")
    SqlInstanceIndex(room.store).record(StoredInstance(header, path, sha256, len(data), now, source))
    with room.store.transaction() as session:
        session.add(
            ReimportRow(
                case_id=job.case_id, job_id=job.id, dose_uid=header.sop_instance_uid, dose_sha256=sha256,
                plan_uid="1.2.3", plan_sha256="0" * 64, follows=True, state="done", attempts=1, created_utc=now,
            )
        )  # fmt: skip
    return path


def test_a_dose_that_came_back_is_shown_and_measured_beside_the_predicted_one(
    room: ReviewRoom, viewer: Browser, job: Job
) -> None:
    path_of_dose = came_back(room, job, 1.05)
    names = [(one["name"], one["came_utc"]) for one in geometry_of(viewer, job)["doses"]]
    assert names == [("dose", None), ("optimized-1", "2026-05-04T12:00+00:00")]
    (predicted, _), (returned, _) = volume(viewer, job, "dose"), volume(viewer, job, "optimized-1")
    assert np.abs(returned - 1.05 * predicted).max() <= 0.011
    before, after = (viewer.json(path(job, f"dvh/{name}")).json() for name in ("dose", "optimized-1"))
    for one, other in zip(before["dvh"]["structures"], after["dvh"]["structures"], strict=True):
        assert other["metrics"]["mean_gy"] == pytest.approx(1.05 * one["metrics"]["mean_gy"], rel=1e-5)
    met = {(goal["roi_name"], goal["what"]): goal["is_met"] for goal in after["goals"]}
    assert met["PTV_6000", "D95% >= 60.00 Gy"]
    room.shown._cases.clear()
    content = bytearray(path_of_dose.read_bytes())
    content[-2] ^= 1
    path_of_dose.write_bytes(content)
    assert code(viewer.json(path(job, "volumes/optimized-1"))) == (409, "input-changed")


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("volumes/pet", (422, "volume-unknown")),
        ("volumes/optimized-9", (422, "volume-unknown")),
        ("volumes/optimized-1e1", (422, "number-invalid")),
        ("volumes/preview-0123456789abcdef", (409, "preview-gone")),
        ("dvh/pet", (422, "volume-unknown")),
        ("contours/-1", (422, "number-invalid")),
        ("contours/99", (422, "roi-unknown")),
    ],
)
def test_what_is_not_there_is_refused(viewer: Browser, job: Job, rest: str, expected: tuple[int, str]) -> None:
    assert code(viewer.json(path(job, rest))) == expected


def test_cases_and_results_that_are_not_there_are_refused(viewer: Browser, job: Job) -> None:
    assert code(viewer.json("/cases/0123456789ab/geometry")) == (404, "case-unknown")
    assert code(viewer.json(f"/cases/{job.case_id}/results/000000000000/volumes/ct")) == (409, "result-superseded")


@pytest.mark.parametrize("name", ["rtdose.dcm", "dvh.json"])
def test_a_result_that_was_changed_on_disk_is_not_shown(room: ReviewRoom, viewer: Browser, job: Job, name: str) -> None:
    with (result_folder(room.cases_folder, job) / name).open("ab") as file:
        file.write(b"\n")
    rest = "dvh/dose" if name == "dvh.json" else "volumes/dose"
    assert code(viewer.json(path(job, rest))) == (409, "artifact-changed")


def test_an_image_that_was_changed_in_the_spool_is_not_shown(room: ReviewRoom, viewer: Browser, job: Job) -> None:
    image = min((room.cases_folder.parent / "spool").glob("*"))
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(data)
    assert code(viewer.json(path(job, "volumes/ct"))) == (409, "input-changed")


def test_no_patient_is_named_in_logs_or_the_audit_trail(
    viewer: Browser, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        geometry_of(viewer, job)
        volume(viewer, job, "ct")
    with viewer.room.store.transaction() as session:
        kept = session.connection().exec_driver_sql("SELECT group_concat(detail) FROM audit").scalar()
    assert "PHANTOM-7" not in caplog.text + str(kept)


def test_numbers_are_exact_to_half_a_step() -> None:
    random = np.random.default_rng(3)
    for encode, kind, low, high in (
        (encode_ct, CtVolume, -1024, 3071),
        (encode_dose, Dose, 0, 655.35),
    ):
        values = random.uniform(low, high, GRID.shape).astype(np.float32)
        encoded = encode(kind(values, GRID))  # type: ignore[operator]
        assert np.abs(encoded.numbers * encoded.step - values).max() <= encoded.step / 2 * 1.001
        sent = unpacked(gzip.decompress(encoded.packed), GRID.shape)
        assert np.array_equal(sent.view(encoded.numbers.dtype), encoded.numbers)


@pytest.mark.parametrize(
    "volume",
    [Dose(np.full(GRID.shape, 655.36, np.float32), GRID), CtVolume(np.full(GRID.shape, -32769.0, np.float32), GRID)],
)
def test_what_does_not_fit_is_refused_and_never_clipped(volume: Volume) -> None:
    with pytest.raises(BridgeError, match="do not fit"):
        encode_dose(volume) if isinstance(volume, Dose) else encode_ct(volume)  # type: ignore[arg-type]


def test_a_case_that_the_settings_prescribe_otherwise_now_is_not_shown(room: ReviewRoom, job: Job) -> None:
    """Its goals and percents would be of another prescription than the exported objectives are."""
    prescription = room.settings.prescription.model_copy(update={"fractions": 17})
    other = Browser(replace(room, settings=room.settings.model_copy(update={"prescription": prescription})))
    other.log_in("viewer")
    assert code(other.json(f"/cases/{job.case_id}/geometry")) == (409, "settings-changed")


def test_a_dose_that_came_back_for_an_earlier_prediction_is_not_shown_beside_a_later_one(
    room: ReviewRoom, viewer: Browser, job: Job
) -> None:
    came_back(room, job, 1.05)
    assert len(geometry_of(viewer, job)["doses"]) == 2
    with room.store.transaction() as session:
        (results, artifacts) = jobs.done_by(session, job.id)
        jobs.queue_again(session, results, None)
        set_state(session, job.case_id, CaseState.QUEUED, "for the test")
        later = jobs.claim_next(session)
        assert later is not None
        shutil.copytree(result_folder(room.cases_folder, job), result_folder(room.cases_folder, later))
        jobs.finish(session, later, "done", "", [replace(one, sop_instance_uid=None) for one in artifacts])
    assert [one["name"] for one in geometry_of(viewer, job)["doses"]] == ["dose"]
