"""DosePredictor: the seam behind which every dose model sits, and the checks that no prediction can go around."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import VoxelArray
from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal, StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.grid import Grid
from bridge.rt.volume import Dose
from models.card import ModelCard

__all__ = [
    "COVER",
    "NEUTRAL",
    "SPARE",
    "CheckedAnatomy",
    "CheckedPredictor",
    "DoseModel",
    "DosePredictor",
    "Estimate",
    "Prediction",
    "Preference",
    "PreparedModel",
    "PreparedPredictor",
    "check_prediction",
    "check_preference",
    "check_spacing",
    "preference_of",
]

MAXIMUM_OVER_HIGHEST_LEVEL = 1.4
"""No plan that is worth mimicking is hotter than this; more is a unit or scaling mistake."""

TARGET_MEAN_OVER_LEVEL = (0.5, 1.4)
"""Sane mean dose of a target, lowest in parts of its own level, highest in parts of the highest level: a target that
contains a hotter one is hotter on average than its own level."""


@dataclass(frozen=True)
class Preference:
    """What a planner asks of a prediction beyond the anatomy.

    Attributes
    ----------
    name
        How the preference is called in lists and reports.
    hi
        Wanted homogeneity of the highest target, in the definition that the model's card gives; None is no wish.
    oar_weight
        Weight of all organs at risk; 1 is usual, more spares them more, None is no wish.
    oar_weights
        Weights of single organs by structure name.

    Raises
    ------
    ModelRefusal
        A value that is negative or not a finite number (``preference-value``).
    """

    name: str
    hi: float | None = None
    oar_weight: float | None = None
    oar_weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, value in self.as_dict().items():
            if not (math.isfinite(value) and value >= 0):
                raise ModelRefusal(
                    "preference-value",
                    f"Preference {what} must be a number of 0 or more, got {value}.",
                    preference=what,
                )

    def as_dict(self) -> dict[str, float]:
        """Give the wishes by name, ``oar_weight.<structure>`` for single organs; empty when there are none."""
        single = {"hi": self.hi, "oar_weight": self.oar_weight}
        organs = {f"oar_weight.{organ}": weight for organ, weight in self.oar_weights.items()}
        return {what: value for what, value in single.items() if value is not None} | organs


NEUTRAL = Preference("balanced")
"""No wish at all: the trade-off of the plans that a model was made from. Every model honours it."""

SPARE = Preference("spare", oar_weight=1.25)
"""Organs first: P1 of the FDP paper."""

COVER = Preference("cover", hi=0.06, oar_weight=0.85)
"""Targets first: P2 of the FDP paper. By (D2 - D98)/D50 an index of 0.06 is homogeneous; by D5/D95 it would be
impossible, and a card with that index refuses it."""

_NAMED: Mapping[str, Preference] = MappingProxyType({wish.name: wish for wish in (NEUTRAL, SPARE, COVER)})


def preference_of(
    name: str, hi: float | None, oar_weight: float | None, oar_weights: Mapping[str, float]
) -> Preference:
    """Start from a named preference and add wishes of one's own.

    Raises
    ------
    ModelRefusal
        No preference has that name (``preference-unknown``), or a value is impossible.
    """
    named = _NAMED.get(name)
    if named is None:
        raise ModelRefusal(
            "preference-unknown", f"There is no preference {name!r}; known are: {', '.join(_NAMED)}.", preference=name
        )
    return replace(
        named,
        hi=named.hi if hi is None else hi,
        oar_weight=named.oar_weight if oar_weight is None else oar_weight,
        oar_weights={**named.oar_weights, **oar_weights},
    )


@dataclass(frozen=True, eq=False)
class Prediction:
    """A checked dose and where it comes from.

    Attributes
    ----------
    dose
        Total dose on the grid of the anatomy, zero outside the body.
    model_id, model_sha256
        The model, and the hash of its folder.
    preference
        What was asked for, and honoured.
    findings
        What a person should know about this prediction.
    uncertainty_gy
        One standard deviation per voxel, or None where the model has no idea of it.
    """

    dose: Dose
    model_id: str
    model_sha256: str
    preference: Preference
    findings: tuple[Finding, ...] = ()
    uncertainty_gy: VoxelArray | None = None


class PreparedPredictor(Protocol):
    """A model that has seen an anatomy: what one patient's predictions share has been done."""

    def predict(self, preference: Preference = NEUTRAL) -> Prediction:
        """Predict the dose of a plan with this preference; see :meth:`DosePredictor.predict`."""
        ...


