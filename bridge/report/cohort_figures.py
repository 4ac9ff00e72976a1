"""Figures of a study: bands of DVH differences, violins, and who is nearer to the promise by how much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge.report.cohort_data import CohortReportData, OrganDifferences
from bridge.report.vector_figures import BASELINE_INK, FAINT, FIRST_INK, INK, new_figure, plain_axes, svg
from bridge.rt.arrays import FloatArray

__all__ = ["band_figure", "difference_figure", "violin_figure"]

_WIDTH_MM = 184.0
_COLUMNS = 3
_VOLUMES_PERCENT: FloatArray = np.arange(1, 100, dtype=np.float64)
_INNER = (10.0, 90.0)
"""Percentiles of the patients between which a band lies."""

_FEWEST_FOR_SHAPE = 5
"""Patients below which a violin would show a shape that nobody measured: then there are only the points."""


def band_figure(data: CohortReportData) -> str:
    """Draw, for each organ, how far achieved DVHs lie from the promise along the curve."""
    rows = -(-len(data.organs) // _COLUMNS)
    with new_figure(_WIDTH_MM, 8.0 + 48.0 * rows) as figure:
        axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
        for place, organ in zip(axes, data.organs, strict=False):
            plain_axes(place)
            place.axhline(0.0, color=INK, linewidth=0.8)
            _band(place, organ.second_gy, BASELINE_INK, "--", "////")
            _band(place, organ.first_gy, FIRST_INK, "-", "")
            place.set_title(f"{organ.organ} (n = {len(organ.first_gy)})", fontsize=8, loc="left", fontweight="bold")
        for place in axes[len(data.organs) :]:
            place.set_visible(False)
        figure.supxlabel("volume of the organ (%)", fontsize=8)
        figure.supylabel("achieved less predicted dose (Gy)", fontsize=8)
        _legend(figure, data, band=True)
        label = (
            "For each organ, the median and the 10th to 90th percentile over patients of achieved less predicted dose "
            f"along the DVH, for {data.label(data.first)} and {data.label(data.baseline)}. "
            + "; ".join(_said(organ, data) for organ in data.organs)
        )
        return svg(figure, label)


def violin_figure(data: CohortReportData) -> str:
    """Draw, for each organ, every patient's mean |e(v)| by both methods."""
    with new_figure(_WIDTH_MM, 74.0) as figure:
        axes = figure.subplots()
        plain_axes(axes)
        axes.grid(visible=False, axis="x")
        for place, organ in enumerate(data.organs):
            first, second = (np.abs(found).mean(axis=1) for found in (organ.first_gy, organ.second_gy))
            _violin(axes, place, first, -1, FIRST_INK, "o", "")
            _violin(axes, place, second, 1, BASELINE_INK, "D", "////")
        axes.set_xticks(range(len(data.organs)), [organ.organ for organ in data.organs], rotation=20, ha="right")
        axes.set_ylabel("mean |achieved - predicted| (Gy)")
        axes.set_ylim(bottom=0.0)
        _legend(figure, data, band=False)
        label = (
            "For each organ and patient, the mean absolute difference of achieved and predicted DVH: "
            f"{data.label(data.first)} to the left, {data.label(data.baseline)} to the right of each organ. "
            + "; ".join(_said(organ, data) for organ in data.organs)
        )
        return svg(figure, label)


