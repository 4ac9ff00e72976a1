"""The beams of a case against those of a model's training plans, which are kept as a supine patient would have them."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.rt.beams import gantry_angle_deg, supine_angle_deg
from bridge.rt.case import Anatomy
from bridge.rt.findings import Finding

__all__ = ["about_beams", "beams_or_trained"]

_SAME_ANGLE_DEG = 1.0


def beams_or_trained(anatomy: Anatomy, trained_deg: Sequence[float]) -> tuple[float, ...]:
    """Give the gantry angles of a case; where it has none, those that come into this patient as in training.

    Parameters
    ----------
    trained_deg
        Of the training plans, as they would be of patients lying head first and supine.

    Raises
    ------
    GeometryRefusal
        The patient position is unknown.
    """
    return anatomy.gantry_angles_deg or tuple(
        gantry_angle_deg(angle, anatomy.patient_position) for angle in trained_deg
    )


def about_beams(anatomy: Anatomy, trained_deg: Sequence[float]) -> list[Finding]:
    """Tell where a case has no beams, or others than the training plans."""
    usual = sorted(angle % 360.0 for angle in trained_deg)
    listed = f"gantry {', '.join(f'{angle:g}' for angle in usual)} degrees, head first and supine"
    if not anatomy.gantry_angles_deg:
        message = f"No beams are known; those of the training plans were assumed: {listed}."
        return [Finding("beams-assumed", "warning", message)]
    given = sorted(supine_angle_deg(angle, anatomy.patient_position) for angle in anatomy.gantry_angles_deg)
    # in order around the patient, but which is the first may differ: 359.9 is next to 0
    alike = len(given) == len(usual) and any(
        all(_apart_deg(mine, theirs) <= _SAME_ANGLE_DEG for mine, theirs in zip(given, turned, strict=True))
        for turned in (usual[first:] + usual[:first] for first in range(len(usual)))
    )
    if alike:
        return []
    message = (
        f"The plan has {len(given)} beam angles, the training plans had {len(usual)} ({listed}): the prediction is for "
        "beams that no training plan had."
    )
    return [Finding("beams-outside-training", "warning", message)]


def _apart_deg(one: float, other: float) -> float:
    around = abs(one - other) % 360.0
    return min(around, 360.0 - around)