class DosePredictor(Protocol):
    """What the rest of the bridge knows of a model."""

    @property
    def card(self) -> ModelCard:
        """What the model is, needs, honours and has been measured to do."""
        ...

    @property
    def sha256(self) -> str:
        """Hash of the model's folder."""
        ...

    def predict(self, anatomy: Anatomy, preference: Preference = NEUTRAL) -> Prediction:
        """Predict the dose of a plan for this anatomy.

        Raises
        ------
        ModelRefusal
            The anatomy is outside the card's limits, the preference cannot be honoured, or the dose that came
            out cannot be trusted.
        StructureRefusal
            A structure that the model requires is missing or empty.
        """
        ...

    def prepare(self, anatomy: Anatomy) -> PreparedPredictor:
        """Look at an anatomy once, to predict it with many preferences; refuses as :meth:`predict` does."""
        ...


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a model hands to the checks.

    Attributes
    ----------
    dose_gy
        Shape of the anatomy's grid, unchecked.
    findings
        What the model noticed.
    uncertainty_gy
        One standard deviation per voxel, or None.
    """

    dose_gy: VoxelArray
    findings: tuple[Finding, ...] = ()
    uncertainty_gy: VoxelArray | None = None


class PreparedModel(Protocol):
    """A model that has seen an anatomy."""

    def estimate(self, preference: Preference) -> Estimate:
        """Estimate the dose for a preference that the card allows."""
        ...


class DoseModel(Protocol):
    """The arithmetic of one model; it is only ever called through :class:`CheckedPredictor`."""

    def prepare(self, anatomy: Anatomy) -> PreparedModel:
        """Do what does not depend on the preference, for an anatomy that the card allows."""
        ...


@dataclass(frozen=True, eq=False)
class CheckedPredictor:
    """A model behind its card: the only form in which the registry gives models out.

    Attributes
    ----------
    card, sha256
        See :class:`DosePredictor`.
    model
        The arithmetic.
    """

    card: ModelCard
    sha256: str
    model: DoseModel

    def predict(self, anatomy: Anatomy, preference: Preference = NEUTRAL) -> Prediction:
        """See :meth:`DosePredictor.predict`."""
        check_preference(self.card, preference)
        return self.prepare(anatomy).predict(preference)

    def prepare(self, anatomy: Anatomy) -> CheckedAnatomy:
        """See :meth:`DosePredictor.prepare`."""
        findings = _check_anatomy(self.card, anatomy)
        return CheckedAnatomy(self, anatomy, findings, self.model.prepare(anatomy))


@dataclass(frozen=True, eq=False)
class CheckedAnatomy:
    """A model behind its card that has seen an anatomy.

    Attributes
    ----------
    predictor
        The model.
    anatomy, findings
        What it has seen, and what is unusual about it.
    prepared
        The arithmetic.
    """

    predictor: CheckedPredictor
    anatomy: Anatomy
    findings: tuple[Finding, ...]
    prepared: PreparedModel

    def predict(self, preference: Preference = NEUTRAL) -> Prediction:
        """See :meth:`PreparedPredictor.predict`."""
        card = self.predictor.card
        check_preference(card, preference)
        estimate = self.prepared.estimate(preference)
        dose = check_prediction(estimate.dose_gy, self.anatomy)
        if estimate.uncertainty_gy is not None:
            _check_array(estimate.uncertainty_gy, self.anatomy, "uncertainty")
        findings = self.findings + tuple(estimate.findings)
        return Prediction(dose, card.id, self.predictor.sha256, preference, findings, estimate.uncertainty_gy)


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
    _check_array(dose_gy, anatomy, "dose")
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


def _check_array(values: VoxelArray, anatomy: Anatomy, what: str) -> None:
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


def _check_anatomy(card: ModelCard, anatomy: Anatomy) -> tuple[Finding, ...]:
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
