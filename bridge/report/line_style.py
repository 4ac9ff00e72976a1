"""One line style per structure, the same in the DVH, the pictures and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.rt.structure import Structure

__all__ = ["LineStyle", "line_styles"]

_TARGET_COLOURS = ("#e03131", "#e64980", "#b08700", "#c2476b", "#d6336c")
"""None is the orange of an isodose: a lower target must not look like the line of a higher dose."""
_ORGAN_COLOURS = (
    "#1c7ed6", "#2f9e44", "#9c4fc0", "#0b9bad", "#a5673f", "#7a5bd8",
    "#689a10", "#5573e0", "#0b8f74", "#b5651d", "#5f7fa6", "#c158dc",
)  # fmt: skip
"""All are seen on white and on the dark ground of pictures: at least 3 to 1 on both."""

_NEUTRAL = "#868e96"
_DASHES = ("", "2 2.5", "9 3 2 3", "12 2.5 2 2 2 2.5")
"""None looks like the dashes of an optimized dose."""

_USUAL_ORGANS = (
    "Parotid_L", "Parotid_R", "SpinalCord", "Brainstem", "Bone_Mandible", "Larynx",
    "Esophagus", "Cavity_Oral", "Glnd_Submand_L", "Glnd_Submand_R", "Musc_Constrict", "Glnd_Thyroid",
)  # fmt: skip
"""Standard names whose style is the same in every patient, whatever else was drawn; one for each colour."""


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

    Targets are thick, in warm colours, by their place in the list; organs thin, in cold ones, the usual ones by their
    standard names; body, couch and helpers are grey.
    """
    styles, targets, others, taken = {}, 0, 0, set[str]()
    for structure in structures:
        name = structure.standard_name
        if structure.kind in ("external", "support"):
            style = LineStyle(_NEUTRAL, "", 1.4)
        elif structure.kind == "target":
            turn, place = divmod(targets, len(_TARGET_COLOURS))
            dash = _DASHES[(place + turn) % len(_DASHES)]
            style, targets = LineStyle(_TARGET_COLOURS[place], dash, 2.4), targets + 1
        elif name in _USUAL_ORGANS and name not in taken:
            taken.add(name)
            style = _organ_style(_USUAL_ORGANS.index(name), 0)
        else:
            turn, place = divmod(others, len(_ORGAN_COLOURS))
            style, others = _organ_style(place, turn + 1), others + 1
        colour = colours.get(structure.number, style.colour)
        styles[structure.number] = LineStyle(colour, style.dash, style.width)
    return styles


def _organ_style(place: int, turn: int) -> LineStyle:
    """Give a colour's style; neighbours, and the same colour at another turn, come with another dash."""
    return LineStyle(_ORGAN_COLOURS[place], _DASHES[(place + turn) % len(_DASHES)], 1.7)
