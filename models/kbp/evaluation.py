"""How near the estimated DVHs come to those of plans that the model has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from bridge.rt.errors import StructureRefusal
from models.kbp.estimate import DvhBand, estimate_organ, unknown_regions
from models.kbp.fit import OrganPlan
from models.kbp.parameters import KbpParameters
from models.kbp.training import ObservedPlan

__all__ = ["EstimatorScore", "OrganScore", "score_organ", "score_organs"]


@dataclass(frozen=True)
class OrganScore:
    """One organ over ``n`` patients.

    Attributes
    ----------
    organ, plans
        Which, and from how many plans it was learned.
    n, not_estimated
        Patients it was measured on, and those who have it and in whom it could not be estimated.
    mean_abs_gy
        Mean over patients of the mean over the curve of |estimated - achieved D(v)|.
    mean_dose_abs_gy, mean_dose_gy
        Mean over patients of the absolute and of the signed difference of mean dose.
    within_band
        Part of the points of all curves inside the band; 0.68 if the band is what it says.
    """

    organ: str
    plans: int
    n: int
    not_estimated: int
    mean_abs_gy: float
    mean_dose_abs_gy: float
    mean_dose_gy: float
    within_band: float

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class EstimatorScore:
    """All organs of a model.

    Attributes
    ----------
    organs
        Those that could be estimated in one patient or more; at least one.
    never_estimated
        The others that patients have, with their number.
    """

    organs: tuple[OrganScore, ...]
    never_estimated: Mapping[str, int]

    @property
    def mean_abs_gy(self) -> float:
        """Mean over the organs."""
        return float(np.mean([organ.mean_abs_gy for organ in self.organs]))

    @property
    def within_band(self) -> float:
        """Mean over the organs."""
        return float(np.mean([organ.within_band for organ in self.organs]))


def score_organ(plans: int, found: Iterable[tuple[DvhBand, OrganPlan]], not_estimated: int = 0) -> OrganScore:
    """Compare bands with what was achieved, for one organ in one patient or more."""
    pairs = list(found)
    estimated = np.stack([band.middle_gy for band, _ in pairs])
    achieved = np.stack([plan.dose_gy for _, plan in pairs])
    lower, upper = (np.stack([getattr(band, edge) for band, _ in pairs]) for edge in ("lower_gy", "upper_gy"))
    mean_dose = (estimated - achieved).mean(axis=1)
    return OrganScore(
        organ=pairs[0][0].organ,
        plans=plans,
        n=len(pairs),
        not_estimated=not_estimated,
        mean_abs_gy=float(np.abs(estimated - achieved).mean()),
        mean_dose_abs_gy=float(np.abs(mean_dose).mean()),
        mean_dose_gy=float(mean_dose.mean()),
        within_band=float(((lower <= achieved) & (achieved <= upper)).mean()),
    )


def score_organs(parameters: KbpParameters, patients: Iterable[ObservedPlan]) -> EstimatorScore:
    """Measure every organ of a model; one that no patient has is left out.

    Raises
    ------
    StructureRefusal
        No organ of the model could be estimated in any patient (``kbp-no-organ``).
    """
    observed = list(patients)
    scores: list[OrganScore] = []
    never: dict[str, int] = {}
    for name, model in parameters.organs.items():
        plans = [patient.organs[name] for patient in observed if name in patient.organs]
        known = [plan for plan in plans if not unknown_regions(model, plan.geometry)]
        of_patients = len(plans) + sum(name in patient.outside_body for patient in observed)
        if known:
            pairs = [(estimate_organ(name, model, plan.geometry), plan) for plan in known]
            scores.append(score_organ(model.plans, pairs, of_patients - len(known)))
        elif of_patients:
            never[name] = of_patients
    if not scores:
        raise StructureRefusal(
            "kbp-no-organ",
            f"None of {', '.join(parameters.organs)} could be estimated in any of {len(observed)} patients.",
        )
    return EstimatorScore(tuple(scores), never)
