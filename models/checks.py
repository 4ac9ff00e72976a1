"""The checks that no prediction can go around: of what goes into a model, and of what comes out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import VoxelArray
from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal, StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.grid import Grid
from bridge.rt.volume import Dose
from models.card import ModelCard
from models.preference import Preference

__all__ = [
    "check_anatomy",
    "check_array",
    "check_prediction",
    "check_preference",
    "check_spacing",
    "within_sliders",
]

MAXIMUM_OVER_HIGHEST_LEVEL = 1.4
"""No plan that is worth mimicking is hotter than this; more is a unit or scaling mistake."""

TARGET_MEAN_OVER_LEVEL = (0.5, 1.4)
"""Sane mean dose of a target, lowest in parts of its own level, highest in parts of the highest level: a target that
contains a hotter one is hotter on average than its own level."""


def check_prediction(dose_gy: VoxelArray, anatomy: Anatomy) -> Dose:
    """Let a predicted dose pass only if it can be one.

    Parameters
    ----------
    dose_gy
        As the model made it, axes ``[z, y, x]``.
    anatomy
        What it was made for.

    Returns
    -------
    Dose
        The same values on the anatomy's grid.

    Raises
    ------
    ModelRefusal
        Another shape than the grid's, values that are not finite or negative, a maximum above 1.4 times the
        highest level, no dose at all, or a target whose mean dose is not between half its own level and 1.4 times
        the highest.
    """
    check_array(dose_gy, anatomy, "dose")
    highest_gy = max(anatomy.target_levels_gy.values())
    maximum_gy = float(dose_gy.max())
    if maximum_gy == 0.0:
        raise ModelRefusal("prediction-zero", "The predicted dose is zero everywhere.")
    if maximum_gy > MAXIMUM_OVER_HIGHEST_LEVEL * highest_gy:
        raise ModelRefusal(
            "prediction-maximum",
            f"The predicted maximum is {maximum_gy:.1f} Gy, more than {MAXIMUM_OVER_HIGHEST_LEVEL:g} times the highest "
            f"level of {highest_gy:g} Gy.",
        )
    low, high = TARGET_MEAN_OVER_LEVEL
    for name, level_gy in anatomy.target_levels_gy.items():
        weights = anatomy.masks[name].values
        mean_gy = float(np.sum(dose_gy * weights, dtype=np.float64) / np.sum(weights, dtype=np.float64))
        if not low * level_gy <= mean_gy <= high * highest_gy:
            raise ModelRefusal(
                "prediction-target",
                f"Target {name!r} is predicted a mean dose of {mean_gy:.1f} Gy for a level of {level_gy:g} Gy; between "
                f"{low * level_gy:.1f} and {high * highest_gy:.1f} Gy would be sane. Does the target lie in the body?",
                roi=name,
            )
    return Dose(dose_gy, anatomy.grid)


def check_array(values: VoxelArray, anatomy: Anatomy, what: str) -> None:
    """Refuse an array that is not finite, not negative and of the shape of the anatomy's grid."""
    if values.shape != anatomy.grid.shape:
        raise ModelRefusal(
            "prediction-shape",
            f"The predicted {what} has the shape {values.shape}, the anatomy's grid {anatomy.grid.shape}.",
        )
    if not np.isfinite(values).all():
        raise ModelRefusal(
            "prediction-not-finite", f"The predicted {what} is not a finite number in {_count(~np.isfinite(values))}."
        )
    if values.min() < 0.0:
        raise ModelRefusal("prediction-negative", f"The predicted {what} is negative in {_count(values < 0)}.")


def _count(where: NDArray[np.bool_]) -> str:
    return f"{int(where.sum())} of {where.size} voxels"


def check_preference(card: ModelCard, preference: Preference) -> None:
    """Refuse any wish that the card does not allow: a wish is honoured or refused, never dropped."""
    for what, value in preference.as_dict().items():
        allowed = card.preferences.range_of(what)
        if allowed is None:
            able = ", ".join(card.preferences.names()) or "none"
            raise ModelRefusal(
                "preference-unsupported",
                f"Model {card.id!r} cannot honour the preference {what}; it knows: {able}.",
                model=card.id,
                preference=what,
            )
        if not allowed[0] <= value <= allowed[1]:
            raise ModelRefusal(
                "preference-range",
                f"Model {card.id!r} takes {what} from {allowed[0]:g} to {allowed[1]:g}, got {value:g}.",
                model=card.id,
                preference=what,
            )


