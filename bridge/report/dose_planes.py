"""Three planes through the dose: CT in grey, dose in colour, isodose lines and structures as vectors.

Everything is sampled in patient coordinates, so that a picture is the same whatever the orientation of the CT: the
patient's right is on the left of the axial and coronal planes, anterior is on the left of the sagittal one, and
one mm is as long across as it is down.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from bridge.report.case_data import CaseReportData
from bridge.report.contour_cut import axial_outlines, upright_outlines
from bridge.report.dvh_figure import svg_path
from bridge.report.extra import report_extra
from bridge.report.line_style import LineStyle
from bridge.rt.arrays import FloatArray
from bridge.rt.prescription import Prescription
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume

__all__ = [
    "WASH_OPACITY",
    "WINDOW_HU",
    "DosePicture",
    "Isodose",
    "PictureLine",
    "dose_pictures",
    "isodose_levels",
    "tone_colours",
]

WINDOW_HU = (-160.0, 240.0)
"""CT numbers shown black and white: level 40, width 400."""

WASH_OPACITY = 0.38
_COLDEST, _HOTTEST = 0.10, 0.96
"""Part of the colour map "turbo" that is used; its ends are too dark to see on a CT."""

_MARGIN_MM = 12.0
_DOSE_MARGIN_MM = 40.0
_LOW_DOSE = 0.05
"""Along z the pictures go 40 mm beyond 5 % of the highest prescription; a whole-body CT would dwarf the dose."""


@dataclass(frozen=True)
class Isodose:
    """An isodose line: its dose, its share of the highest prescription, and whose level it is, if anyone's.

    ``tone`` is its place on the colour map, 0 to 1. The lines lie evenly on it, and the dose wash runs from one to
    the next, so that colours differ most where the levels that matter are close together.
    """

    dose_gy: float
    percent: float
    tone: float
    colour: str
    note: str


@dataclass(frozen=True)
class PictureLine:
    """An SVG path in a picture, in mm from its upper left corner."""

    name: str
    colour: str
    path: str


@dataclass(frozen=True)
class DosePicture:
    """One plane.

    Attributes
    ----------
    name
        ``"Axial"``, ``"Coronal"`` or ``"Sagittal"``.
    position
        Where the plane is, patient coordinates.
    width_mm, height_mm
        Size in the patient.
    png
        CT and dose wash, base64.
    left, right, top, bottom
        Patient directions: R, L, A, P, S or I.
    structures, isodoses
        Lines over the picture.
    ticks
        Where the other two planes cut this one: mm from the left and from the top.
    """

    name: str
    position: str
    width_mm: float
    height_mm: float
    png: str
    left: str
    right: str
    top: str
    bottom: str
    structures: tuple[PictureLine, ...]
    isodoses: tuple[PictureLine, ...]
    ticks: tuple[float, float]


@dataclass(frozen=True)
class _View:
    """Which patient axes a plane shows: 0 x towards left, 1 y towards posterior, 2 z towards superior."""

    name: str
    normal: int
    across: int
    down: int
    upwards: bool
    sides: tuple[str, str, str, str]


_VIEWS = (
    _View("Axial", normal=2, across=0, down=1, upwards=False, sides=("R", "L", "A", "P")),
    _View("Coronal", normal=1, across=0, down=2, upwards=True, sides=("R", "L", "S", "I")),
    _View("Sagittal", normal=0, across=1, down=2, upwards=True, sides=("A", "P", "S", "I")),
)


def dose_pictures(data: CaseReportData, styles: Mapping[int, LineStyle]) -> tuple[DosePicture, ...]:
    """Draw the axial, coronal and sagittal plane through the high-dose target.

    Parameters
    ----------
    data
        The case.
    styles
        ROI number to style.
    """
    low, high = _field_mm(data)
    centre = np.clip(_centre_mm(data), low, high)
    levels = isodose_levels(data.prescription)
    return tuple(_picture(view, data, styles, levels, centre, low, high) for view in _VIEWS)


def isodose_levels(prescription: Prescription) -> tuple[Isodose, ...]:
    """Give the lines drawn: 107, 100 and 95 % of the highest prescription, 95 % of each lower one, and low doses."""
    highest = prescription.highest_gy
    wanted = [(share * highest, "") for share in (1.07, 1.0)]
    wanted += [(0.95 * level.dose_gy, f"95 % of {level.dose_gy:g} Gy") for level in prescription.levels]
    wanted += [(share * highest, "") for share in (0.7, 0.5, 0.3, 0.1)]
    distinct: list[tuple[float, str]] = []
    for dose_gy, note in sorted(wanted, key=lambda level: (-level[0], level[1] == "")):
        if all(abs(dose_gy - other) > 0.02 * highest for other, _ in distinct):
            distinct.append((dose_gy, note))
    tones = np.linspace(_HOTTEST, _COLDEST, len(distinct))
    return tuple(
        Isodose(dose_gy, 100.0 * dose_gy / highest, float(tone), "#" + bytes(colour).hex(), note)
        for (dose_gy, note), tone, colour in zip(distinct, tones, tone_colours(tones), strict=True)
    )


def _centre_mm(data: CaseReportData) -> FloatArray:
    """Give the middle of the target with the highest prescription, on one of its planes, else the dose maximum."""
    for level in data.prescription.levels:
        for structure in data.structures:
            if structure.number == level.roi_number and not structure.is_empty:
                low, high = structure.bounds_mm()
                middle = (low + high) / 2
                drawn = np.array([plane.z_mm for plane in structure.planes if plane.loops])
                middle[2] = drawn[np.argmin(np.abs(drawn - middle[2]))]
                return np.asarray(middle)
    hottest = np.unravel_index(int(data.dose.values.argmax()), data.dose.grid.shape)
    return np.asarray(data.dose.grid.positions_mm(np.array([hottest], dtype=np.float64))[0])


def _field_mm(data: CaseReportData) -> tuple[FloatArray, FloatArray]:
    """Give the lowest and highest patient coordinates that any picture shows: the CT, cut to the dose along z."""
    corners = data.ct.grid.corners_mm()
    low, high = np.asarray(corners.min(axis=0)), np.asarray(corners.max(axis=0))
    dosed = data.dose.values >= _LOW_DOSE * data.prescription.highest_gy
    if dosed.any():
        along = [np.flatnonzero(dosed.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
        ends = data.dose.grid.positions_mm(np.array([[held[0], held[-1]] for held in along], dtype=np.float64).T)
        wide = np.array([np.inf, np.inf, _DOSE_MARGIN_MM])
        low, high = _overlap(low, high, ends.min(axis=0) - wide, ends.max(axis=0) + wide)
    return low, high


def _cropped_to_body(
    view: _View, data: CaseReportData, centre: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Cut the field to the outline that the body has in this plane, so that the picture is not mostly air."""
    outlines = [
        outline
        for structure in data.structures
        if structure.kind == "external"
        for outline in _outlines(view, structure, float(centre[view.normal]))
    ]
    if not outlines:
        return low, high
    points, axes = np.concatenate(outlines), [view.across, view.down]
    wanted_low, wanted_high = low.copy(), high.copy()
    wanted_low[axes], wanted_high[axes] = points.min(axis=0) - _MARGIN_MM, points.max(axis=0) + _MARGIN_MM
    return _overlap(low, high, wanted_low, wanted_high)


