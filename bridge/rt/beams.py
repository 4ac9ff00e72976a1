"""Beam directions: IEC 61217 gantry angles in the coordinates of the patient, however the patient lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from bridge.rt.errors import GeometryRefusal

__all__ = ["PATIENT_POSITIONS", "gantry_angle_deg", "supine_angle_deg", "towards_source"]

_L, _R, _P, _A = (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)

PATIENT_POSITIONS: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = MappingProxyType(
    {
        "HFS": (_L, _A),
        "HFP": (_R, _P),
        "FFS": (_R, _A),
        "FFP": (_L, _P),
        "HFDR": (_P, _L),
        "HFDL": (_A, _R),
        "FFDR": (_A, _L),
        "FFDL": (_P, _R),
    }
)
"""Patient position (PS3.3 C.7.3.1.1.2) to what lies along +X and +Z of the fixed system of IEC 61217, as ``(x, y)`` of
the patient: where the gantry stands at 90 and at 0 degrees. Along +Y, to the gantry, lies the head, or the feet."""


def towards_source(gantry_deg: float, patient_position: str) -> tuple[float, float]:
    """Give the direction from isocentre to source as ``(x, y)`` in patient coordinates; couch at 0 degrees.

    Raises
    ------
    GeometryRefusal
        No such patient position (``patient-position``).
    """
    (right_x, right_y), (up_x, up_y) = _axes(patient_position)
    sine, cosine = math.sin(math.radians(gantry_deg)), math.cos(math.radians(gantry_deg))
    return sine * right_x + cosine * up_x, sine * right_y + cosine * up_y


def supine_angle_deg(gantry_deg: float, patient_position: str) -> float:
    """Give the gantry angle from which a beam comes the same way into a patient who lies head first and supine.

    Raises
    ------
    GeometryRefusal
        No such patient position (``patient-position``).
    """
    x, y = towards_source(gantry_deg, patient_position)
    return math.degrees(math.atan2(x, -y)) % 360.0


def gantry_angle_deg(supine_deg: float, patient_position: str) -> float:
    """Undo :func:`supine_angle_deg`: give the gantry angle of a beam that is known as a supine patient would have it.

    Raises
    ------
    GeometryRefusal
        No such patient position (``patient-position``).
    """
    (right_x, right_y), (up_x, up_y) = _axes(patient_position)
    x, y = towards_source(supine_deg, "HFS")
    return math.degrees(math.atan2(x * right_x + y * right_y, x * up_x + y * up_y)) % 360.0


def _axes(patient_position: str) -> tuple[tuple[float, float], tuple[float, float]]:
    axes = PATIENT_POSITIONS.get(patient_position)
    if axes is None:
        raise GeometryRefusal(
            "patient-position",
            f"Gantry angles mean nothing for a patient position {patient_position!r}; known are: "
            f"{', '.join(PATIENT_POSITIONS)}.",
        )
    return axes
