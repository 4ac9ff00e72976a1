"""The dose score and the DVH score of the OpenKBP Grand Challenge (Babier et al., Medical Physics 48:5549, 2021).

The arithmetic follows the challenge's published evaluation to the letter, including what one would do otherwise
elsewhere: a near-maximum over one or two voxels, percentiles interpolated over voxels of equal weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bridge.rt.errors import GeometryRefusal, StructureRefusal

__all__ = ["CRITERIA", "ORGANS", "TARGETS", "dose_score", "dvh_criteria"]

ORGANS = ("Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Esophagus", "Larynx", "Mandible")
TARGETS = ("PTV56", "PTV63", "PTV70")

_NEAR_MAXIMUM_MM3 = 100.0

CRITERIA = tuple(
    [f"{roi} {metric}" for roi in ORGANS for metric in ("D0.1cc", "mean")]
    + [f"{roi} {metric}" for roi in TARGETS for metric in ("D99", "D95", "D1")]
)
"""The 23 criteria: near-maximum and mean of seven organs, D99%, D95% and D1% of three targets."""


def dose_score(
    reference_gy: NDArray[np.floating], predicted_gy: NDArray[np.floating], possible_dose: NDArray[np.bool_]
) -> float:
    """Give the dose score of one patient in Gy; the challenge's is the mean over patients.

    Parameters
    ----------
    reference_gy, predicted_gy
        Doses of one shape.
    possible_dose
        Where dose is possible. Errors anywhere count, divided by the number of these voxels.

    Raises
    ------
    GeometryRefusal
        The shapes differ, or no dose is possible anywhere.
    """
    if not reference_gy.shape == predicted_gy.shape == possible_dose.shape or not possible_dose.any():
        raise GeometryRefusal(
            "openkbp-shape",
            f"A dose score needs arrays of one shape and a mask that is not empty; got {reference_gy.shape}, "
            f"{predicted_gy.shape} and {possible_dose.shape}.",
        )
    difference = np.abs(reference_gy.astype(np.float64) - predicted_gy.astype(np.float64))
    return float(difference.sum() / np.count_nonzero(possible_dose))


def dvh_criteria(
    dose_gy: NDArray[np.floating], roi_voxels: Mapping[str, NDArray[np.bool_]], voxel_mm3: float
) -> dict[str, float]:
    """Give the criteria of one dose in Gy, for the structures that the patient has.

    The DVH score is the mean of the absolute differences between two doses over all patients and criteria.

    Parameters
    ----------
    dose_gy
        Dose in each voxel.
    roi_voxels
        OpenKBP structure name to its voxels; a structure without voxels has no criteria.
    voxel_mm3
        Volume of a voxel.

    Raises
    ------
    StructureRefusal
        A name that is not one of the challenge's (``openkbp-roi``).
    """
    unknown = sorted(set(roi_voxels) - {*ORGANS, *TARGETS})
    if unknown:
        raise StructureRefusal("openkbp-roi", f"{unknown[0]!r} is not a structure of OpenKBP.", roi=unknown[0])
    near_maximum_voxels = max(1, round(_NEAR_MAXIMUM_MM3 / voxel_mm3))
    criteria: dict[str, float] = {}
    for roi in (*ORGANS, *TARGETS):
        doses = dose_gy[roi_voxels[roi]].astype(np.float64) if roi in roi_voxels else np.empty(0)
        if not doses.size:
            continue
        if roi in TARGETS:
            values = np.percentile(doses, (1, 5, 99))
            criteria |= dict(zip((f"{roi} D99", f"{roi} D95", f"{roi} D1"), map(float, values), strict=True))
        else:
            # a structure of fewer voxels than the near-maximum takes gives its smallest dose
            share = max(0.0, 100.0 - 100.0 * near_maximum_voxels / doses.size)
            criteria[f"{roi} D0.1cc"] = float(np.percentile(doses, share))
            criteria[f"{roi} mean"] = float(doses.mean())
    return criteria
