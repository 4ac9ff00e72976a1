"""What all figures share: matplotlib's vectors as SVG inside a page, in two inks that stay apart in grey."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from bridge.report.extra import report_extra

__all__ = ["BASELINE_INK", "FAINT", "FIRST_INK", "GROUND", "INK", "REFERENCE_INK", "new_figure", "plain_axes", "svg"]

FIRST_INK, BASELINE_INK = "#0b3c6f", "#d97706"
"""Of the model and of the baseline: 22 and 56 % bright, so that they differ in grey too; never by colour alone."""

INK, FAINT, GROUND, REFERENCE_INK = "#1b2430", "#c9ced6", "#ffffff", "#5b6675"

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",  # a page must look the same where the font is not installed
    "svg.hashsalt": "fdp-bridge",  # the same figure gives the same bytes
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.edgecolor": "#5b6675",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 0.5,
}


@contextmanager
def new_figure(width_mm: float, height_mm: float) -> Iterator[Any]:
    """Give an empty figure to draw on, in the style of all.

    Raises
    ------
    Failure
        matplotlib is not installed (``report-extra-missing``).
    """
    with report_extra():
        import matplotlib as mpl
        from matplotlib.figure import Figure
    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(width_mm / 25.4, height_mm / 25.4), layout="constrained", facecolor=GROUND)


def plain_axes(axes: Any) -> None:
    """Give axes a faint grid behind what is drawn."""
    axes.grid(visible=True, linewidth=0.4, color=FAINT)
    axes.set_axisbelow(True)


def svg(figure: Any, label: str) -> str:
    """Give a figure as an SVG element for a page.

    Parameters
    ----------
    figure
        As drawn, still within :func:`new_figure`.
    label
        What a person who cannot see it needs to know.
    """
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    element = text.getvalue()
    element = element[element.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    safe = label.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return element.replace("<svg ", f'<svg role="img" aria-label="{safe}" ', 1)
