"""What the viewer shows where: doses, CT numbers and directions, in all eight positions, against pydicom alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

from bridge.web.room import ReviewRoom
from bridge.workflow.jobs import Job, result_folder
from tests.e2e.bench import free_port
from tests.phantom import PATIENT_POSITIONS
from tests.web.chromium import chromium, log_in, open_viewer, page_of, served
from tests.web.predicted import receive_and_predict

pytestmark = pytest.mark.timeout(240)

POINT_AT = """([plane, places]) => {
  const canvas = document.querySelector(`canvas[data-plane=${plane}]`), box = canvas.getBoundingClientRect();
  const under = document.querySelector('[data-part=under]'), drawn = canvas.getContext('2d');
  return places.map(([x, y]) => {
    const at = {clientX: box.left + x * box.width, clientY: box.top + y * box.height};
    canvas.dispatchEvent(new PointerEvent('pointermove', {...at, bubbles: true}));
    const pixel = drawn.getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1);
    return {point: under.dataset.point.split(',').map(Number), gy: under.dataset.a, grey: [...pixel.data.slice(0, 3)],
            text: under.textContent};
  });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_room(room: ReviewRoom) -> Iterator[ReviewRoom]:
    local = replace(room, origin=f"http://127.0.0.1:{free_port()}")
    with served(local):
        yield local


@pytest.fixture
def page(browser: Browser, open_room: ReviewRoom) -> Iterator[Page]:
    with page_of(browser) as page:
        log_in(page, open_room.origin, "a.viewer")
        yield page


class Oracle:
    """Values of DICOM files at points of the patient, by pydicom and the standard's formulas alone (PS3.3 C.7.6.2)."""

    def __init__(self, slices: list[tuple[NDArray[np.float64], NDArray[np.float64]]], first: pydicom.Dataset) -> None:
        """Take (position, values) of each slice, and one dataset for the directions."""
        orientation = np.array(first.ImageOrientationPatient, float)
        self.along_row, self.along_column = orientation[:3], orientation[3:]
        self.normal = np.cross(self.along_row, self.along_column)
        self.spacing = np.array(first.PixelSpacing, float)
        slices.sort(key=lambda one: float(one[0] @ self.normal))
        self.origin = slices[0][0]
        self.depth = np.array([(position - self.origin) @ self.normal for position, _ in slices])
        self.values = np.array([values for _, values in slices])

    def at(self, point: list[float]) -> float | None:
        """Interpolate linearly along each axis, or give None beyond the voxel centres."""
        way = np.array(point) - self.origin
        k = np.interp(way @ self.normal, self.depth, np.arange(len(self.depth)), left=-1, right=-1)
        j, i = way @ self.along_column / self.spacing[0], way @ self.along_row / self.spacing[1]
        if k < 0 or not (0 <= j <= self.values.shape[1] - 1 and 0 <= i <= self.values.shape[2] - 1):
            return None
        total = 0.0
        for dk, dj, di in np.ndindex(2, 2, 2):
            place = [int(np.floor(k)) + dk, int(np.floor(j)) + dj, int(np.floor(i)) + di]
            weight = np.prod([1 - abs(value - index) for value, index in zip((k, j, i), place, strict=True)])
            if weight > 0:
                total += weight * self.values[tuple(place)]
        return total


def dose_oracle(path: Path) -> Oracle:
    file = pydicom.dcmread(path)
    gy = file.pixel_array.astype(float) * float(file.DoseGridScaling)
    origin, orientation = np.array(file.ImagePositionPatient, float), np.array(file.ImageOrientationPatient, float)
    normal = np.cross(orientation[:3], orientation[3:])
    offsets = [float(offset) for offset in file.GridFrameOffsetVector]
    return Oracle([(origin + offset * normal, plane) for offset, plane in zip(offsets, gy, strict=True)], file)


def ct_oracle(spool: Path) -> Oracle:
    files = [file for file in map(pydicom.dcmread, spool.iterdir()) if file.Modality == "CT"]
    slices = [
        (
            np.array(file.ImagePositionPatient, float),
            file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept),
        )
        for file in files
    ]
    return Oracle(slices, files[0])


