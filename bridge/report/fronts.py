"""A picture of what the plans of some patients trade: homogeneity and coverage against the organs' mean doses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from bridge.report.extra import report_extra

__all__ = ["FrontPoint", "PatientFronts", "fronts_png"]

_INK, _FAINT, _REFERENCE = "#1f4e79", "#b8c4d0", "#c0392b"
_BESIDE = {True: (4, 4), False: (4, -9)}
"""Where a name is written, in points: above the reference plan and below all others, which may be next to it."""

_DPI = 130


@dataclass(frozen=True)
class FrontPoint:
    """One plan.

    Attributes
    ----------
    name
        Shown beside the ends and anchors.
    organs_gy
        Mean over the organs of their mean doses outside the targets.
    hi
        Homogeneity of the highest target, (D2% - D98%) / D50%.
    deficit_gy
        By how much D95% of the worst covered target is below its prescription.
    is_reference, is_dominated
        How it is drawn.
    """

    name: str
    organs_gy: float
    hi: float
    deficit_gy: float
    is_reference: bool
    is_dominated: bool


@dataclass(frozen=True)
class PatientFronts:
    """The plans of one patient and one set of beams."""

    title: str
    points: tuple[FrontPoint, ...]


def fronts_png(patients: Sequence[PatientFronts]) -> bytes:
    """Draw two fronts for each patient, one row a patient.

    Raises
    ------
    Failure
        matplotlib is not installed (``report-extra-missing``).
    """
    with report_extra():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    figure = Figure(figsize=(10.0, 3.6 * len(patients)), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(patients), 2, squeeze=False)
    for row, patient in zip(axes, patients, strict=True):
        hi = [point.hi for point in patient.points]
        deficit = [point.deficit_gy for point in patient.points]
        _draw(row[0], patient, hi, "HI of the highest target, (D2% - D98%) / D50%")
        _draw(row[1], patient, deficit, "D95% below the prescription, worst target (Gy)")
        row[0].set_title(patient.title, loc="left", fontsize=10, fontweight="bold")
    buffer = BytesIO()
    canvas.print_figure(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _draw(axes: Any, patient: PatientFronts, heights: Sequence[float], label: str) -> None:
    for point, height in zip(patient.points, heights, strict=True):
        colour = _REFERENCE if point.is_reference else _FAINT if point.is_dominated else _INK
        marker = "D" if point.is_reference else "o"
        axes.plot(point.organs_gy, height, marker, color=colour, markersize=5, zorder=3 if point.is_reference else 2)
        if not point.name.startswith("drawn"):
            axes.annotate(
                point.name.removeprefix("organ-"), (point.organs_gy, height), xytext=_BESIDE[point.is_reference],
                textcoords="offset points", fontsize=7, color=colour,
            )  # fmt: skip
    axes.margins(0.1)  # room for the names of the points at the ends
    axes.set_xlabel("mean of the organs' mean doses outside the targets (Gy)", fontsize=8)
    axes.set_ylabel(label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, linewidth=0.4, alpha=0.5)
