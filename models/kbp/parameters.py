"""The numbers of a knowledge-based model as they are kept: coefficients only, nothing of any single plan.

There is one way to write a model, with every curve on a line of its own. A file that is written otherwise is refused:
nothing can stand in it that is not read, no key twice, no number as text, no digit more.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import ModelRefusal
from models.geometric.parameters import GeometricParameters
from models.kbp.curves import POINTS
from models.kbp.regions import NUMBERS, Region

__all__ = [
    "PARAMETERS_NAME",
    "Components",
    "KbpParameters",
    "OrganModel",
    "RegionModel",
    "Regression",
    "Scaling",
    "numbered",
]

PARAMETERS_NAME = "parameters.json"

_CURVE_DECIMALS = 5
"""Of curves, which are parts of a level: less than 0.001 Gy of 70 Gy."""

_DIGITS = 7
_DECIMALS = 12
"""Significant digits and decimals of all other numbers: without the noise of rounding."""

_ORTHONORMAL = 1e-3


def _rounded_curve(values: tuple[float, ...]) -> list[float]:
    return [round(value, _CURVE_DECIMALS) + 0.0 for value in values]


NotNegative = Annotated[float, Field(ge=0)]
Number = Annotated[int, Field(ge=1)]
_Curve = (Field(min_length=POINTS, max_length=POINTS), PlainSerializer(_rounded_curve))
Curve = Annotated[tuple[float, ...], *_Curve]
NotNegativeCurve = Annotated[tuple[NotNegative, ...], *_Curve]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Components(_Part):
    """Principal components of curves.

    Attributes
    ----------
    mean
        Mean curve.
    vectors
        Orthonormal components, the strongest first.
    """

    mean: Curve
    vectors: tuple[Curve, ...]

    @model_validator(mode="after")
    def _orthonormal(self) -> Self:
        if np.abs(self._matrix @ self._matrix.T - np.eye(len(self.vectors))).max(initial=0.0) > _ORTHONORMAL:
            raise ValueError("components must have length one and be at right angles to each other")
        return self

    def scores(self, curves: ArrayLike) -> FloatArray:
        """Give the scores ``(..., components)`` of curves ``(..., 100)``."""
        apart = np.asarray(curves, dtype=np.float64) - np.asarray(self.mean)
        return np.asarray(apart @ self._matrix.T)

    def curve(self, scores: ArrayLike) -> FloatArray:
        """Give the curve ``(100,)`` with these scores."""
        return np.asarray(np.asarray(self.mean) + np.asarray(scores) @ self._matrix)

    def variance(self, of_scores: ArrayLike) -> FloatArray:
        """Give the variance ``(100,)`` of a curve from that of its uncorrelated scores."""
        return np.asarray(np.asarray(of_scores) @ self._matrix**2)

    @property
    def _matrix(self) -> FloatArray:
        return np.asarray(self.vectors, dtype=np.float64).reshape(-1, POINTS)


class Scaling(_Part):
    """One feature: its mean and spread over the training plans, and the range in which these lie."""

    centre: float
    spread: Annotated[float, Field(gt=0)]
    low: float
    high: float

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.low > self.high:
            raise ValueError("the range of a feature must ascend")
        return self

    def scaled(self, value: float) -> float:
        """Give a value in spreads from the mean."""
        return (value - self.centre) / self.spread

    def holds(self, value: float) -> bool:
        """Whether training plans lie on both sides, or no further off than a tenth of their range."""
        slack = 0.1 * (self.high - self.low)
        return self.low - slack <= value <= self.high + slack


class Regression(_Part):
    """One score of a DVH from features.

    Attributes
    ----------
    features
        Names, in the order of the coefficients.
    coefficients
        Intercept, then one for each feature, scaled.
    sigma
        Standard deviation of the residuals.
    inverse_normal
        ``(X'X)^-1`` of the training plans.
    """

    features: tuple[str, ...]
    coefficients: tuple[float, ...]
    sigma: NotNegative
    inverse_normal: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _sizes(self) -> Self:
        k = len(self.features) + 1
        if len(self.coefficients) != k or [len(row) for row in self.inverse_normal] != [k] * k:
            raise ValueError("a regression needs a coefficient and a row for each feature and the intercept")
        inverse = np.asarray(self.inverse_normal)
        strength = np.linalg.eigvalsh(inverse)
        if not np.allclose(inverse, inverse.T, rtol=1e-5) or strength[0] < -1e-5 * strength[-1]:
            raise ValueError("the inverse of a normal matrix must be symmetric and never give a negative variance")
        return self

    def predict(self, scaled: ArrayLike) -> tuple[float, float]:
        """Give the score for scaled features, and the variance of its prediction for a new plan."""
        row = np.append(1.0, np.asarray(scaled, dtype=np.float64))
        leverage = float(row @ np.asarray(self.inverse_normal) @ row)
        return float(row @ np.asarray(self.coefficients)), self.sigma**2 * (1.0 + leverage)


class RegionModel(_Part):
    """One region of an organ.

    Attributes
    ----------
    plans
        Training plans with this region.
    dvh
        Components of its DVHs: dose over the highest level, or in the overlap over the level of the target.
    scores
        A regression for each component; without features it is the mean of the training plans.
    unexplained
        Standard deviation of what the components leave of the training DVHs.
    expected, conformal
        Components of its geometry's curves; None where no feature is used.
    features
        Every feature that a regression uses.
    """

    plans: Number
    dvh: Components
    scores: tuple[Regression, ...]
    unexplained: NotNegativeCurve
    expected: Components | None
    conformal: Components | None
    features: dict[str, Scaling]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len(self.scores) != len(self.dvh.vectors):
            raise ValueError("every component needs a regression")
        used = {feature for regression in self.scores for feature in regression.features}
        if used != set(self.features) or (used and (self.expected is None or self.conformal is None)):
            raise ValueError("a regression uses features that are not described")
        if unknown := used - self._known_features():
            raise ValueError(f"there is no feature {min(unknown)!r}")
        return self

    def _known_features(self) -> set[str]:
        geometry = {"expected": self.expected, "conformal": self.conformal}
        return {*NUMBERS} | {
            numbered(name, index) for name, one in geometry.items() if one for index in range(len(one.vectors))
        }


class OrganModel(_Part):
    """One organ: how many plans it was learned from, and its regions."""

    plans: Number
    regions: Annotated[dict[Region, RegionModel], Field(min_length=1)]


class KbpParameters(_Part):
    """A whole model.

    Attributes
    ----------
    format
        Of this file.
    gantry_angles_deg
        Fields of the training plans.
    expected_dose
        Numbers of the expected dose by distance.
    organs
        By the key of their mask.
    """

    format: Literal[1] = 1
    gantry_angles_deg: Annotated[tuple[float, ...], Field(min_length=1)]
    expected_dose: GeometricParameters
    organs: Annotated[dict[str, OrganModel], Field(min_length=1)]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the numbers from JSON.

        Raises
        ------
        ModelRefusal
            The file is not readable, a number is missing or impossible, or it is not written as :meth:`write` does.
        """
        try:
            raw = path.read_bytes()
            parameters = cls.model_validate_json(raw)
        except (OSError, ValidationError) as error:
            raise ModelRefusal(
                "parameters-invalid", f"{path.name} of the model cannot be used: {error}", file=path.name
            ) from error
        if parameters._text().encode() != raw:
            raise ModelRefusal(
                "parameters-invalid",
                f"{path.name} of the model is not written as this software writes it; restore it, or train the model "
                "again.",
                file=path.name,
            )
        return parameters

    def write(self, path: Path) -> None:
        """Write the numbers as JSON, rounded far below what any dose is known to."""
        path.write_text(self._text(), encoding="utf-8", newline="\n")

    def _text(self) -> str:
        return _lines(_rounded(self.model_dump())) + "\n"


def numbered(name: str, index: int) -> str:
    """Give the name of a feature that is the score of a component, counted from 0; names count from 1."""
    return f"{name}_{index + 1}"


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return float(f"{round(value, _DECIMALS):.{_DIGITS}g}") + 0.0 if isinstance(value, float) else value


def _lines(value: object, indent: str = "") -> str:
    """Give JSON in which a list or an object of plain values takes one line."""
    items = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(items, list) or not any(isinstance(item, list | dict) for item in items):
        return json.dumps(value, separators=(",", ": "))
    within = indent + " "
    texts = [_lines(item, within) for item in items]
    if isinstance(value, dict):
        texts = [f"{json.dumps(key)}: {text}" for key, text in zip(value, texts, strict=True)]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{within}" + f",\n{within}".join(texts) + f"\n{indent}{last}"
