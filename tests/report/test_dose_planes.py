from __future__ import annotations

import base64
import re
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread
from scipy import ndimage

from bridge.report.case_data import CaseReportData
from bridge.report.contour_cut import axial_outlines, upright_outlines
from bridge.report.dose_planes import DosePicture, dose_pictures, isodose_levels
from bridge.report.line_style import line_styles
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.structure import Plane, Structure
from bridge.rt.volume import CtVolume, Dose
from tests.report.synthetic_case import (
    FRAME,
    ROW_AND_COLUMN_DIRECTIONS,
    ellipse,
    grid_around,
    head_and_neck,
    positions,
    report_data,
)

CENTRE = np.array([30.0, -120.0, 410.0])
MARKS = {"R": (-60, 0, 0), "A": (0, -50, 0), "S": (0, 0, 40)}
"""Bright cubes of 16 mm to the right, in front and above the target's centre, in mm from it."""
SEEN = {"Axial": ("R", "A"), "Coronal": ("R", "S"), "Sagittal": ("A", "S")}
SHOWN_AXES = {"Axial": (0, 1, 1), "Coronal": (0, 2, -1), "Sagittal": (1, 2, -1)}
"""Patient axis across, patient axis down, and its sign."""


def marked_case(position: str, dose_position: str = "HFS") -> CaseReportData:
    ct_grid = grid_around(CENTRE + np.array([5, 3, -2]), (180, 150, 120), (3.0, 1.2, 1.6), position)
    at = positions(ct_grid) - CENTRE
    hounsfield = np.full(ct_grid.shape, -1000.0)
    for mark in MARKS.values():
        hounsfield[(np.abs(at - mark) <= 8).all(axis=-1)] = 240.0
    dose_grid = grid_around(CENTRE, (160, 140, 110), (2.5, 3.0, 3.0), dose_position)
    target = ellipse(1, "PTV", "target", CENTRE[:2], (14, 9), CENTRE[2] + np.arange(-12.0, 13.0, 3.0), points=360)
    dose = Dose(np.zeros(dose_grid.shape), dose_grid)
    levels = [TargetLevel(1, "PTV", 60.0, "config")]
    return report_data(CtVolume(hounsfield, ct_grid), dose, [target], levels, dvhs=())


def pictures(data: CaseReportData) -> dict[str, DosePicture]:
    return {picture.name: picture for picture in dose_pictures(data, line_styles(data.structures, {}))}


def pixels(picture: DosePicture) -> np.ndarray:
    return np.asarray(imread(BytesIO(base64.b64decode(picture.png)))[..., :3])


def in_picture(data: CaseReportData, name: str, point: np.ndarray) -> np.ndarray:
    """Give where a patient position belongs: mm from the left and from the top of the picture."""
    corners = data.ct.grid.corners_mm()
    low, high = corners.min(axis=0), corners.max(axis=0)
    across, down, sign = SHOWN_AXES[name]
    return np.array([point[across] - low[across], point[down] - low[down] if sign > 0 else high[down] - point[down]])


def path_points(path: str) -> np.ndarray:
    return np.array([[float(x), float(y)] for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)])


