"""DVHs for programs: the contents of ``dvh.json``, with units in the names of the keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import Dvh
from bridge.rt.provenance import Provenance

__all__ = ["DvhStatus", "dvh_json", "dvh_status"]

DvhStatus = Literal["complete", "partly_outside_dose_grid", "outside_dose_grid", "empty"]

_COVERAGE_ROUNDING = 1e-6


def dvh_status(dvh: Dvh) -> DvhStatus:
    """Give what a DVH stands for: the whole structure, a part of it, or nothing and why."""
    if dvh.is_empty:
        return "empty" if dvh.volume_cc == 0 else "outside_dose_grid"
    return "complete" if dvh.coverage > 1.0 - _COVERAGE_ROUNDING else "partly_outside_dose_grid"


def dvh_json(
    dvhs: Sequence[Dvh],
    metrics: Mapping[int, Mapping[str, float]],
    provenance: Provenance | None = None,
    *,
    dose_step_gy: float = 0.1,
) -> dict[str, object]:
    """Give the DVHs of one dose as plain JSON values.

    Parameters
    ----------
    dvhs
        In the order in which they are to be listed.
    metrics
        ROI number to metric name (which holds the unit) to value; a value that is not finite, such as the
        homogeneity of a target without dose, becomes null.
    provenance
        Where the dose comes from, or None for a dose that was only given.
    dose_step_gy
        Step of the cumulative histogram.

    Returns
    -------
    dict
        ``{"format", "version", "provenance", "structures"}``. A structure without samples has the status
        ``"empty"`` (no contours) or ``"outside_dose_grid"``, and null for metrics, curve and histogram. Curves are
        rounded to 0.0001 Gy and 0.0001 %, metrics are not rounded. No value is NaN or infinite.
    """
    return {
        "format": "fdp-bridge-dvh",
        "version": 1,
        "provenance": None if provenance is None else provenance.as_dict(),
        "structures": [_structure(dvh, metrics.get(dvh.roi_number), dose_step_gy) for dvh in dvhs],
    }


def _structure(dvh: Dvh, metrics: Mapping[str, float] | None, dose_step_gy: float) -> dict[str, object]:
    known = None if metrics is None or dvh.is_empty else {name: _finite(value) for name, value in metrics.items()}
    return {
        "roi_number": dvh.roi_number,
        "roi_name": dvh.roi_name,
        "status": dvh_status(dvh),
        "volume_cc": dvh.volume_cc,
        "volume_inside_dose_grid_cc": dvh.covered_cc,
        "coverage_fraction": dvh.coverage,
        "end_caps": dvh.policy.end_caps,
        "between_planes": dvh.policy.between_planes,
        "sample_mm": dvh.policy.sample_mm,
        "metrics": known,
        "curve": None if dvh.is_empty else _curve(dvh),
        "cumulative_histogram": None if dvh.is_empty else _histogram(dvh, dose_step_gy),
    }


def _curve(dvh: Dvh) -> dict[str, list[float]]:
    """Give D(v), the least dose of the hottest v, at 0 to 100 % of the volume."""
    volumes: FloatArray = np.arange(101, dtype=np.float64)
    return {"volume_percent": volumes.tolist(), "dose_gy": np.round(dvh.curve(volumes), 4).tolist()}


def _histogram(dvh: Dvh, step_gy: float) -> dict[str, object]:
    """Give V(d), the volume that gets d or more, from 0 Gy to the first step above the highest dose."""
    levels = np.arange(math.floor(dvh.max_gy / step_gy) + 2) * step_gy
    covered_cc = dvh.covered_cc
    volumes = [round(100.0 * dvh.cc_at_dose(float(level)) / covered_cc, 4) for level in levels]
    return {"dose_step_gy": step_gy, "volume_percent": volumes}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
