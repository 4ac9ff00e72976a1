"""Orientation: image directions of axial images and the eight standard patient positions."""

from __future__ import annotations

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import DicomRefusal, GeometryRefusal

__all__ = ["STANDARD_ORIENTATIONS", "axial_normal", "require_patient_position", "usual_orientation"]

STANDARD_ORIENTATIONS: dict[str, tuple[float, float, float, float, float, float]] = {
    "HFS": (1, 0, 0, 0, 1, 0),
    "HFP": (-1, 0, 0, 0, -1, 0),
    "HFDR": (0, 1, 0, -1, 0, 0),
    "HFDL": (0, -1, 0, 1, 0, 0),
    "FFS": (-1, 0, 0, 0, 1, 0),
    "FFP": (1, 0, 0, 0, -1, 0),
    "FFDR": (0, -1, 0, -1, 0, 0),
    "FFDL": (0, 1, 0, 1, 0, 0),
}
"""Patient position to Image Orientation (Patient), row then column direction, as a scanner has it (PS3.3 C.7.3.1.1.2).

The columns point down to the floor: to posterior (+y) when supine, anterior (-y) when prone, to the patient's right
(-x) or left (+x) when lying on that side. The rows follow from row x column pointing into the gantry: towards the
head (+z) when head first, towards the feet (-z) when feet first.
"""

_COSINE_TOLERANCE = 1e-4
"""Direction cosines are rounded to about six decimals; 1e-4 is 0.006 degrees, 0.05 mm over a 500 mm image."""


def require_patient_position(value: str) -> str:
    """Give the patient position if it is one of the eight recumbent ones.

    Raises
    ------
    GeometryRefusal
        ``patient-position``.
    """
    if value not in STANDARD_ORIENTATIONS:
        raise GeometryRefusal(
            "patient-position", f"The patient position is none of {', '.join(STANDARD_ORIENTATIONS)}."
        )
    return value


def axial_normal(orientation: FloatArray) -> FloatArray:
    """Give row x column of axial image directions: (0, 0, 1) or (0, 0, -1), to rounding.

    Parameters
    ----------
    orientation
        Image Orientation (Patient), shape ``(6,)``: row direction, then column direction.

    Raises
    ------
    DicomRefusal
        ``orientation-invalid``: not two unit vectors at right angles.
    GeometryRefusal
        ``orientation-oblique``: not axial, or turned in plane by other than a quarter.
    """
    row, column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if np.abs(np.subtract(lengths, 1.0)).max() > _COSINE_TOLERANCE or abs(row @ column) > _COSINE_TOLERANCE:
        raise DicomRefusal(
            "orientation-invalid", "Image Orientation (Patient) is not two unit vectors at right angles."
        )
    if any(np.sort(np.abs(axis))[1] > _COSINE_TOLERANCE for axis in (row, column)) or abs(row[2] + column[2]) > 0.5:
        raise GeometryRefusal(
            "orientation-oblique",
            f"The image is not axial with rows along x or y: Image Orientation (Patient) is "
            f"{np.round(orientation, 4).tolist()}. Reformat it to axial slices.",
        )
    return np.asarray(np.cross(row, column))


def usual_orientation(orientation: FloatArray, patient_position: str) -> bool:
    """Say whether the directions are those that a scanner gives for the patient position."""
    return np.allclose(orientation, STANDARD_ORIENTATIONS[patient_position], rtol=0, atol=1e-3)