def difference_figure(data: CohortReportData) -> str:
    """Draw, for each organ, the mean paired difference of the two methods with its interval, for mean and std."""
    comparison = data.headline.comparison
    organs = () if comparison is None else comparison.organs
    with new_figure(_WIDTH_MM, 22.0 + 9.0 * max(len(organs), 1)) as figure:
        columns = figure.subplots(1, 2, sharey=True)
        said = []
        for axes, what in zip(columns, ("mean", "std"), strict=True):
            plain_axes(axes)
            axes.grid(visible=False, axis="y")
            axes.axvline(0.0, color=INK, linewidth=0.9)
            for place, organ in enumerate(organs):
                test = organ.mean if what == "mean" else organ.std
                low, high = test.difference_interval_gy
                middle = test.first_gy - test.second_gy
                ink = FIRST_INK if middle < 0 else BASELINE_INK
                axes.plot([low, high], [place, place], color=ink, linewidth=2.0, solid_capstyle="butt")
                axes.plot(middle, place, marker="o" if middle < 0 else "D", color=ink, markersize=6)
                said.append(f"{organ.organ} {what} {middle:+.2f} Gy ({low:+.2f} to {high:+.2f})")
            axes.set_title("mean |e(v)|" if what == "mean" else "std of e(v) over the curve", fontsize=8, loc="left")
            axes.set_xlabel("difference (Gy)")
            axes.margins(x=0.12)
        columns[0].set_yticks(range(len(organs)), [f"{organ.organ} (n = {organ.n})" for organ in organs])
        columns[0].invert_yaxis()
        first, baseline = data.label(data.first), data.label(data.baseline)
        reads = f"{first} less {baseline}: left of the line, {first} is nearer to its promise"
        figure.suptitle(reads, fontsize=8, color=INK, x=0.01, ha="left")
        return svg(figure, "Paired differences with 95 % intervals, Gy: " + "; ".join(said))


def _band(axes: Any, differences: FloatArray, ink: str, line: str, hatch: str) -> None:
    low, middle, high = np.percentile(differences, (_INNER[0], 50.0, _INNER[1]), axis=0)
    face = ink if not hatch else "none"
    axes.fill_between(
        _VOLUMES_PERCENT, low, high, facecolor=face, alpha=0.25 if not hatch else 0.7, edgecolor=ink, hatch=hatch,
        linewidth=0.5,
    )  # fmt: skip
    axes.plot(_VOLUMES_PERCENT, middle, line, color=ink, linewidth=1.6)


def _violin(axes: Any, place: int, values: FloatArray, side: int, ink: str, marker: str, hatch: str) -> None:
    """Draw half a violin with its points; points are spread evenly, so that the same data give the same figure."""
    centre = place + 0.05 * side
    if len(values) >= _FEWEST_FOR_SHAPE and np.ptp(values) > 0:
        parts = axes.violinplot([values], positions=[centre], widths=0.72, showextrema=False, side=_SIDES[side])
        for body in parts["bodies"]:
            body.set_facecolor(ink if not hatch else "white")
            body.set_edgecolor(ink)
            body.set_alpha(0.30 if not hatch else 0.9)
            body.set_hatch(hatch)
    order = np.argsort(np.argsort(values))
    spread = centre + side * (0.06 + 0.12 * (order * 7 % 5) / 5.0)
    axes.plot(spread, values, marker, color=ink, markersize=2.6, alpha=0.9, linestyle="none")
    axes.plot([centre, centre + side * 0.3], [values.mean()] * 2, color=ink, linewidth=2.2)


_SIDES = {-1: "low", 1: "high"}


def _legend(figure: Any, data: CohortReportData, *, band: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    labels = [data.label(data.first), data.label(data.baseline)]
    if band:
        handles: Sequence[Any] = (
            Line2D([], [], color=FIRST_INK, linewidth=1.6),
            Patch(facecolor=FIRST_INK, alpha=0.25, edgecolor=FIRST_INK),
            Line2D([], [], color=BASELINE_INK, linewidth=1.6, linestyle="--"),
            Patch(facecolor="none", edgecolor=BASELINE_INK, hatch="////"),
        )
        texts = [f"{labels[0]}: median", "10 to 90 %", f"{labels[1]}: median", "10 to 90 %"]
    else:
        handles = (
            Line2D([], [], color=FIRST_INK, marker="o", markersize=3.5, linestyle="none"),
            Line2D([], [], color=BASELINE_INK, marker="D", markersize=3.5, linestyle="none"),
            Line2D([], [], color=FAINT, linewidth=2.2),
        )
        texts = [f"{labels[0]} (left half)", f"{labels[1]} (right half)", "bar: mean over patients"]
    figure.legend(handles, texts, loc="outside upper center", ncols=len(texts), frameon=False, fontsize=7.5)


def _said(organ: OrganDifferences, data: CohortReportData) -> str:
    first, second = (float(np.abs(found).mean()) for found in (organ.first_gy, organ.second_gy))
    return f"{organ.organ}: {first:.2f} Gy by {data.label(data.first)}, {second:.2f} Gy by {data.label(data.baseline)}"
