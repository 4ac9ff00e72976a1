"""One achieved DVH against its prediction: the numbers that every definition of variability is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from bridge.rt.dvh import BetweenPlanes, Dvh, EndCaps
from bridge.rt.dvh_compare import compare_dvhs
from bridge.rt.errors import StructureRefusal

__all__ = ["Conditions", "Deviation", "PredictedCurve", "Series", "deviation"]

PredictedCurve = Literal["prediction", "band_middle", "line_objective"]
"""What stands for the prediction: its only curve, the middle of a band, or the line objective made from a band."""

_DOSE_STEP_GY = 0.5
_COVERAGE_DIFFERENCE = 0.01


@dataclass(frozen=True)
class Conditions:
    """What a figure depends on besides the patients; it stands beside every one.

    Attributes
    ----------
    source
        What predicted: model id, version or hash, and preference.
    predicted_curve
        Which of its curves was compared.
    optimizer
        What made the plan, with its version.
    normalisation
        How the achieved dose was scaled (``"none"``, ``"PTV70 D95% = 70 Gy"``).
    beside_organs
        What the optimizer was asked for beside the organs (``"none"``, ``"template"``); see
        :class:`objective_extraction.settings.ExtractionSettings`.
    end_caps, between_planes
        How both DVHs were made; see :class:`bridge.rt.dvh.DvhPolicy`.
    """

    source: str
    predicted_curve: PredictedCurve
    optimizer: str
    normalisation: str
    beside_organs: str
    end_caps: EndCaps
    between_planes: BetweenPlanes

    def __post_init__(self) -> None:
        stated = ("source", "optimizer", "normalisation", "beside_organs")
        unsaid = [name for name in stated if not getattr(self, name).strip()]
        if unsaid:
            what = unsaid[0].replace("_", " ")
            raise StructureRefusal("variability-conditions", f"A variability needs its condition {what!r} stated.")

    def as_dict(self) -> dict[str, str]:
        """Give the JSON form."""
        return asdict(self)


@dataclass(frozen=True)
class Deviation:
    """Achieved less predicted DVH of one organ of one patient, e(v) = D_achieved(v) - D_predicted(v).

    Attributes
    ----------
    abs_mean_gy, signed_mean_gy
        Mean of |e(v)| and of e(v) over the volumes 1 to 99 %, in steps of 1 %.
    std_over_curve_gy, abs_std_over_curve_gy
        Standard deviation over the same volumes of e(v) and of |e(v)|.
    mean_dose_gy
        Achieved less predicted mean dose.
    volume_abs_mean_percent
        Mean of |V_achieved(d) - V_predicted(d)| over the doses from 0 to the larger maximum, every 0.5 Gy.
    end_caps, between_planes
        How both DVHs were made.
    """

    abs_mean_gy: float
    signed_mean_gy: float
    std_over_curve_gy: float
    abs_std_over_curve_gy: float
    mean_dose_gy: float
    volume_abs_mean_percent: float
    end_caps: EndCaps
    between_planes: BetweenPlanes

    @property
    def square_mean_gy2(self) -> float:
        """Mean of e(v)²."""
        return self.std_over_curve_gy**2 + self.signed_mean_gy**2


def deviation(predicted: Dvh, achieved: Dvh) -> Deviation:
    """Measure how far an achieved DVH lies from its prediction.

    Parameters
    ----------
    predicted, achieved
        DVHs of one structure by one policy; see :func:`bridge.rt.dvh_compare.compare_dvhs`.

    Raises
    ------
    StructureRefusal
        The DVHs cannot be compared, or the two doses cover different parts of the structure
        (``variability-coverage``): curves of different parts of an organ say nothing of each other.
    """
    difference = compare_dvhs(predicted, achieved)
    if abs(predicted.coverage - achieved.coverage) > _COVERAGE_DIFFERENCE:
        raise StructureRefusal(
            "variability-coverage",
            f"The predicted dose covers {100 * predicted.coverage:.0f} % of {predicted.roi_name!r}, the achieved dose "
            f"{100 * achieved.coverage:.0f} %; both must cover the same.",
            roi=predicted.roi_name,
        )
    square = difference.std_over_curve_gy**2 + difference.mean_signed_gy**2
    return Deviation(
        abs_mean_gy=difference.mean_abs_gy,
        signed_mean_gy=difference.mean_signed_gy,
        std_over_curve_gy=difference.std_over_curve_gy,
        # var |e| = mean e² - (mean |e|)²; rounding must not make it negative where |e| is constant
        abs_std_over_curve_gy=float(np.sqrt(max(square - difference.mean_abs_gy**2, 0.0))),
        mean_dose_gy=difference.mean_dose_gy,
        volume_abs_mean_percent=_volume_difference(predicted, achieved),
        end_caps=achieved.policy.end_caps,
        between_planes=achieved.policy.between_planes,
    )


def _volume_difference(predicted: Dvh, achieved: Dvh) -> float:
    doses = np.arange(0.0, max(predicted.max_gy, achieved.max_gy) + _DOSE_STEP_GY, _DOSE_STEP_GY)
    apart = [abs(achieved.percent_at_dose(float(d)) - predicted.percent_at_dose(float(d))) for d in doses]
    return float(np.mean(apart))


@dataclass(frozen=True)
class Series:
    """The deviations of one organ over patients, all under the same conditions.

    Attributes
    ----------
    organ
        Name, of TG-263 where there is one.
    conditions
        What they depend on.
    deviations
        By patient.

    Raises
    ------
    StructureRefusal
        A deviation was measured on DVHs of another policy than the conditions say (``variability-policy``).
    """

    organ: str
    conditions: Conditions
    deviations: Mapping[str, Deviation]

    def __post_init__(self) -> None:
        stated = (self.conditions.end_caps, self.conditions.between_planes)
        for patient, found in self.deviations.items():
            if (found.end_caps, found.between_planes) != stated:
                raise StructureRefusal(
                    "variability-policy",
                    f"A DVH of {self.organ!r} was made with end caps {found.end_caps} and {found.between_planes} "
                    f"between planes; stated are {stated[0]} and {stated[1]}.",
                    roi=self.organ,
                    patient=patient,
                )

    @property
    def n(self) -> int:
        """Number of patients."""
        return len(self.deviations)
