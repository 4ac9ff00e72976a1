"""The DVH plot as vector geometry: where every curve, tick and label of the SVG goes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.report.case_data import ObjectiveRow
from bridge.report.line_style import LineStyle
from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import Dvh
from bridge.rt.prescription import Prescription

__all__ = ["DvhCurve", "DvhFigure", "ObjectiveMark", "PrescriptionLine", "dvh_figure", "key_triangle", "svg_path"]

_VOLUMES_PERCENT: FloatArray = np.concatenate(
    [np.linspace(0, 2, 41), np.linspace(2.5, 97.5, 191), np.linspace(98, 100, 41)]
)
_WHOLE_PERCENTS: FloatArray = np.arange(101, dtype=np.float64)
_CHARACTER_PX = 6.6
_MARK_PX = (7.0, 4.0)
"""Length and half width of an objective's triangle."""
_TALLEST_LABEL_STACK = 3


@dataclass(frozen=True)
class DvhCurve:
    """One cumulative curve: its SVG path, and D(v) at 0 to 100 % for reading values off it.

    A curve of an optimized dose is drawn beside that of the predicted one.
    """

    roi_number: int
    name: str
    style: LineStyle
    path: str
    dose_gy: tuple[float, ...]
    is_optimized: bool = False


@dataclass(frozen=True)
class ObjectiveMark:
    """A triangle whose tip is at a point objective, and points to where the curve is asked to be."""

    path: str
    colour: str
    text: str


@dataclass(frozen=True)
class PrescriptionLine:
    """A vertical line at a prescribed dose; ``row`` lifts its label, centred on ``label_x``, over a neighbour's."""

    x: float
    label_x: float
    text: str
    row: int


@dataclass(frozen=True)
class DvhFigure:
    """A DVH plot. All places in px of its own view box.

    Attributes
    ----------
    width, height
        Size of the view box.
    left, right, top, bottom
        Frame of the plot.
    highest_gy
        Dose at the right of the frame; the left is 0 Gy, the bottom 0 %, the top 100 %.
    dose_ticks, volume_ticks
        Place and label of every tick.
    prescriptions, curves, marks
        What is drawn.
    """

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    highest_gy: float
    dose_ticks: tuple[tuple[float, str], ...]
    volume_ticks: tuple[tuple[float, str], ...]
    prescriptions: tuple[PrescriptionLine, ...]
    curves: tuple[DvhCurve, ...]
    marks: tuple[ObjectiveMark, ...] = ()


