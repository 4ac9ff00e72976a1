"""What is measured of a plan of a library, and the criteria by which its plans are held against each other."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

__all__ = ["CRITERIA_TOLERANCE", "GoalOutcome", "OrganMeasures", "PlanMeasures", "TargetMeasures", "criteria_of"]

CRITERIA_TOLERANCE = 0.1
"""Gy, and percent of homogeneity: two optimizations of the same plan differ by as much."""

_HALF_A_HUNDREDTH_GY = 0.005


class Part(BaseModel):
    """A frozen part of a manifest: what it does not know, it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TargetMeasures(Part):
    """Dose parameters of a target in Gy; ``near_maximum_gy`` is D0.03cc, and D2% of a very small one."""

    prescribed_gy: float
    mean_gy: float
    d99_gy: float
    d98_gy: float
    d95_gy: float
    d50_gy: float
    d2_gy: float
    near_maximum_gy: float
    hi_icru83: float


class OrganMeasures(Part):
    """Dose parameters of an organ in Gy; ``outside_gy`` is the mean outside all targets, None where nothing is."""

    mean_gy: float
    d01cc_gy: float
    near_maximum_gy: float
    outside_gy: float | None


class GoalOutcome(Part):
    """What became of one goal of the protocol; ``excess_gy`` is how far it is missed, negative where there is room."""

    roi: str
    what: str
    hard: bool
    reached_gy: float
    excess_gy: float

    @property
    def is_met(self) -> bool:
        """Whether the plan does what the protocol asks, to the hundredth of a Gy that is shown of a dose."""
        return self.excess_gy < _HALF_A_HUNDREDTH_GY


class PlanMeasures(Part):
    """All that is measured of a plan, in its dose as it is stored.

    Attributes
    ----------
    targets, organs
        By name, highest target first.
    goals
        Of the protocol.
    hottest_gy
        Highest voxel anywhere.
    """

    targets: Mapping[str, TargetMeasures]
    organs: Mapping[str, OrganMeasures]
    goals: tuple[GoalOutcome, ...]
    hottest_gy: float

    @property
    def hi(self) -> float:
        """Homogeneity of the highest target, (D2% - D98%) / D50% (ICRU 83)."""
        return next(iter(self.targets.values())).hi_icru83

    def organ_means_gy(self) -> dict[str, float]:
        """Give the mean doses outside the targets of the organs that have a part there."""
        return {name: organ.outside_gy for name, organ in self.organs.items() if organ.outside_gy is not None}


def criteria_of(measures: PlanMeasures) -> dict[str, float]:
    """Give the criteria that plans trade against each other, of each of which less is better.

    How far D95% of each target is below its prescription (more than the prescription is no gain), the homogeneity of
    the highest target in percent, and the mean dose of each organ outside the targets.
    """
    deficits = {
        f"{name} D95% deficit (Gy)": max(0.0, target.prescribed_gy - target.d95_gy)
        for name, target in measures.targets.items()
    }
    means = {f"{name} mean (Gy)": mean for name, mean in measures.organ_means_gy().items()}
    return deficits | {"HI (%)": 100.0 * measures.hi} | means
