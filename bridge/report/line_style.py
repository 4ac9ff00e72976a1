"""One line style per structure, the same in the DVH, the pictures and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.rt.structure import Structure

__all__ = ["LineStyle", "line_styles"]

_TARGET_COLOURS = ("#e03131", "#f76707", "#e64980", "#d9a400", "#9c1f3f")
_ORGAN_COLOURS = (
    "#1c7ed6", "#2f9e44", "#9c36b5", "#0ca5b8", "#a5673f", "#6741d9",
    "#74a80f", "#3b5bdb", "#0b8f74", "#b5651d", "#5f7fa6", "#c158dc",
)  # fmt: skip
_NEUTRAL = "#868e96"
_DASHES = ("", "7 3", "2 2.5", "9 3 2 3")
"""When the colours have all been used, the next structures get them again with another dash."""


@dataclass(frozen=True)
class LineStyle:
    """How a structure is drawn.

    Attributes
    ----------
    colour
        ``"#rrggbb"``.
    dash
        SVG ``stroke-dasharray``, empty for a solid line.
    width
        In px.
    """

    colour: str
    dash: str
    width: float


def line_styles(structures: Sequence[Structure], colours: Mapping[int, str]) -> dict[int, LineStyle]:
    """Give every structure its style, by ROI number.

    Targets are thick and solid in warm colours, organs thin in cold ones; body, couch and helpers are grey.
    """
    styles, used = {}, {"target": 0, "organ": 0}
    for structure in structures:
        if structure.kind in ("external", "support"):
            colour, dash, width = _NEUTRAL, "", 1.4
        else:
            palette = _TARGET_COLOURS if structure.kind == "target" else _ORGAN_COLOURS
            group = "target" if structure.kind == "target" else "organ"
            turn, place = divmod(used[group], len(palette))
            used[group] += 1
            colour, width = palette[place], 2.4 if group == "target" else 1.7
            dash = "" if group == "target" else _DASHES[turn % len(_DASHES)]
        styles[structure.number] = LineStyle(colours.get(structure.number, colour), dash, width)
    return styles
