"""What "intra-patient DVH variability" can mean, all computed from the same deviations.

With p over patients, v over the volumes 1 to 99 %, and e_p(v) the achieved less the predicted dose in Gy:

===  ==============================================  ========================================
     mean                                            std
===  ==============================================  ========================================
A    mean_p(mean_v |e|)                              SD_p(mean_v |e|)
B    mean_p(mean_v |e|)                              mean_p(SD_v e)
B2   mean_p(mean_v |e|)                              mean_p(SD_v |e|)
C    mean_pv |e|                                     SD_pv |e|
D    mean_pv e                                       SD_pv e
E    mean_p |difference of mean dose|                SD_p of the same
F    mean_p(mean_d |difference of V(d)|), % volume   SD_p of the same
===  ==============================================  ========================================

B takes "intra-patient" at its word and is the headline. SD over patients is that of a sample (n - 1), SD over a curve
or over the pool that of a population.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import StructureRefusal
from objective_extraction.variability.deviation import Conditions, Series

__all__ = ["CONFIDENCE", "HEADLINE", "RESAMPLES", "Definition", "Figure", "OrganVariability", "organ_variability"]

Definition = Literal["A", "B", "B2", "C", "D", "E", "F"]

HEADLINE: Definition = "B"

CONFIDENCE = 0.95
RESAMPLES = 5000
"""Bootstrap resamples of the patients: the ends of a 95 % interval then vary by a few percent of its width."""

FEWEST_PATIENTS = 2


@dataclass(frozen=True)
class Figure:
    """Mean and std by one definition, each with its bootstrap percentile interval over patients.

    Attributes
    ----------
    definition
        See the module.
    unit
        ``"Gy"``, or ``"% volume"`` for F.
    mean, std
        The two columns.
    mean_interval, std_interval
        Ends of the 95 % interval.
    """

    definition: Definition
    unit: Literal["Gy", "% volume"]
    mean: float
    std: float
    mean_interval: tuple[float, float]
    std_interval: tuple[float, float]


@dataclass(frozen=True)
class OrganVariability:
    """The variability of one organ by all definitions.

    Attributes
    ----------
    organ, n, conditions
        Of what, over how many patients, and under which conditions.
    figures
        One for each definition.
    seed
        Of the bootstrap.
    """

    organ: str
    n: int
    conditions: Conditions
    figures: tuple[Figure, ...]
    seed: int

    def by(self, definition: Definition) -> Figure:
        """Give the figure of one definition."""
        return next(figure for figure in self.figures if figure.definition == definition)

    @property
    def abs_mean_gy(self) -> float:
        """The headline's mean: of |e(v)| over curve and patients."""
        return self.by(HEADLINE).mean

    @property
    def std_over_curve_gy(self) -> float:
        """The headline's std: of e(v) over the curve, averaged over patients."""
        return self.by(HEADLINE).std

    def as_dict(self) -> dict[str, object]:
        """Give the JSON form."""
        return {
            "organ": self.organ,
            "n": self.n,
            "conditions": self.conditions.as_dict(),
            "headline": HEADLINE,
            "abs_mean_gy": self.abs_mean_gy,
            "std_over_curve_gy": self.std_over_curve_gy,
            "confidence": CONFIDENCE,
            "bootstrap": {"resamples": RESAMPLES, "seed": self.seed},
            "figures": [asdict(figure) for figure in self.figures],
        }


def organ_variability(series: Series, seed: int = 1) -> OrganVariability:
    """Compute the variability of one organ by all definitions.

    Parameters
    ----------
    series
        Deviations of two or more patients.
    seed
        Of the bootstrap over patients.

    Raises
    ------
    StructureRefusal
        Fewer than two patients (``variability-too-few``).
    """
    if series.n < FEWEST_PATIENTS:
        raise StructureRefusal(
            "variability-too-few",
            f"A variability of {series.organ!r} needs {FEWEST_PATIENTS} patients or more, got {series.n}.",
            roi=series.organ,
        )
    rows = np.array(
        [
            (
                one.abs_mean_gy, one.signed_mean_gy, one.square_mean_gy2, one.std_over_curve_gy,
                one.abs_std_over_curve_gy, abs(one.mean_dose_gy), one.volume_abs_mean_percent,
            )
            for _, one in sorted(series.deviations.items())
        ]
    )  # fmt: skip
    found = _by_definition(rows)
    drawn = np.random.default_rng(seed).integers(series.n, size=(RESAMPLES, series.n))
    resampled = _by_definition(rows[drawn])
    return OrganVariability(
        series.organ,
        series.n,
        series.conditions,
        tuple(
            Figure(
                definition,
                "% volume" if definition == "F" else "Gy",
                float(mean),
                float(std),
                *(_interval(values) for values in resampled[definition]),
            )
            for definition, (mean, std) in found.items()
        ),
        seed,
    )


def _interval(values: FloatArray) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return float(low), float(high)


def _by_definition(rows: FloatArray) -> dict[Definition, tuple[FloatArray, FloatArray]]:
    """Give mean and std by each definition of ``(..., n, 7)`` rows as in :func:`organ_variability`."""
    absolute, signed, square, over_curve, abs_over_curve, mean_dose, volume = (rows[..., i] for i in range(7))

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray(values.mean(axis=-1))

    def over_patients(values: FloatArray) -> tuple[FloatArray, FloatArray]:
        return mean(values), np.asarray(values.std(axis=-1, ddof=1))

    def pooled(values: FloatArray) -> tuple[FloatArray, FloatArray]:
        return mean(values), np.sqrt(np.maximum(mean(square) - mean(values) ** 2, 0.0))

    return {
        "A": over_patients(absolute),
        "B": (mean(absolute), mean(over_curve)),
        "B2": (mean(absolute), mean(abs_over_curve)),
        "C": pooled(absolute),
        "D": pooled(signed),
        "E": over_patients(mean_dose),
        "F": over_patients(volume),
    }