def _overlap(
    low: FloatArray, high: FloatArray, wanted_low: FloatArray, wanted_high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Give the part of a box that is wanted, or the whole box where nothing of it is."""
    cut_low, cut_high = np.maximum(low, wanted_low), np.minimum(high, wanted_high)
    return (cut_low, cut_high) if (cut_low < cut_high).all() else (low, high)


def _picture(
    view: _View,
    data: CaseReportData,
    styles: Mapping[int, LineStyle],
    levels: Sequence[Isodose],
    centre: FloatArray,
    low: FloatArray,
    high: FloatArray,
) -> DosePicture:
    low, high = _cropped_to_body(view, data, centre, low, high)
    width, height = float(high[view.across] - low[view.across]), float(high[view.down] - low[view.down])
    pitch = float(np.clip(min(data.ct.grid.spacing_mm), 0.7, max(0.7, width / 400)))
    columns, rows = max(2, round(width / pitch)), max(2, round(height / pitch))
    u, v = (np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows

    raster = np.empty((rows, columns, 3))
    raster[..., view.normal] = centre[view.normal]
    raster[..., view.across] = low[view.across] + u
    raster[..., view.down] = (high[view.down] - v if view.upwards else low[view.down] + v)[:, None]
    points = raster.reshape(-1, 3)
    hounsfield = _sample_to_edge(data.ct, points).reshape(rows, columns)
    dose_gy = data.dose.at(points).reshape(rows, columns)

    def on_picture(outline: FloatArray) -> FloatArray:
        down = high[view.down] - outline[:, 1] if view.upwards else outline[:, 1] - low[view.down]
        return np.column_stack([outline[:, 0] - low[view.across], down])

    structures = []
    for structure in reversed(data.ordered_structures):
        outlines = [on_picture(outline) for outline in _outlines(view, structure, float(centre[view.normal]))]
        if outlines:
            path = svg_path(outlines, closed=True, digits=1)
            structures.append(PictureLine(structure.name, styles[structure.number].colour, path))
    down_mm = high[view.down] - centre[view.down] if view.upwards else centre[view.down] - low[view.down]
    return DosePicture(
        view.name,
        f"{'xyz'[view.normal]} = {centre[view.normal]:.1f} mm",
        width, height, _png(hounsfield, dose_gy, levels),
        *view.sides,
        tuple(structures),
        _isodose_lines(u, v, dose_gy, levels),
        (float(centre[view.across] - low[view.across]), float(down_mm)),
    )  # fmt: skip


def _outlines(view: _View, structure: Structure, position_mm: float) -> list[FloatArray]:
    if view.normal == 2:
        return axial_outlines(structure, position_mm)
    return upright_outlines(structure, view.normal, position_mm)


def _sample_to_edge(ct: CtVolume, points: FloatArray) -> FloatArray:
    """Interpolate, and use the nearest voxel in the outer half of the outermost voxels."""
    index = np.clip(ct.grid.indices(points), 0.0, np.array(ct.grid.shape) - 1.0)
    return ct.at(ct.grid.positions_mm(index))


def _isodose_lines(
    u: FloatArray, v: FloatArray, dose_gy: FloatArray, levels: Sequence[Isodose]
) -> tuple[PictureLine, ...]:
    with report_extra():
        import contourpy

    known = np.ma.MaskedArray(dose_gy, ~np.isfinite(dose_gy))  # type: ignore[no-untyped-call]
    generator = contourpy.contour_generator(u, v, known, line_type=contourpy.LineType.Separate)
    drawn = [(level, [np.asarray(line) for line in generator.lines(level.dose_gy)]) for level in reversed(levels)]
    return tuple(
        PictureLine(f"{level.dose_gy:.1f} Gy ({level.percent:.0f} %)", level.colour, svg_path(lines, digits=1))
        for level, lines in drawn
        if lines
    )


def tone_colours(tones: FloatArray) -> NDArray[np.uint8]:
    """Give red, green and blue of places on the colour map, shape ``(..., 3)``."""
    with report_extra():
        from matplotlib import colormaps

    return np.asarray(colormaps["turbo"](tones, bytes=True)[..., :3])


def _png(hounsfield: FloatArray, dose_gy: FloatArray, levels: Sequence[Isodose]) -> str:
    """Lay the dose wash, from the lowest isodose upwards, over the windowed CT; give the PNG in base64."""
    with report_extra():
        from matplotlib.image import imsave

    black, white = WINDOW_HU
    grey = 255.0 * np.clip((hounsfield - black) / (white - black), 0.0, 1.0)[..., None]
    rising = levels[::-1]
    dosed = np.nan_to_num(dose_gy, nan=0.0)
    tones = np.interp(dosed, [level.dose_gy for level in rising], [level.tone for level in rising])
    opacity = np.where(dosed >= rising[0].dose_gy, WASH_OPACITY, 0.0)[..., None]
    mixed = np.round((1.0 - opacity) * grey + opacity * tone_colours(tones)).astype(np.uint8)
    file = BytesIO()
    imsave(file, mixed, format="png", metadata={"Software": "fdp-bridge"})
    return base64.b64encode(file.getvalue()).decode("ascii")