@pytest.mark.parametrize("position", ROW_AND_COLUMN_DIRECTIONS)
def test_marks_and_contours_are_where_the_letters_say_in_every_patient_position(position: str) -> None:
    data = marked_case(position)
    shown = pictures(data)
    assert [(p.left, p.right, p.top, p.bottom) for p in shown.values()] == [
        ("R", "L", "A", "P"), ("R", "L", "S", "I"), ("A", "P", "S", "I")
    ]  # fmt: skip
    for name, picture in shown.items():
        bright = pixels(picture)[..., 0] > 0.5
        labels, count = ndimage.label(bright)
        assert count == 2
        found = np.array(ndimage.center_of_mass(bright, labels, [1, 2]))[:, ::-1] + 0.5
        found *= np.array([picture.width_mm, picture.height_mm]) / bright.shape[::-1]
        wanted = np.array([in_picture(data, name, CENTRE + MARKS[letter]) for letter in SEEN[name]])
        distance = np.linalg.norm(found[:, None] - wanted[None], axis=-1)
        assert distance.min(axis=0).max() < 1.5  # half a slice: the marks are made of whole voxels
        middle = np.array([picture.width_mm, picture.height_mm]) / 2
        sides = {"R": (0, picture.left, -1), "S": (1, picture.top, -1)}
        sides["A"] = (1, picture.top, -1) if name == "Axial" else (0, picture.left, -1)
        for letter, place in zip(SEEN[name], found[distance.argmin(axis=0)], strict=True):
            axis, written, sign = sides[letter]
            assert written == letter
            assert np.sign(place[axis] - middle[axis]) == sign

        (outline,) = (path_points(line.path) for line in picture.structures)
        across, down, _ = SHOWN_AXES[name]
        radii = np.array([14.0, 9.0, 12.0])[[across, down]]
        place = in_picture(data, name, CENTRE)
        assert np.allclose(outline.min(axis=0), place - radii, atol=0.11)
        assert np.allclose(outline.max(axis=0), place + radii, atol=0.11)
        assert np.allclose(picture.ticks, place, atol=1e-6)


@pytest.mark.parametrize("dose_position", ROW_AND_COLUMN_DIRECTIONS)
def test_isodose_lines_lie_at_their_dose_whatever_the_dose_grid(dose_position: str) -> None:
    data = marked_case("HFS", dose_position)
    gradient = (0.5, 0.1, 0.2)
    at = positions(data.dose.grid) - CENTRE
    data = replace(data, dose=Dose(np.clip(at @ gradient + 40.0, 0.0, None), data.dose.grid))
    shown = pictures(data)
    for name, picture in shown.items():
        line = next(line for line in picture.isodoses if line.name == "30.0 Gy (50 %)")
        drawn = path_points(line.path)
        across, down, sign = SHOWN_AXES[name]
        place = in_picture(data, name, CENTRE)
        dose = 40.0 + gradient[across] * (drawn[:, 0] - place[0]) + sign * gradient[down] * (drawn[:, 1] - place[1])
        assert len(drawn) > 20
        assert np.abs(dose - 30.0).max() < 0.05


def test_one_mm_is_as_long_across_as_down_and_pixels_are_square() -> None:
    for picture in pictures(marked_case("FFDL")).values():
        rows, columns = pixels(picture).shape[:2]
        assert picture.width_mm / columns == pytest.approx(picture.height_mm / rows, rel=0.01)


def test_wash_starts_at_the_lowest_isodose_and_stays_inside_the_dose_grid() -> None:
    data = marked_case("HFS")
    at = positions(data.dose.grid) - CENTRE
    data = replace(data, dose=Dose(np.where(at[..., 0] > 0, 60.0, 5.0), data.dose.grid))
    axial = pictures(data)["Axial"]
    colour = np.ptp(pixels(axial), axis=-1) > 0.02
    columns = np.flatnonzero(colour.any(axis=0)) * axial.width_mm / colour.shape[1]
    left, right = in_picture(data, "Axial", CENTRE)[0], in_picture(data, "Axial", CENTRE + np.array([81, 0, 0]))[0]
    assert columns.min() == pytest.approx(left, abs=3.5)
    assert columns.max() == pytest.approx(right, abs=1.5)


def test_levels_are_those_of_the_prescription() -> None:
    levels = isodose_levels(
        Prescription(tuple(TargetLevel(n, f"PTV{dose}", dose, "config") for n, dose in enumerate((56.0, 70.0, 63.0))))
    )
    assert [(round(level.dose_gy, 2), round(level.percent, 1), level.note) for level in levels] == [
        (74.9, 107.0, ""),
        (70.0, 100.0, ""),
        (66.5, 95.0, "95 % of 70 Gy"),
        (59.85, 85.5, "95 % of 63 Gy"),
        (53.2, 76.0, "95 % of 56 Gy"),
        (49.0, 70.0, ""),
        (35.0, 50.0, ""),
        (21.0, 30.0, ""),
        (7.0, 10.0, ""),
    ]
    assert len({level.colour for level in levels}) == 9


