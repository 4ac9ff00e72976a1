"""The plots by which physicists judge a knowledge-based model: regression, residuals, and influence of every plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bridge.report.vector_figures import BASELINE_INK, FIRST_INK, INK, REFERENCE_INK, new_figure, plain_axes, svg
from bridge.rt.arrays import FloatArray
from models.kbp.fit import FLAG_COOKS_DISTANCE, FLAG_LEVERAGE, FLAG_STUDENTIZED, PlanInfluence

__all__ = ["regression_figure"]

_SIZE_MM = (184.0, 58.0)
_ROOM = 1.25
"""Of the axes beyond the farthest point or limit."""


def regression_figure(plans: Sequence[PlanInfluence]) -> str:
    """Draw one regression: the feature that explains most, the residuals, and leverage against Cook's distance.

    Parameters
    ----------
    plans
        All plans of one component of one region of one organ; at least three.
    """
    with new_figure(*_SIZE_MM) as figure:
        left, middle, right = figure.subplots(1, 3)
        _regression(left, plans)
        _residuals(middle, plans)
        _influence(right, plans)
        return svg(figure, _said(plans))


def _regression(axes: Any, plans: Sequence[PlanInfluence]) -> None:
    feature, observed = _column(plans, "feature_value"), _column(plans, "observed")
    _frame(axes, "Regression", f"{plans[0].feature} (SD from the mean)", "score of the DVH")
    ends: FloatArray = np.array([feature.min(), feature.max()])
    slope, intercept = np.polyfit(feature, observed, 1)
    axes.plot(ends, slope * ends + intercept, color=REFERENCE_INK, linewidth=1.0)
    axes.plot(feature, _column(plans, "fitted"), "x", color=REFERENCE_INK, markersize=2.5, markeredgewidth=0.5)
    _plans(axes, feature, observed, plans)


def _residuals(axes: Any, plans: Sequence[PlanInfluence]) -> None:
    _frame(axes, "Residuals", "fitted score", "studentized residual")
    studentized = _column(plans, "studentized")
    _limit(axes.axhline, FLAG_STUDENTIZED)
    _limit(axes.axhline, -FLAG_STUDENTIZED)
    axes.axhline(0.0, color=INK, linewidth=0.6)
    farthest = _ROOM * max(float(np.abs(studentized).max()), FLAG_STUDENTIZED)
    axes.set_ylim(-farthest, farthest)
    _plans(axes, _column(plans, "fitted"), studentized, plans)


def _influence(axes: Any, plans: Sequence[PlanInfluence]) -> None:
    _frame(axes, "Influence", "leverage over its mean", "Cook's distance")
    leverage, distance = _column(plans, "leverage"), _column(plans, "cooks_distance")
    relative = leverage / leverage.mean()
    _limit(axes.axvline, FLAG_LEVERAGE)
    if distance.max() > 0.5 * FLAG_COOKS_DISTANCE:
        _limit(axes.axhline, FLAG_COOKS_DISTANCE)  # far above all points it would press them to the axis
    axes.set_xlim(0.0, _ROOM * max(float(relative.max()), FLAG_LEVERAGE))
    axes.set_ylim(0.0, _ROOM * max(float(distance.max()), 1e-6))
    _plans(axes, relative, distance, plans)


def _plans(axes: Any, x: FloatArray, y: FloatArray, plans: Sequence[PlanInfluence]) -> None:
    """Draw each plan; those that are flagged by another marker, and with their names."""
    flagged = np.array([plan.flagged for plan in plans])
    axes.plot(x[~flagged], y[~flagged], "o", color=FIRST_INK, markersize=2.6, markeredgewidth=0.0, alpha=0.75)
    axes.plot(x[flagged], y[flagged], "D", color=BASELINE_INK, markersize=3.4, markeredgecolor=INK, markeredgewidth=0.4)
    for place in np.flatnonzero(flagged).tolist():
        axes.annotate(
            plans[place].plan, (x[place], y[place]), xytext=(2.5, 2.5), textcoords="offset points", fontsize=5.5
        )


def _frame(axes: Any, title: str, x: str, y: str) -> None:
    plain_axes(axes)
    axes.set_title(title, fontsize=8, loc="left", fontweight="bold")
    axes.set_xlabel(x, fontsize=7)
    axes.set_ylabel(y, fontsize=7)


def _limit(line: Any, at: float) -> None:
    line(at, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))


def _column(plans: Sequence[PlanInfluence], name: str) -> FloatArray:
    return np.array([getattr(plan, name) for plan in plans], dtype=np.float64)


def _said(plans: Sequence[PlanInfluence]) -> str:
    first = plans[0]
    observed, fitted = _column(plans, "observed"), _column(plans, "fitted")
    explained = 1.0 - float(np.var(observed - fitted)) / max(float(np.var(observed)), np.finfo(float).tiny)
    names = [plan.plan for plan in plans if plan.flagged]
    return (
        f"{first.organ}, {first.region.replace('_', '-')}, component {first.component}: {len(plans)} plans, "
        f"{100.0 * explained:.0f} % of the variance explained, most of it by {first.feature}; "
        + (f"flagged: {', '.join(names)}." if names else "no plan is flagged.")
    )
