"""Shapes of phantoms: their volume and centroid are known in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray, Loop

__all__ = ["HEAD_AND_NECK", "PhantomStructure"]

_POINTS = 128
"""Points per contour. The polygon's radii are stretched so that its area is that of the ellipse."""

_STRETCH = math.sqrt(2.0 * math.pi / (_POINTS * math.sin(2.0 * math.pi / _POINTS)))


@dataclass(frozen=True)
class PhantomStructure:
    """An ellipsoid, or an elliptic cylinder along z.

    Attributes
    ----------
    name, interpreted_type
        ROI Name and RT ROI Interpreted Type.
    form
        ``"ellipsoid"`` or ``"cylinder"``.
    centre_mm
        Patient position (x, y, z) of the centre, which is the centroid.
    semi_axes_mm
        Along x, y, z; for a cylinder the last is half its length.
    hu
        CT number inside; later structures paint over earlier ones. None paints nothing.
    """

    name: str
    interpreted_type: str
    form: Literal["ellipsoid", "cylinder"]
    centre_mm: tuple[float, float, float]
    semi_axes_mm: tuple[float, float, float]
    hu: int | None = None

    @property
    def volume_cc(self) -> float:
        """Volume of the ideal shape: 4/3 pi abc or pi ab 2c."""
        a, b, c = self.semi_axes_mm
        return (4.0 / 3.0 if self.form == "ellipsoid" else 2.0) * math.pi * a * b * c / 1000.0

    def contour_at(self, z_mm: float) -> Loop | None:
        """Give the contour at a height, with exactly the area of the shape's section, or None outside."""
        reach = abs(z_mm - self.centre_mm[2]) / self.semi_axes_mm[2]
        if reach >= 1.0:
            return None
        scale = _STRETCH * (math.sqrt(1.0 - reach**2) if self.form == "ellipsoid" else 1.0)
        angle = 2.0 * np.pi * np.arange(_POINTS) / _POINTS
        x = self.centre_mm[0] + scale * self.semi_axes_mm[0] * np.cos(angle)
        y = self.centre_mm[1] + scale * self.semi_axes_mm[1] * np.sin(angle)
        return np.column_stack([x, y])

    def contains(self, positions_mm: FloatArray) -> NDArray[np.bool_]:
        """Say for positions ``(..., 3)`` whether they are inside."""
        u = (positions_mm - np.array(self.centre_mm)) / np.array(self.semi_axes_mm)
        if self.form == "ellipsoid":
            return np.asarray((u**2).sum(axis=-1) < 1.0)
        return np.asarray(((u[..., :2] ** 2).sum(axis=-1) < 1.0) & (np.abs(u[..., 2]) < 1.0))


HEAD_AND_NECK: tuple[PhantomStructure, ...] = (
    PhantomStructure("BODY", "EXTERNAL", "cylinder", (0, 0, 0), (85, 100, 75), 0),
    PhantomStructure("PTV_7000", "PTV", "ellipsoid", (22, -28, 4), (22, 20, 27), 20),
    PhantomStructure("PTV_5600", "PTV", "ellipsoid", (-24, -18, -24), (18, 20, 30), 20),
    PhantomStructure("Parotid_L", "ORGAN", "ellipsoid", (58, 4, 26), (13, 18, 22), -20),
    PhantomStructure("Parotid_R", "ORGAN", "ellipsoid", (-58, 4, 26), (13, 18, 22), -20),
    PhantomStructure("SpinalCord", "ORGAN", "cylinder", (0, 42, -15), (6, 6, 60), 30),
    PhantomStructure("Brainstem", "ORGAN", "ellipsoid", (0, 34, 58), (13, 12, 14), 35),
)
"""A neck with two targets and four organs, TG-263 names, isocentre-like origin in the middle."""