def test_planes_go_through_the_dose_maximum_where_the_target_has_no_contours() -> None:
    data = marked_case("HFP")
    hot = np.zeros(data.dose.grid.shape)
    hot[30, 20, 10] = 50.0
    place = data.dose.grid.positions_mm(np.array([[30.0, 20.0, 10.0]]))[0]
    empty = replace(data.structures[0], planes=())
    shown = pictures(replace(data, dose=Dose(hot, data.dose.grid), structures=(empty,)))
    assert [picture.position for picture in shown.values()] == [
        f"z = {place[2]:.1f} mm", f"y = {place[1]:.1f} mm", f"x = {place[0]:.1f} mm"
    ]  # fmt: skip


def test_pictures_are_cut_to_the_body_and_to_the_dose() -> None:
    shown = pictures(head_and_neck())
    assert shown["Axial"].width_mm == pytest.approx(190 + 24, abs=0.1)
    assert shown["Axial"].height_mm == pytest.approx(230 + 24, abs=0.1)


def test_a_single_slice_can_be_shown() -> None:
    data = marked_case("HFS")
    grid = grid_around(CENTRE, (180, 150, 0.0), (3.0, 1.2, 1.6))
    assert grid.shape[0] == 1
    shown = pictures(replace(data, ct=CtVolume(np.zeros(grid.shape), grid)))
    assert shown["Coronal"].height_mm == pytest.approx(3.0)


# Cuts of structures


def square(half_mm: float, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    return np.array(centre) + half_mm * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def structure(*planes: Plane) -> Structure:
    return Structure(1, "X", "organ", planes, FRAME, 3.0)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_hole_is_cut_as_a_hole(axis: int) -> None:
    tube = structure(*(Plane(z, (square(20), square(8))) for z in (0.0, 3.0, 6.0)))
    through, beside = upright_outlines(tube, axis, 0.0), upright_outlines(tube, axis, 12.0)
    extents = sorted((line[:, 0].min(), line[:, 0].max()) for line in through)
    assert np.allclose(extents, [(-20, -8), (8, 20)])
    assert [(line[:, 0].min(), line[:, 0].max()) for line in beside] == [pytest.approx((-20, 20))]
    assert all((line[:, 1].min(), line[:, 1].max()) == pytest.approx((0.0, 6.0), abs=2e-3) for line in through)


def test_the_surface_runs_straight_between_planes_of_different_size() -> None:
    cone = structure(Plane(0.0, (square(20),)), Plane(10.0, (square(10),)))
    (line,) = upright_outlines(cone, 0, 0.0)
    side = line[(line[:, 0] > 10.5) & (line[:, 0] < 19.5) & (line[:, 1] > 0.1)]
    assert len(side) > 10
    assert np.abs(side[:, 0] - (20.0 - side[:, 1])).max() < 0.01


def test_single_planes_gaps_and_misses() -> None:
    single = structure(Plane(5.0, (square(10),)))
    (line,) = upright_outlines(single, 1, 0.0)
    assert (line[:, 1].min(), line[:, 1].max()) == pytest.approx((3.5, 6.5), abs=2e-3)
    assert upright_outlines(single, 1, 10.5) == []
    assert len(axial_outlines(single, 6.4)) == 1
    assert axial_outlines(single, 6.6) == []
    assert axial_outlines(structure(), 0.0) == []
    parted = structure(Plane(0.0, (square(10),)), Plane(3.0, ()), Plane(6.0, (square(10),)))
    assert axial_outlines(parted, 3.0) == []
    assert len(axial_outlines(parted, 4.6)) == 1
    assert len(upright_outlines(parted, 0, 0.0)) == 2
