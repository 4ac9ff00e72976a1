"""Treatment beams: what a plan says of each, in the terms of an RTPLAN."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TreatmentBeam"]


@dataclass(frozen=True)
class TreatmentBeam:
    """One beam at a fixed gantry angle whose intensity leaves modulate. Where the leaves are is not known.

    Attributes
    ----------
    number, name
        Unique in the plan.
    gantry_deg, collimator_deg, couch_deg
        IEC 61217, in [0, 360).
    isocentre_mm
        Patient coordinates ``(x, y, z)``.
    energy_mv
        Nominal energy of the photons.
    outline_mm
        ``(x1, y1, x2, y2)``: the rectangle around all fluence, in the isocentre plane along the collimator's axes.
    monitor_units
        Of one fraction.
    """

    number: int
    name: str
    gantry_deg: float
    collimator_deg: float
    couch_deg: float
    isocentre_mm: tuple[float, float, float]
    energy_mv: float
    outline_mm: tuple[float, float, float, float]
    monitor_units: float
