"""Two ways of predicting against each other on the same patients: paired tests by the headline definition, and wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.stats import wilcoxon

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import StructureRefusal
from objective_extraction.variability.definitions import CONFIDENCE, FEWEST_PATIENTS, RESAMPLES
from objective_extraction.variability.deviation import Conditions, Deviation, Series

__all__ = ["Comparison", "OrganComparison", "PairedTest", "compare_methods", "holm", "paired_test"]


@dataclass(frozen=True)
class PairedTest:
    """One column of one organ, first method less second, over the same patients.

    Attributes
    ----------
    first_gy, second_gy
        Mean over patients of each.
    difference_interval_gy
        95 % bootstrap interval of the mean difference.
    p, p_corrected
        Two-sided Wilcoxon signed-rank test, as it is and corrected for all tests of the table after Holm. It tests the
        order of the patients' values and not their means, so it can disagree with the interval.
    patient_wins, patient_losses
        Patients in whom the first is lower, and higher; the rest are equal.
    """

    first_gy: float
    second_gy: float
    difference_interval_gy: tuple[float, float]
    p: float
    p_corrected: float
    patient_wins: int
    patient_losses: int

    @property
    def won(self) -> bool:
        """Whether the first method's mean is the lower one."""
        return self.first_gy < self.second_gy

    @property
    def lost(self) -> bool:
        """Whether it is the higher one; with equal means neither method wins."""
        return self.first_gy > self.second_gy


@dataclass(frozen=True)
class OrganComparison:
    """Both columns of one organ by definition B: mean |e(v)|, and the standard deviation of e(v) over the curve."""

    organ: str
    n: int
    mean: PairedTest
    std: PairedTest


@dataclass(frozen=True)
class Comparison:
    """Two methods, organ by organ.

    Attributes
    ----------
    first, second
        Conditions of each; they differ in what predicted, and in nothing else.
    organs
        In the given order.
    seed
        Of the bootstrap.
    """

    first: Conditions
    second: Conditions
    organs: tuple[OrganComparison, ...]
    seed: int

    @property
    def wins_mean(self) -> int:
        """Organs in which the first method's mean is lower."""
        return sum(organ.mean.won for organ in self.organs)

    @property
    def wins_std(self) -> int:
        """Organs in which the first method's std is lower."""
        return sum(organ.std.won for organ in self.organs)

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return {
            "first": self.first.as_dict(),
            "second": self.second.as_dict(),
            "definition": "B",
            "wins_mean": self.wins_mean,
            "wins_std": self.wins_std,
            "of_organs": len(self.organs),
            "correction": f"Holm over {2 * len(self.organs)} tests",
            "confidence": CONFIDENCE,
            "bootstrap": {"resamples": RESAMPLES, "seed": self.seed},
            "organs": [asdict(organ) for organ in self.organs],
        }


def compare_methods(first: Sequence[Series], second: Sequence[Series], seed: int = 1) -> Comparison:
    """Compare two methods on the same organs of the same patients.

    Parameters
    ----------
    first, second
        One series for each organ, in the same order.
    seed
        Of the bootstrap over patients.

    Raises
    ------
    StructureRefusal
        No organ, other organs (``variability-organs``), other patients (``variability-patients``), fewer than two of
        them, or conditions that differ in more than what predicted (``variability-conditions``).
    """
    if not first or [one.organ for one in first] != [other.organ for other in second]:
        raise StructureRefusal("variability-organs", "Two methods are compared on the same organs, one or more.")
    conditions = first[0].conditions, second[0].conditions
    for one, other in zip(first, second, strict=True):
        _require_pair(one, other, conditions)
    columns: list[Callable[[Deviation], float]] = [lambda d: d.abs_mean_gy, lambda d: d.std_over_curve_gy]
    rows = [[_test(one, other, column, seed) for column in columns] for one, other in zip(first, second, strict=True)]
    corrected = iter(holm([test.p for row in rows for test in row]))
    organs = []
    for one, row in zip(first, rows, strict=True):
        mean, std = (replace(test, p_corrected=next(corrected)) for test in row)
        organs.append(OrganComparison(one.organ, one.n, mean, std))
    return Comparison(*conditions, tuple(organs), seed)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p values for their number (Holm, Scandinavian Journal of Statistics 6:65, 1979).

    Returns
    -------
    list
        In the given order: the chance of any false alarm among those below a level is at most that level.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return [float(value) for value in corrected]


def _require_pair(one: Series, other: Series, conditions: tuple[Conditions, Conditions]) -> None:
    if (one.conditions, other.conditions) != conditions:
        raise StructureRefusal(
            "variability-conditions", "All organs of a method need the same conditions.", roi=one.organ
        )
    as_other = replace(one.conditions, source=other.conditions.source, predicted_curve=other.conditions.predicted_curve)
    if as_other != other.conditions:
        raise StructureRefusal(
            "variability-conditions",
            "Two methods are compared under one optimizer, normalisation and DVH policy, and asked for the same beside "
            f"the organs; got {one.conditions} and {other.conditions}.",
            roi=one.organ,
        )
    apart = sorted(one.deviations.keys() ^ other.deviations.keys())
    if apart:
        raise StructureRefusal(
            "variability-patients",
            f"Two methods are compared on the same patients; {len(apart)} of {one.organ!r} are with one of them only.",
            roi=one.organ,
            patient=apart[0],
        )
    if one.n < FEWEST_PATIENTS:
        raise StructureRefusal(
            "variability-too-few",
            f"A comparison of {one.organ!r} needs {FEWEST_PATIENTS} patients or more, got {one.n}.",
            roi=one.organ,
        )


def _test(one: Series, other: Series, column: Callable[[Deviation], float], seed: int) -> PairedTest:
    patients = sorted(one.deviations)
    a, b = (np.array([column(series.deviations[patient]) for patient in patients]) for series in (one, other))
    return paired_test(a, b, seed)


def paired_test(first: FloatArray, second: FloatArray, seed: int = 1) -> PairedTest:
    """Compare two columns of numbers, of which less is better, on the same patients; p is not corrected yet.

    Parameters
    ----------
    first, second
        Shape ``(n,)``, n of two or more, in the same order of patients.
    seed
        Of the bootstrap over patients.

    Raises
    ------
    StructureRefusal
        Fewer than two patients, or not the same number of each (``variability-too-few``).
    """
    if first.shape != second.shape or first.size < FEWEST_PATIENTS:
        raise StructureRefusal(
            "variability-too-few",
            f"A paired test needs {FEWEST_PATIENTS} patients or more, the same for both; got {first.size} and "
            f"{second.size}.",
        )
    difference = first - second
    drawn = np.random.default_rng(seed).integers(difference.size, size=(RESAMPLES, difference.size))
    low, high = np.quantile(difference[drawn].mean(axis=1), ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    p = _signed_rank_p(difference)
    return PairedTest(
        first_gy=float(first.mean()),
        second_gy=float(second.mean()),
        difference_interval_gy=(float(low), float(high)),
        p=p,
        p_corrected=p,
        patient_wins=int((difference < 0).sum()),
        patient_losses=int((difference > 0).sum()),
    )


def _signed_rank_p(difference: FloatArray) -> float:
    """Give the two-sided p of the signed-rank test; equal pairs do not count, and where all are equal p is 1."""
    unequal = difference[difference != 0]
    return float(wilcoxon(unequal).pvalue) if unequal.size else 1.0