def dvh_figure(
    dvhs: Sequence[Dvh],
    styles: Mapping[int, LineStyle],
    prescription: Prescription,
    optimized: Sequence[Dvh] = (),
    objectives: Sequence[tuple[int, ObjectiveRow]] = (),
) -> DvhFigure:
    """Lay out the cumulative DVHs; a DVH without samples has no curve.

    Parameters
    ----------
    dvhs
        In drawing order: the first is drawn on top.
    styles
        ROI number to style.
    prescription
        Its levels become vertical lines.
    optimized
        DVHs of an optimized dose, drawn under all others.
    objectives
        ROI number and objective; those with dose and volume are marked.
    """
    drawn = [dvh for dvh in dvhs if not dvh.is_empty]
    beside = [dvh for dvh in optimized if not dvh.is_empty]
    width, height, left, right, top, bottom = 760.0, 494.0, 56.0, 744.0, 52.0, 420.0
    asked_gy = [row.dose_gy for _, row in objectives if row.dose_gy is not None and row.volume_percent is not None]
    reach = max([1.06 * prescription.highest_gy, *(dvh.max_gy for dvh in (*drawn, *beside)), *asked_gy])
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100) if reach / step <= 11)
    highest = math.ceil(reach / (step / 2)) * (step / 2)

    def place(dose_gy: FloatArray, volume_percent: FloatArray) -> FloatArray:
        x = left + dose_gy / highest * (right - left)
        return np.column_stack([x, bottom - volume_percent / 100.0 * (bottom - top)])

    def curve(dvh: Dvh, is_optimized: bool) -> DvhCurve:
        dose = dvh.curve(_VOLUMES_PERCENT)
        outline = place(np.append(dose, 0.0), np.append(_VOLUMES_PERCENT, 100.0))
        read_off = tuple(float(value) for value in np.round(dvh.curve(_WHOLE_PERCENTS), 2))
        style, path = styles[dvh.roi_number], svg_path([outline])
        return DvhCurve(dvh.roi_number, dvh.roi_name, style, path, read_off, is_optimized)

    curves = [curve(dvh, True) for dvh in reversed(beside)] + [curve(dvh, False) for dvh in reversed(drawn)]
    marks = []
    for number, row in objectives:
        if row.dose_gy is not None and row.volume_percent is not None:
            tip = place(np.array([row.dose_gy]), np.array([row.volume_percent]))[0]
            text = f"{row.roi} {row.operator} {row.dose_gy:.2f} Gy at {row.volume_percent:g} %"
            marks.append(ObjectiveMark(_triangle(tip, row.operator), styles[number].colour, text))
    return DvhFigure(
        width, height, left, right, top, bottom, highest,
        dose_ticks=tuple(
            (round(left + tick / highest * (right - left), 2), f"{tick}") for tick in range(0, int(highest) + 1, step)
        ),
        volume_ticks=tuple((round(bottom - tick / 100 * (bottom - top), 2), f"{tick}") for tick in range(0, 101, 20)),
        prescriptions=_prescription_lines(prescription, left, (right - left) / highest, width),
        curves=tuple(curves),
        marks=tuple(marks),
    )  # fmt: skip


def key_triangle(x: float, y: float, operator: str) -> str:
    """Give the triangle of an objective for a key, with its tip at a place in px."""
    return _triangle(np.array([x, y]), operator)


def _triangle(tip: FloatArray, operator: str) -> str:
    """Give a triangle that lies on the side of more dose for an upper objective, on that of less for a lower one."""
    length, half = _MARK_PX
    base = tip[0] + (length if operator == "upper" else -length)
    return svg_path([np.array([tip, (base, tip[1] - half), (base, tip[1] + half)])], closed=True)


def svg_path(lines: Sequence[FloatArray], *, closed: bool = False, digits: int = 2) -> str:
    """Give lines ``(n, 2)`` as the data of one SVG path."""
    parts = []
    for line in lines:
        points = " ".join(f"{x:.{digits}f},{y:.{digits}f}" for x, y in line.tolist())
        parts.append(f"M{points}{'Z' if closed else ''}")
    return "".join(parts)


def _prescription_lines(
    prescription: Prescription, left: float, px_per_gy: float, width: float
) -> tuple[PrescriptionLine, ...]:
    """Place one line per distinct dose, with labels stacked where they would run into each other."""
    lines: list[PrescriptionLine] = []
    row_ends = [float("-inf")] * _TALLEST_LABEL_STACK
    for dose_gy in sorted({level.dose_gy for level in prescription.levels}):
        names = [level.roi_name for level in prescription.levels if level.dose_gy == dose_gy]
        more = f" +{len(names) - 1}" if len(names) > 1 else ""
        name = names[0] if len(names[0]) <= 14 else names[0][:13] + "…"
        text = f"{dose_gy:g} Gy {name}{more}"
        x, half = left + dose_gy * px_per_gy, len(text) * _CHARACTER_PX / 2
        label_x = min(x, width - half)
        free = [row for row, end in enumerate(row_ends) if end < label_x - half]
        row = free[0] if free else _TALLEST_LABEL_STACK - 1
        row_ends[row] = label_x + half + 6
        lines.append(PrescriptionLine(round(x, 2), round(label_x, 2), text, row))
    return tuple(lines)
