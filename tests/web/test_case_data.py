"""What the browser gets of one case, against what lies on disk."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.dicom.assemble import read_case
from bridge.dicom.read_dose import read_dose
from bridge.rt.errors import BridgeError
from bridge.rt.grid import Grid
from bridge.rt.volume import CtVolume, Dose, Mask, Volume
from bridge.web.encoded import encode_ct, encode_dose, encode_mask
from bridge.web.room import ReviewRoom
from bridge.workflow.jobs import Job, result_folder
from tests.phantom import PATIENT_POSITIONS
from tests.web.browser import Browser, code
from tests.web.predicted import receive_and_predict

GRID = Grid.axial((4, 3, 2), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0), "1.2")


@pytest.fixture
def job(room: ReviewRoom) -> Job:
    return receive_and_predict(room.store, room.cases_folder, room.cases_folder.parent / "spool")


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
    described = geometry_of(viewer, job)["volumes"][name]
    content = viewer.get(path(job, f"volumes/{name}")).content
    numbers = np.frombuffer(content, described["dtype"]).reshape(described["shape"])
    return numbers * described["step"], described


def test_it_says_whose_case_it_is_and_what_was_prescribed(viewer: Browser, job: Job) -> None:
    said = geometry_of(viewer, job)
    assert (said["patient"]["id"], said["patient"]["position"]) == ("PHANTOM-7", "HFS")
    assert [level["dose_gy"] for level in said["prescription"]["levels"]] == [60.0, 50.0]
    assert [one["roi_name"] for one in said["structures"]] == ["BODY", "PTV_6000", "PTV_5000", "SpinalCord"]
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
    for plane, patient_axis in (("sagittal", 0), ("coronal", 1), ("axial", 2)):
        axis, count = described["planes"][plane]["axis"], described["planes"][plane]["count"]
        assert abs(affine[patient_axis, axis]) == pytest.approx(described["spacing_mm"][axis])
        content = viewer.get(path(job, f"volumes/dose/{plane}/{count // 2}")).content
        numbers = np.frombuffer(content, described["dtype"]) * described["step"]
        assert np.array_equal(numbers, np.take(dose_gy, count // 2, axis).ravel())


def test_ct_numbers_are_those_of_the_images(room: ReviewRoom, viewer: Browser, job: Job) -> None:
    ct_hu, described = volume(viewer, job, "ct")
    spool = room.cases_folder.parent / "spool"
    given = read_case(sorted(spool.iterdir())).case.ct
    assert np.abs(ct_hu - given.values).max() <= 0.5
    assert np.array_equal(np.array(described["affine"]), given.grid.affine)
    assert described["unit"] == "HU"


def test_a_mask_has_the_volume_of_its_structure(viewer: Browser, job: Job) -> None:
    said = geometry_of(viewer, job)
    target = next(one for one in said["structures"] if one["roi_name"] == "PTV_6000")
    shape, spacing = said["volumes"]["dose"]["shape"], said["volumes"]["dose"]["spacing_mm"]
    content = viewer.get(path(job, f"volumes/mask-{target['roi_number']}")).content
    fractions = np.frombuffer(content, "|u1").reshape(shape) / 255.0
    cylinder_cc = np.pi * 9.0 * 7.0 * 18.0 / 1000.0
    assert fractions.sum() * np.prod(spacing) / 1000.0 == pytest.approx(cylinder_cc, rel=0.02)


def test_contours_are_as_drawn(viewer: Browser, job: Job) -> None:
    contours = viewer.json(path(job, "contours/4")).json()
    assert contours["roi_name"] == "SpinalCord"
    points = np.array(contours["planes"][0]["loops_mm"][0])
    assert np.hypot(*(points - [33.0, -102.0]).T) == pytest.approx(4.0, abs=0.02)


def test_dvhs_are_the_exported_ones(room: ReviewRoom, viewer: Browser, job: Job) -> None:
    on_disk = json.loads((result_folder(room.cases_folder, job) / "dvh.json").read_text())
    assert viewer.json(path(job, "dvh")).json() == on_disk


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("volumes/pet", (422, "volume-unknown")),
        ("volumes/mask-99", (422, "roi-unknown")),
        ("volumes/mask-x", (422, "number-invalid")),
        ("volumes/dose/oblique/1", (422, "plane-unknown")),
        ("volumes/dose/axial/999", (422, "plane-index")),
        ("volumes/dose/axial/-1", (422, "number-invalid")),
        ("volumes/dose/axial/1e1", (422, "number-invalid")),
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
    rest = "dvh" if name == "dvh.json" else "volumes/dose"
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
        (encode_mask, Mask, 0, 1),
    ):
        values = random.uniform(low, high, GRID.shape).astype(np.float32)
        encoded = encode(kind(values, GRID))  # type: ignore[operator]
        assert np.abs(encoded.numbers * encoded.step - values).max() <= encoded.step / 2 * 1.001


@pytest.mark.parametrize(
    "volume",
    [Dose(np.full(GRID.shape, 655.36, np.float32), GRID), CtVolume(np.full(GRID.shape, -32769.0, np.float32), GRID)],
)
def test_what_does_not_fit_is_refused_and_never_clipped(volume: Volume) -> None:
    with pytest.raises(BridgeError, match="do not fit"):
        encode_dose(volume) if isinstance(volume, Dose) else encode_ct(volume)  # type: ignore[arg-type]
