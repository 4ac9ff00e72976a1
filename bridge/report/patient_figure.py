"""The figure that nobody can misread: for one structure, what was asked, predicted and achieved, method by method.

Each method has a panel of its own with its own three things and nothing else; a third panel has what was achieved by
both. Everything is told apart by line and marker as well as by ink, and named where it is drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bridge.report.patient_data import AskedPoint, MethodCurves, StructurePanel
from bridge.report.vector_figures import BASELINE_INK, FIRST_INK, INK, REFERENCE_INK, new_figure, plain_axes, svg
from bridge.rt.arrays import FloatArray

__all__ = ["structure_figure"]

_SIZE_MM = (184.0, 66.0)
_BASELINE_MARKER = "s"
"""On what the baseline achieved, which grey alone would tell from what the model achieved: dashes are predictions."""

_VOLUMES_PERCENT: FloatArray = np.arange(101, dtype=np.float64)


def structure_figure(panel: StructurePanel, first: str, baseline: str) -> str:
    """Draw one structure.

    Parameters
    ----------
    panel
        Its curves.
    first, baseline
        Labels of the methods.
    """
    with new_figure(*_SIZE_MM) as figure:
        left, middle, right = figure.subplots(1, 3, sharex=True, sharey=True)
        _method(left, panel.first, FIRST_INK, first)
        _method(middle, panel.baseline, BASELINE_INK, baseline, _BASELINE_MARKER)
        _curve(right, panel.first.achieved_gy, FIRST_INK, "-", 2.0, f"achieved, {first}")
        _curve(right, panel.baseline.achieved_gy, BASELINE_INK, "-", 2.0, f"achieved, {baseline}", _BASELINE_MARKER)
        if panel.reference_gy is not None:
            _curve(right, panel.reference_gy, REFERENCE_INK, ":", 1.3, "plan of the data")
        right.set_title("Both achieved", fontsize=8, loc="left", fontweight="bold")
        for axes in (left, middle, right):
            plain_axes(axes)
            axes.set_xlabel("dose (Gy)")
            if panel.prescribed_gy is not None:
                axes.axvline(panel.prescribed_gy, color=INK, linewidth=0.8, linestyle=(0, (1, 1)))
        left.set_ylabel("volume (%)")
        left.set_xlim(left=0.0)
        left.set_ylim(0.0, 102.0)
        _legend(figure, left, middle, right)
        return svg(figure, f"{panel.name}: {_said(panel.first, first)}; {_said(panel.baseline, baseline)}.")


def _legend(figure: Any, *panels: Any) -> None:
    """Name everything once and under the panels, where it hides no curve; a line looks alike in both panels."""
    named: dict[str, Any] = {}
    for axes in panels:
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(text, handle)
    figure.legend(
        list(named.values()), list(named), loc="outside lower center", ncols=4, fontsize=6.5, frameon=False,
        handlelength=2.8, columnspacing=1.4,
    )  # fmt: skip


def _method(axes: Any, curves: MethodCurves, ink: str, label: str, marker_achieved: str = "") -> None:
    axes.set_title(label, fontsize=8, loc="left", fontweight="bold")
    if curves.band_gy is not None:
        low, high = curves.band_gy
        axes.fill_betweenx(
            _VOLUMES_PERCENT, low, high, facecolor="none", edgecolor=ink, hatch="////", alpha=0.55, linewidth=0.4,
            label=f"band, {label} (1 SD)",
        )  # fmt: skip
    if curves.predicted_gy is not None:
        text = f"predicted, {label}" if curves.band_gy is None else f"predicted, {label} (middle)"
        _curve(axes, curves.predicted_gy, ink, (0, (3, 1.5)), 1.5, text)
    _curve(axes, curves.achieved_gy, ink, "-", 2.0, f"achieved, {label}", marker_achieved)
    for operator, marker in (("upper", "<"), ("lower", ">")):
        points = [point for point in curves.asked if point.operator == operator]
        if points:
            _points(axes, points, marker, "asked: at most" if operator == "upper" else "asked: at least")
    if curves.predicted_gy is None:
        axes.text(0.5, 0.5, "nothing predicted", transform=axes.transAxes, ha="center", va="center", fontsize=7.5)


def _curve(axes: Any, dose_gy: FloatArray, ink: str, line: Any, width: float, label: str, marker: str = "") -> None:
    # a cumulative DVH begins with all of the volume at 0 Gy
    axes.plot(
        np.append(dose_gy, 0.0), np.append(_VOLUMES_PERCENT, 100.0), color=ink, linestyle=line, linewidth=width,
        marker=marker, markersize=3.5, markevery=10, label=label,
    )  # fmt: skip


def _points(axes: Any, points: list[AskedPoint], marker: str, label: str) -> None:
    """Draw triangles that point to where the curve was asked to be."""
    axes.plot(
        [point.dose_gy for point in points], [point.volume_percent for point in points], marker, color="white",
        markeredgecolor=INK, markersize=4.5, linestyle="none", label=label, zorder=4, clip_on=False,
    )  # fmt: skip


def _said(curves: MethodCurves, label: str) -> str:
    if curves.predicted_gy is None:
        return f"{label} predicts nothing of it"
    if curves.abs_mean_gy is None or curves.signed_mean_gy is None:
        return f"{label} predicts a curve that cannot be compared with what it achieved"
    side = "above" if curves.signed_mean_gy > 0 else "below"
    return (
        f"{label} achieved on average {abs(curves.signed_mean_gy):.2f} Gy {side} what it predicted, "
        f"{curves.abs_mean_gy:.2f} Gy away from it"
    )