def pointed_at(page: Page, plane: str, places: NDArray[np.float64]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(POINT_AT, [plane, places.tolist()])
    return found


def drawn_without_overlays(page: Page) -> None:
    """Leave the CT alone in the pictures."""
    for box in page.locator("[data-part=structures] input, [data-part=wash], [data-part=isodoses]").all():
        box.uncheck()
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_dose_ct_and_directions_are_those_of_the_files(page: Page, open_room: ReviewRoom, position: str) -> None:
    spool = open_room.cases_folder.parent / "spool"
    job = receive_and_predict(open_room.store, open_room.cases_folder, spool, position)
    dose, ct = dose_oracle(result_folder(open_room.cases_folder, job) / "rtdose.dcm"), ct_oracle(spool)
    open_viewer(page, open_room.origin, job.case_id)
    drawn_without_overlays(page)
    random, compared, greys = np.random.default_rng(8), 0, 0
    cross = page.evaluate("""() => {
      document.querySelector('canvas').dispatchEvent(new PointerEvent('pointerleave'));
      return document.querySelector('[data-part=under]').dataset.point.split(',').map(Number);
    }""")
    for plane, normal in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        for said in pointed_at(page, plane, random.uniform(0.06, 0.94, (60, 2))):
            expected = dose.at(said["point"])
            if expected is None:
                assert said["gy"] == "", said
                assert "no dose known" in said["text"]
            else:
                assert float(said["gy"]) == pytest.approx(expected, abs=0.01)
                assert f"{float(said['gy']):.2f} Gy" in said["text"]
                compared += 1
            hounsfield = ct.at(said["point"])
            beside = np.abs(np.delete(np.subtract(said["point"], cross), normal)).min() > 1.0
            if hounsfield is not None and beside and is_flat(ct, said["point"]):
                grey = np.clip((hounsfield + 160) / 400 * 255, 0, 255)
                assert said["grey"] == pytest.approx([grey] * 3, abs=2), (plane, said)
                greys += 1
        facing = page.locator(f"canvas[data-plane={plane}]").evaluate("canvas => ({...canvas.dataset})")
        corners = pointed_at(page, plane, np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]]))
        first, right, below = (np.array(corner["point"]) for corner in corners)
        assert (facing["left"], facing["right"]) == letters(right - first)
        assert (facing["top"], facing["bottom"]) == letters(below - first)
        assert first[normal] == right[normal] == below[normal]
        box = page.locator(f"canvas[data-plane={plane}]").bounding_box()
        assert box is not None
        across, down = np.abs(right - first).max() / box["width"], np.abs(below - first).max() / box["height"]
        assert across == pytest.approx(down, rel=0.01), "one mm is as long across as it is down"
    assert page.locator(".steer").is_hidden(), "a viewer looks, and moves no sliders"
    assert page.locator("canvas[data-plane=axial]").get_attribute("data-left") == "R"
    assert page.locator("canvas[data-plane=axial]").get_attribute("data-top") == "A"
    assert page.locator("canvas[data-plane=sagittal]").get_attribute("data-top") == "S"
    assert compared >= 100
    assert greys >= 50


def is_flat(ct: Oracle, point: list[float]) -> bool:
    """Whether the CT is the same all around, so that half a pixel more or less shows no other grey."""
    around = np.array(point) + np.vstack([np.eye(3), -np.eye(3)])
    near = [ct.at(list(other)) for other in around]
    known = [value for value in near if value is not None]
    return len(known) == 6 and np.ptp(known) < 1.0


def letters(way: NDArray[np.float64]) -> tuple[str, str]:
    """Give the letters of where a way comes from and leads to in LPS."""
    axis = int(np.abs(way).argmax())
    pair = (("R", "L"), ("A", "P"), ("I", "S"))[axis]
    return pair if way[axis] > 0 else pair[::-1]


def test_the_curves_are_the_exported_ones(page: Page, open_room: ReviewRoom, job: Job) -> None:
    open_viewer(page, open_room.origin, job.case_id)
    exported = json.loads((result_folder(open_room.cases_folder, job) / "dvh.json").read_text())["structures"]
    drawn = page.evaluate("""() => {
      const chart = document.querySelector('[data-part=dvh]'), axes = chart.querySelector('.axes');
      const isUpright = line => line.getAttribute('x1') === line.getAttribute('x2');
      const lines = [...axes.querySelectorAll('line')].filter(isUpright);
      const ticks = [...axes.querySelectorAll('text')].slice(0, lines.length).map(text => Number(text.textContent));
      return {ticks, at: lines.map(line => Number(line.getAttribute('x1'))),
              curves: Object.fromEntries([...chart.querySelectorAll('g.now')].map(curve =>
                [curve.dataset.roi, curve.querySelector('polyline').getAttribute('points')]))};
    }""")
    gy_per_px = (drawn["ticks"][-1] - drawn["ticks"][0]) / (drawn["at"][-1] - drawn["at"][0])
    assert len(drawn["curves"]) == len(exported) == 4
    for one in exported:
        points = [list(map(float, pair.split(","))) for pair in drawn["curves"][str(one["roi_number"])].split()]
        gy = (np.array(points)[:-1, 0] - drawn["at"][0]) * gy_per_px
        assert gy == pytest.approx(np.array(one["curve"]["dose_gy"]), abs=0.01)


@pytest.fixture
def job(open_room: ReviewRoom) -> Job:
    return receive_and_predict(open_room.store, open_room.cases_folder, open_room.cases_folder.parent / "spool")
