"""Linear regression with a stepwise choice of features, and what its residuals say of every plan.

The choice is by the Bayesian information criterion ``n ln(RSS / n) + k ln n`` (Schwarz, Annals of Statistics 6:461,
1978): the feature that lowers it most joins, one that no longer lowers it leaves, until nothing changes. No more than
one feature for ten plans, or few plans would be learned by heart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.rt.arrays import FloatArray

__all__ = ["PLANS_PER_FEATURE", "Fit", "Influence", "fit", "influence", "stepwise"]

PLANS_PER_FEATURE = 10

_LEAST_GAIN = 1e-9
"""Of the criterion: below this two choices are the same, and the loop must end."""

_RELATIVE_FLOOR = 1e-12
"""Of the variance of the target: a residual below this is rounding, and must not look like an ever better fit."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A regression by least squares.

    Attributes
    ----------
    chosen
        Columns of the features that take part, in the order in which they joined.
    coefficients
        Intercept, then one for each of these.
    sigma
        Standard deviation of the residuals, with n - k degrees of freedom.
    inverse_normal
        ``(X'X)^-1`` of the design ``X`` with its column of ones, ``(k, k)``.
    """

    chosen: tuple[int, ...]
    coefficients: FloatArray
    sigma: float
    inverse_normal: FloatArray


@dataclass(frozen=True, eq=False)
class Influence:
    """How each of ``n`` plans lies to a regression, shape ``(n,)`` each.

    Attributes
    ----------
    fitted, residual
        Value on the line, and observed less fitted.
    leverage
        Diagonal of the hat matrix: how far the plan's geometry lies from the others'; k / n on average.
    studentized
        Residual over its standard deviation estimated without the plan (externally studentized).
    cooks_distance
        How far all fitted values move when the plan is left out, over k times the variance (Cook, Technometrics 19:15,
        1977).
    """

    fitted: FloatArray
    residual: FloatArray
    leverage: FloatArray
    studentized: FloatArray
    cooks_distance: FloatArray


def stepwise(features: FloatArray, target: FloatArray) -> Fit:
    """Choose features and fit.

    Parameters
    ----------
    features
        Shape ``(n, m)``, of like scale; there may be none.
    target
        Shape ``(n,)``, n of 3 or more.
    """
    most = min(features.shape[1], len(target) // PLANS_PER_FEATURE)
    chosen: list[int] = []
    best = _criterion(features, target, chosen)
    while True:
        joined = [[*chosen, j] for j in range(features.shape[1]) if j not in chosen] if len(chosen) < most else []
        left = [[j for j in chosen if j != out] for out in chosen]
        options = [(_criterion(features, target, option), option) for option in joined + left]
        if not options:
            break
        value, option = min(options, key=lambda found: found[0])
        if value >= best - _LEAST_GAIN:
            break
        best, chosen = value, option
    return fit(features, target, tuple(chosen))


def fit(features: FloatArray, target: FloatArray, chosen: tuple[int, ...]) -> Fit:
    """Fit the chosen features by least squares."""
    design = _design(features, list(chosen))
    inverse: FloatArray = np.linalg.pinv(design.T @ design).astype(np.float64)
    coefficients: FloatArray = np.linalg.lstsq(design, target, rcond=None)[0].astype(np.float64)
    residual = target - design @ coefficients
    freedom = max(len(target) - design.shape[1], 1)
    return Fit(chosen, coefficients, float(np.sqrt(residual @ residual / freedom)), inverse)


def influence(features: FloatArray, target: FloatArray, of: Fit) -> Influence:
    """Give the outlier statistics of the plans that a regression was fitted to."""
    design = _design(features, list(of.chosen))
    n, k = design.shape
    fitted = design @ of.coefficients
    residual = target - fitted
    leverage = np.einsum("ij,jk,ik->i", design, of.inverse_normal, design)
    # a plan that alone decides a coefficient has leverage 1 and no residual to speak of
    room = np.maximum(1.0 - leverage, 1e-12)
    square_sum = float(residual @ residual)
    without = np.maximum(square_sum - residual**2 / room, 0.0) / max(n - k - 1, 1)
    scale = max(square_sum / max(n - k, 1), np.finfo(float).tiny)
    with np.errstate(divide="ignore", invalid="ignore"):
        studentized = np.where(residual == 0, 0.0, residual / np.sqrt(without * room))
    return Influence(
        fitted=fitted,
        residual=residual,
        leverage=leverage,
        studentized=studentized,
        cooks_distance=residual**2 / (k * scale) * leverage / room**2,
    )


def _design(features: FloatArray, chosen: list[int]) -> FloatArray:
    return np.column_stack([np.ones(len(features)), features[:, chosen]])


def _criterion(features: FloatArray, target: FloatArray, chosen: list[int]) -> float:
    design = _design(features, chosen)
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    n = len(target)
    spread = float(np.var(target))
    mean_square = max(float(residual @ residual) / n, _RELATIVE_FLOOR * spread, np.finfo(float).tiny)
    return float(n * np.log(mean_square) + design.shape[1] * np.log(n))
