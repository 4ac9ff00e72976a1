"""How far the plans of a library go from their reference plans: what sliders may ask for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models.library.library import LibraryPatient, LibraryPlan
from models.library.sources import usable

__all__ = ["Reach", "reach_of", "usable_sets"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Reach:
    """What plans reached.

    Attributes
    ----------
    patients, plans
        Of which.
    hi
        Lowest and highest homogeneity index of any plan.
    hi_difference
        Of a plan less that of its reference plan: what the plans of half of the patients reach, at both ends.
    oar_weights
        Likewise the weight of each organ. An organ that no plan has a weight of is not there.
    """

    patients: int
    plans: int
    hi: Range
    hi_difference: Range
    oar_weights: dict[str, Range]


def usable_sets(patients: Iterable[LibraryPatient]) -> list[tuple[LibraryPlan, ...]]:
    """Give the usable plans of each patient and set of beams, those without any left out."""
    sets = [usable(patient.with_beams(beams.name)) for patient in patients for beams in patient.manifest.beam_sets]
    return [plans for plans in sets if plans]


def reach_of(patients: Sequence[LibraryPatient]) -> Reach:
    """Measure the reach of all usable plans.

    The median over patients and sets of beams of the lowest and of the highest label: a slider ends where half of the
    patients still have a plan. The ends hold the reference plan.

    Parameters
    ----------
    patients
        With at least one usable plan among them.
    """
    sets = usable_sets(patients)
    labels = [[plan.label for plan in plans] for plans in sets]
    all_hi = [label.hi for of_set in labels for label in of_set]
    organs = sorted({organ for of_set in labels for label in of_set for organ in label.oar_weights})
    weights = {
        organ: _middle(
            [[label.oar_weights[organ] for label in of_set if organ in label.oar_weights] for of_set in labels], 1.0
        )
        for organ in organs
    }
    return Reach(
        patients=sum(bool(usable_sets([patient])) for patient in patients),
        plans=sum(len(plans) for plans in sets),
        hi=(_rounded(min(all_hi)), _rounded(max(all_hi))),
        hi_difference=_middle([[label.hi_difference for label in of_set] for of_set in labels], 0.0),
        oar_weights=weights,
    )


def _middle(values: Sequence[Sequence[float]], usual: float) -> Range:
    """Give the medians of the lowest and of the highest values, with the usual one between them."""
    ends = np.median([(min(of_set), max(of_set)) for of_set in values if of_set], axis=0)
    return min(usual, _rounded(ends[0])), max(usual, _rounded(ends[1]))


def _rounded(value: float) -> float:
    return round(float(value), 3)