def within_sliders(card: ModelCard, preference: Preference) -> tuple[Preference, tuple[str, ...]]:
    """Give a preference as far as a card allows it, and the wishes that it allows in part or not at all.

    For measurements, which ask every model for the same; a person's wish is refused instead.
    """
    allowed, held = dict[str, float](), []
    for what, value in preference.as_dict().items():
        ends = card.preferences.range_of(what)
        if ends is not None:
            allowed[what] = min(max(value, ends[0]), ends[1])
        if allowed.get(what) != value:
            held.append(what)
    prefix = "oar_weight."
    organs = {what.removeprefix(prefix): value for what, value in allowed.items() if what.startswith(prefix)}
    kept = Preference(preference.name, allowed.get("hi"), allowed.get("oar_weight"), organs)
    return kept, tuple(held)


def check_spacing(card: ModelCard, grid: Grid) -> None:
    """Refuse voxels that the model was not made for: of an anatomy, and of the CT that it was drawn on.

    Raises
    ------
    ModelRefusal
        Too fine or too coarse along some axis (``spacing-limit``).
    """
    low, high = card.accepts.spacing_mm
    spacing_mm = grid.spacing_mm
    if not low <= min(spacing_mm) <= max(spacing_mm) <= high:
        raise ModelRefusal(
            "spacing-limit",
            f"Model {card.id!r} takes voxel spacings from {low:g} to {high:g} mm, got {_triple(spacing_mm)} mm.",
            model=card.id,
        )


def check_anatomy(card: ModelCard, anatomy: Anatomy) -> tuple[Finding, ...]:
    """Refuse an anatomy outside the card's limits; say what is unusual about one within them."""
    for name in (*anatomy.target_levels_gy, *card.inputs.required_structures):
        if name not in anatomy.masks or not anatomy.masks[name].values.any():
            raise StructureRefusal(
                "structure-empty", f"Model {card.id!r} needs structure {name!r}, which has no voxel.", roi=name
            )
    if not anatomy.body.values.any():
        raise StructureRefusal("body-empty", "The body has no voxel on the dose grid.")
    if card.inputs.ct and anatomy.ct is None:
        raise ModelRefusal("ct-missing", f"Model {card.id!r} needs the CT numbers, and there are none.", model=card.id)
    check_spacing(card, anatomy.grid)
    extent_mm = [n * step for n, step in zip(anatomy.grid.shape, anatomy.grid.spacing_mm, strict=True)]
    if max(extent_mm) > card.accepts.extent_mm:
        raise ModelRefusal(
            "extent-limit",
            f"Model {card.id!r} takes grids up to {card.accepts.extent_mm:g} mm along an axis, got "
            f"{_triple(extent_mm)} mm (z, y, x).",
            model=card.id,
        )
    low, high = card.accepts.levels_gy
    for name, level_gy in anatomy.target_levels_gy.items():
        if not low <= level_gy <= high:
            raise ModelRefusal(
                "level-limit",
                f"Model {card.id!r} takes target levels from {low:g} to {high:g} Gy; {name!r} has {level_gy:g} Gy.",
                model=card.id,
                roi=name,
            )
    return _unusual(card, anatomy)


def _unusual(card: ModelCard, anatomy: Anatomy) -> tuple[Finding, ...]:
    findings = [
        Finding(
            "structure-not-given",
            "info",
            f"Model {card.id!r} makes use of {name!r}, which the case does not have.",
            {"roi": name},
        )
        for name in card.inputs.optional_structures
        if name not in anatomy.masks
    ]
    low, high = card.accepts.usual_levels_gy
    findings += [
        Finding(
            "level-outside-training",
            "warning",
            f"Model {card.id!r} has seen target levels from {low:g} to {high:g} Gy only; {name!r} has {level_gy:g} Gy.",
            {"roi": name},
        )
        for name, level_gy in anatomy.target_levels_gy.items()
        if not low <= level_gy <= high
    ]
    return tuple(findings)


def _triple(values: tuple[float, ...] | list[float]) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
