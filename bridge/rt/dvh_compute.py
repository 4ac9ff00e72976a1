"""From contours and a dose to a DVH: the reference path, which every other way to a DVH has to agree with."""

from __future__ import annotations

import numpy as np

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import GeometryRefusal
from bridge.rt.grid import Grid
from bridge.rt.sampling import sample_structure
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose

__all__ = ["DOSE_DECIMALS", "compute_dvh", "require_same_frame"]

DOSE_DECIMALS = 5
"""Interpolation and float32 scatter a uniform dose by a few 1e-6 Gy; V100% of it is 100 % only when rounded."""


def compute_dvh(structure: Structure, dose: Dose, policy: DvhPolicy | None = None) -> Dvh:
    """Compute the cumulative DVH of a structure: interpolate the dose trilinearly at its samples and sort.

    Parameters
    ----------
    structure
        Any structure. One without contours gives an empty DVH.
    dose
        Dose in the structure's frame of reference, on any grid.
    policy
        End caps and sampling; by default no end caps and a sampling chosen from the size.

    Returns
    -------
    Dvh
        With the policy as used. What lies outside the dose grid counts in ``volume_cc`` and lowers ``coverage``.

    Raises
    ------
    GeometryRefusal
        Structure and dose are in different frames of reference.
    """
    require_same_frame(structure, dose.grid)
    samples = sample_structure(structure, policy or DvhPolicy())
    at_points = dose.at(samples.points_mm)
    inside = np.isfinite(at_points)
    dose_gy, sample_cc = np.round(at_points[inside], DOSE_DECIMALS), samples.sample_cc[inside]
    order = np.argsort(dose_gy)
    return Dvh(
        structure.number,
        structure.name,
        dose_gy[order],
        sample_cc[order],
        float(samples.sample_cc.sum()),
        samples.policy,
    )


def require_same_frame(structure: Structure, grid: Grid) -> None:
    """Refuse a DVH across frames of reference."""
    if structure.frame_of_reference_uid != grid.frame_of_reference_uid:
        raise GeometryRefusal(
            "frame-of-reference",
            f"Structure {structure.name!r} and the dose are in different frames of reference; no DVH can be made.",
            roi=structure.name,
        )
