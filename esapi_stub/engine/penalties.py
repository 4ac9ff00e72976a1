"""What each kind of optimization objective adds to the objective function: a value in Gy² and its gradient.

How Eclipse turns objectives into numbers is not published. These are the one-sided quadratic penalties that planning
systems commonly use (Bortfeld et al., Phys Med Biol 35:1423, 1990; Wu and Mohan, Med Phys 27:701, 2000): nothing where
an objective is met, and the square of what is missing where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from esapi_stub.planning import Operator

__all__ = ["GeudPenalty", "LimitPenalty", "MeanPenalty", "Penalty", "PointPenalty"]

_LEAST_DOSE_GY = 1e-3
"""Below this a negative power of the dose means nothing; gEUD takes smaller doses for it."""


class Penalty(Protocol):
    """A differentiable function of the dose in the voxels of one structure."""

    def __call__(self, dose_gy: FloatArray, share: FloatArray) -> tuple[float, FloatArray]:
        """Give value and gradient.

        Parameters
        ----------
        dose_gy
            Shape ``(n,)``.
        share
            Shape ``(n,)``: part of the structure's volume that lies in each voxel; sums to 1.

        Returns
        -------
        float, FloatArray
            Value in Gy², and its derivative by the dose of each voxel in Gy.
        """

    def counting(self, dose_gy: FloatArray, margin_gy: float) -> NDArray[np.bool_]:
        """Tell which voxels count, or would with this much more or less dose; what the others get does not matter."""

    def part(self, kept: NDArray[np.bool_]) -> Penalty:
        """Give the penalty of some of the voxels, with the share that they have."""

    def bend(self, dose_gy: FloatArray, share: FloatArray, margin_gy: float) -> FloatArray:
        """Give about the second derivative by the dose of each voxel, also of those within the margin of counting."""


class _OfAllVoxels:
    """What penalties have in common that look at one number of the whole structure."""

    def counting(self, dose_gy: FloatArray, margin_gy: float) -> NDArray[np.bool_]:
        """Tell that all voxels count."""
        return np.ones(len(dose_gy), dtype=bool)

    def part(self, kept: NDArray[np.bool_]) -> Self:
        """Give the same, for there is no less than all voxels."""
        return self

    def bend(self, dose_gy: FloatArray, share: FloatArray, margin_gy: float) -> FloatArray:
        """Give 0: it bends when the doses of all voxels change together, and hardly with that of one."""
        return np.zeros_like(dose_gy)


def _one_sided(excess: float, operator: Operator) -> float:
    """Give the part of an excess that the operator forbids."""
    if operator == "upper":
        return max(0.0, excess)
    return min(0.0, excess) if operator == "lower" else excess


@dataclass(frozen=True)
class PointPenalty:
    """Mean square of what is missing, over the voxels between the asked dose and the dose now at the volume.

    Of an upper point, voxels above the dose are counted from the coldest on, up to the dose that the asked volume
    now gets; the hottest, which may have their dose, are left alone. A lower point is the mirror image. The penalty
    ends where the point is met, and 0 % (upper) and 100 % (lower) count every voxel.

    Parameters
    ----------
    operator
        ``"upper"`` or ``"lower"``.
    dose_gy
        Asked.
    volume_percent
        The volume that at most, or at least, gets it.
    """

    operator: Operator
    dose_gy: float
    volume_percent: float

    def __call__(self, dose_gy: FloatArray, share: FloatArray) -> tuple[float, FloatArray]:
        """Give value and gradient."""
        excess = dose_gy - self.dose_gy
        wrong = np.flatnonzero(excess > 0 if self.operator == "upper" else excess < 0)
        # of an upper point the hottest voxels are allowed; of a lower one the coldest
        allowed = self.volume_percent / 100.0 if self.operator == "upper" else 1.0 - self.volume_percent / 100.0
        if allowed > 0 and len(wrong):
            wrong = wrong[np.argsort(-np.abs(excess[wrong]), kind="stable")]
            before = np.cumsum(share[wrong]) - share[wrong]
            wrong = wrong[before >= allowed * (1.0 - 1e-9)]
        gradient = np.zeros_like(dose_gy)
        gradient[wrong] = 2.0 * share[wrong] * excess[wrong]
        return float(np.dot(share[wrong], excess[wrong] ** 2)), gradient

    def counting(self, dose_gy: FloatArray, margin_gy: float) -> NDArray[np.bool_]:
        """Tell which voxels are on the wrong side, or within the margin of it."""
        excess = dose_gy - self.dose_gy
        return np.asarray(excess > -margin_gy if self.operator == "upper" else excess < margin_gy)

    def part(self, kept: NDArray[np.bool_]) -> PointPenalty:
        """Give the same: those on the right side are counted by their absence."""
        return self

    def bend(self, dose_gy: FloatArray, share: FloatArray, margin_gy: float) -> FloatArray:
        """Give that of the squares."""
        return 2.0 * share * self.counting(dose_gy, margin_gy)


@dataclass(frozen=True)
class MeanPenalty(_OfAllVoxels):
    """Square of the excess of the mean dose."""

    dose_gy: float

    def __call__(self, dose_gy: FloatArray, share: FloatArray) -> tuple[float, FloatArray]:
        """Give value and gradient."""
        excess = max(0.0, float(np.dot(share, dose_gy)) - self.dose_gy)
        return excess**2, 2.0 * excess * share


@dataclass(frozen=True)
class GeudPenalty(_OfAllVoxels):
    """Square of what is missing of the generalized equivalent uniform dose ``(sum share dose^a)^(1/a)``.

    Niemierko, Med Phys 26:1100 (1999).
    """

    operator: Operator
    dose_gy: float
    a: float

    def __call__(self, dose_gy: FloatArray, share: FloatArray) -> tuple[float, FloatArray]:
        """Give value and gradient."""
        dose = np.maximum(dose_gy, _LEAST_DOSE_GY)
        # powers of the ratio to the voxel that counts most can neither overflow nor all vanish
        leading = float(dose.max() if self.a > 0 else dose.min())
        powers = share * (dose / leading) ** self.a
        geud = leading * float(powers.sum()) ** (1.0 / self.a)
        excess = _one_sided(geud - self.dose_gy, self.operator)
        gradient = 2.0 * excess * geud * powers / powers.sum() / dose
        return excess**2, np.where(dose_gy > _LEAST_DOSE_GY, gradient, 0.0)


@dataclass(frozen=True, eq=False)
class LimitPenalty:
    """Mean square of the dose above a limit of each voxel's own.

    Parameters
    ----------
    limit_gy
        Shape ``(n,)``.
    """

    limit_gy: FloatArray

    def __call__(self, dose_gy: FloatArray, share: FloatArray) -> tuple[float, FloatArray]:
        """Give value and gradient."""
        excess = np.maximum(dose_gy - self.limit_gy, 0.0)
        weighted = share * excess
        return float(np.dot(weighted, excess)), 2.0 * weighted

    def counting(self, dose_gy: FloatArray, margin_gy: float) -> NDArray[np.bool_]:
        """Tell which voxels are above their limits, or within the margin of them."""
        return np.asarray(dose_gy > self.limit_gy - margin_gy)

    def part(self, kept: NDArray[np.bool_]) -> LimitPenalty:
        """Give the limits of these voxels."""
        return LimitPenalty(self.limit_gy[kept])

    def bend(self, dose_gy: FloatArray, share: FloatArray, margin_gy: float) -> FloatArray:
        """Give that of the squares."""
        return 2.0 * share * self.counting(dose_gy, margin_gy)
