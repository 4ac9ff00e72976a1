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


def about_beams(anatomy: Anatomy, trained_deg: Sequence[float], *more_deg: Sequence[float]) -> list[Finding]:
    """Tell where a case has no beams, or others than the training plans.

    Parameters
    ----------
    trained_deg
        Of the training plans, and assumed where a case has none.
    more_deg
        Other sets of beams that there were training plans with.
    """
    if not anatomy.gantry_angles_deg:
        message = f"No beams are known; those of the training plans were assumed: {_listed(trained_deg)}."
        return [Finding("beams-assumed", "warning", message)]
    given = [supine_angle_deg(angle, anatomy.patient_position) for angle in anatomy.gantry_angles_deg]
    if any(_alike(given, beams) for beams in (trained_deg, *more_deg)):
        return []
    counts = " or ".join(str(len(beams)) for beams in (trained_deg, *more_deg))
    message = (
        f"The plan has {len(given)} beam angles, the training plans had {counts} ({_listed(trained_deg, *more_deg)}): "
        "the prediction is for beams that no training plan had."
    )
    return [Finding("beams-outside-training", "warning", message)]


def _listed(*sets_deg: Sequence[float]) -> str:
    sets = [", ".join(f"{angle:g}" for angle in _in_order(beams)) for beams in sets_deg]
    return f"gantry {'; or '.join(sets)} degrees, head first and supine"


def _in_order(beams_deg: Sequence[float]) -> list[float]:
    return sorted(angle % 360.0 for angle in beams_deg)


def _alike(one_deg: Sequence[float], other_deg: Sequence[float]) -> bool:
    """Tell whether two sets of beams are the same in order around the patient; 359.9 is next to 0."""
    one, other = _in_order(one_deg), _in_order(other_deg)
    return len(one) == len(other) and any(
        all(_apart_deg(mine, theirs) <= _SAME_ANGLE_DEG for mine, theirs in zip(one, turned, strict=True))
        for turned in (other[first:] + other[:first] for first in range(len(other)))
    )


def _apart_deg(one: float, other: float) -> float:
    around = abs(one - other) % 360.0
    return min(around, 360.0 - around)
