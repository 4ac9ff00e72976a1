"""Gamma index of two doses, computed by pymedphys, which the extra ``[gamma]`` brings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import Failure, GeometryRefusal
from bridge.rt.volume import Dose

__all__ = ["GammaResult", "gamma_index"]

_INTERPOLATION = 10
"""Steps per distance criterion, as the library's authors recommend (Wendling 2007)."""

_MOST_GAMMA = 2.0
"""Searching further would only tell how badly a point fails."""


@dataclass(frozen=True)
class GammaResult:
    """What a gamma comparison found.

    Attributes
    ----------
    pass_percent
        Share of the evaluated points with a gamma of 1 or less.
    points
        Number of reference points above the cut-off that were evaluated.
    dose_percent, distance_mm, cutoff_percent
        The criteria: dose in percent of the reference's maximum (global), and the dose below which points are left
        out, in percent of the same.
    """

    pass_percent: float
    points: int
    dose_percent: float
    distance_mm: float
    cutoff_percent: float


def gamma_index(
    reference: Dose,
    evaluated: Dose,
    *,
    dose_percent: float = 3.0,
    distance_mm: float = 3.0,
    cutoff_percent: float = 10.0,
) -> GammaResult:
    """Compare two doses by the global gamma index (Low 1998).

    Parameters
    ----------
    reference, evaluated
        In one frame of reference, on any axial grids.
    dose_percent, distance_mm, cutoff_percent
        See :class:`GammaResult`.

    Raises
    ------
    GeometryRefusal
        Other frames of reference, a grid that is not axial (``grid-not-axial``), or no point of the reference above
        the cut-off that lies inside the evaluated grid (``gamma-empty``).
    Failure
        The extra is not installed (``gamma-extra-missing``).
    """
    try:
        import pymedphys
    except ImportError as error:
        raise Failure("gamma-extra-missing", "The gamma index needs pymedphys: install fdp-bridge[gamma].") from error
    reference.grid.require_same_frame(evaluated.grid)
    reference_axes, reference_gy = _ascending(reference)
    evaluated_axes, evaluated_gy = _ascending(evaluated)
    gamma = pymedphys.gamma(
        reference_axes,
        reference_gy,
        evaluated_axes,
        evaluated_gy,
        dose_percent_threshold=dose_percent,
        distance_mm_threshold=distance_mm,
        lower_percent_dose_cutoff=cutoff_percent,
        interp_fraction=_INTERPOLATION,
        max_gamma=_MOST_GAMMA,
    )
    found = gamma[np.isfinite(gamma)]
    if not len(found):
        raise GeometryRefusal("gamma-empty", "No point of the reference dose could be compared.")
    return GammaResult(float(100.0 * np.mean(found <= 1.0)), int(found.size), dose_percent, distance_mm, cutoff_percent)


def _ascending(dose: Dose) -> tuple[tuple[FloatArray, FloatArray, FloatArray], FloatArray]:
    """Give the patient coordinates of the array axes in ascending order, and the dose turned to them."""
    grid, values = dose.grid, dose.values.astype(np.float64)
    if not grid.is_axial:
        raise GeometryRefusal("grid-not-axial", "The gamma index is computed on axial grids only.")
    step = grid.affine[:3, :3]
    # which patient axis (x, y, z) each array axis runs along
    runs_along = [int(np.abs(step[:, axis]).argmax()) for axis in range(3)]
    coordinates = []
    for axis in range(3):
        positions = grid.affine[runs_along[axis], 3] + step[runs_along[axis], axis] * np.arange(grid.shape[axis])
        if positions[0] > positions[-1]:
            positions, values = positions[::-1], np.flip(values, axis)
        coordinates.append(positions)
    order = [runs_along.index(patient_axis) for patient_axis in (2, 1, 0)]
    z, y, x = (np.ascontiguousarray(coordinates[axis]) for axis in order)
    return (z, y, x), np.ascontiguousarray(values.transpose(order))
