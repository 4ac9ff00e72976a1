"""How far two DVHs of one structure are apart: in dose at equal volume, and in both at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import Dvh
from bridge.rt.errors import StructureRefusal

__all__ = ["DvhDifference", "agreement_percent", "compare_dvhs"]

_VOLUMES_PERCENT: FloatArray = np.arange(1, 100).astype(np.float64)
"""1 to 99 %: the ends of a DVH are single samples."""


@dataclass(frozen=True)
class DvhDifference:
    """Differences of two DVHs, the second less the first.

    Attributes
    ----------
    mean_abs_gy, max_abs_gy
        Mean and largest the absolute ΔD(v) over the volumes 1 to 99 %.
    mean_signed_gy
        Mean ΔD(v): negative where the second dose is lower.
    std_over_curve_gy
        Standard deviation of ΔD(v) over the curve.
    mean_dose_gy, d003cc_gy
        Signed difference of mean dose and of D0.03cc.
    """

    mean_abs_gy: float
    max_abs_gy: float
    mean_signed_gy: float
    std_over_curve_gy: float
    mean_dose_gy: float
    d003cc_gy: float


def compare_dvhs(first: Dvh, second: Dvh) -> DvhDifference:
    """Compare two DVHs of one structure made by the same policy.

    Raises
    ------
    StructureRefusal
        They are of different structures or policies (``dvh-not-comparable``), or one is empty.
    """
    _require_comparable(first, second)
    difference = second.curve(_VOLUMES_PERCENT) - first.curve(_VOLUMES_PERCENT)
    return DvhDifference(
        mean_abs_gy=float(np.abs(difference).mean()),
        max_abs_gy=float(np.abs(difference).max()),
        mean_signed_gy=float(difference.mean()),
        std_over_curve_gy=float(difference.std()),
        mean_dose_gy=second.mean_gy - first.mean_gy,
        d003cc_gy=second.dose_at_cc(0.03) - first.dose_at_cc(0.03),
    )


def agreement_percent(
    first: Dvh, second: Dvh, *, dose_percent: float = 1.0, volume_percent: float = 1.0, bin_gy: float = 0.1
) -> float:
    """Give the share of the first DVH's bins that the second one passes within a dose and a volume tolerance.

    A bin at (D, V) passes if some point of the second curve lies within the ellipse of ``dose_percent`` of the first
    dose's maximum and ``volume_percent`` of the volume around it: a gamma index on the DVH (Ebert 2010).

    Returns
    -------
    float
        0 to 100.
    """
    _require_comparable(first, second)
    highest = max(first.max_gy, second.max_gy)
    doses = np.arange(0.0, highest + bin_gy, bin_gy)
    reference = np.array([first.percent_at_dose(float(dose)) for dose in doses])
    evaluated = np.array([second.percent_at_dose(float(dose)) for dose in doses])
    # the steep parts of a curve have few bins: put points of equal volume steps beside those of equal dose steps
    volumes = np.linspace(0.0, 100.0, 1001)
    points = np.concatenate(
        [np.column_stack([doses, evaluated]), np.column_stack([second.curve(volumes), volumes])]
    ) / (dose_percent / 100.0 * first.max_gy, volume_percent)
    targets = np.column_stack([doses, reference]) / (dose_percent / 100.0 * first.max_gy, volume_percent)
    squared = ((targets[:, None, :] - points[None, :, :]) ** 2).sum(axis=2).min(axis=1)
    return float(100.0 * np.mean(squared <= 1.0))


def _require_comparable(first: Dvh, second: Dvh) -> None:
    same = all(
        getattr(one, what) == getattr(other, what)
        for one, other, what in (
            (first, second, "roi_number"),
            (first, second, "roi_name"),
            (first.policy, second.policy, "end_caps"),
            (first.policy, second.policy, "between_planes"),
        )
    )
    if not same:
        raise StructureRefusal(
            "dvh-not-comparable",
            f"The DVHs are of {first.roi_name!r} ({first.policy.shape}) and {second.roi_name!r} "
            f"({second.policy.shape}); compare one structure under one policy.",
            roi=first.roi_name,
        )
    for dvh in (first, second):
        if dvh.is_empty:
            raise StructureRefusal(
                "dvh-empty", f"The DVH of {dvh.roi_name!r} is empty; there is nothing to compare.", roi=dvh.roi_name
            )
