"""Dose references: constraints in the form in which an RTPLAN can carry them (PS3.3 C.8.8.10)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DoseReference"]


@dataclass(frozen=True)
class DoseReference:
    """One item of an RTPLAN's Dose Reference Sequence; all doses in Gy, all fractions in percent.

    Attributes
    ----------
    roi_number
        ROI in the structure set that the plan refers to.
    description
        Dose Reference Description (300A,0016), at most 64 characters.
    is_target
        TARGET or ORGAN_AT_RISK.
    weight
        Constraint Weight (300A,0021), or None.
    target_minimum_gy, target_prescription_gy, target_maximum_gy, target_underdose_percent
        (300A,0025), (300A,0026), (300A,0027), (300A,0028); targets only.
    organ_full_volume_gy, organ_limit_gy, organ_maximum_gy, organ_overdose_percent
        (300A,002A), (300A,002B), (300A,002C), (300A,002D); organs only.
    """

    roi_number: int
    description: str
    is_target: bool
    weight: float | None = None
    target_minimum_gy: float | None = None
    target_prescription_gy: float | None = None
    target_maximum_gy: float | None = None
    target_underdose_percent: float | None = None
    organ_full_volume_gy: float | None = None
    organ_limit_gy: float | None = None
    organ_maximum_gy: float | None = None
    organ_overdose_percent: float | None = None
