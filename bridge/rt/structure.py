"""Structures: closed contours on axial planes, as a planning system draws them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Literal

import numpy as np
import shapely

from bridge.rt.arrays import FloatArray, Loop
from bridge.rt.errors import GeometryRefusal

__all__ = ["Plane", "RoiKind", "Structure", "loop_area_mm2"]

RoiKind = Literal["target", "organ", "external", "support", "other"]
"""What a structure is for: decides whether it gets a prescription, objectives, or bounds the dose."""


def loop_area_mm2(loop: Loop) -> float:
    """Give the unsigned area of a closed loop ``(n, 2)`` by the shoelace formula."""
    x, y = loop[:, 0], loop[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


@dataclass(frozen=True, eq=False)
class Plane:
    """All closed contours of a structure on one axial plane.

    Attributes
    ----------
    z_mm
        Patient z of the plane.
    loops
        Closed contours ``(n, 2)`` in x, y mm, at least three points each. Together they bound a region by the
        even-odd rule: a loop inside a loop is a hole, and a keyhole cuts itself out. A derived structure may have
        a plane without loops: nothing is left of it there, and its neighbours must not fill the gap.
    """

    z_mm: float
    loops: tuple[Loop, ...]

    def __post_init__(self) -> None:
        if not np.isfinite(self.z_mm):
            raise GeometryRefusal("plane-position", f"A contour plane needs a finite z, got {self.z_mm}.")
        loops = []
        for loop in self.loops:
            points = np.array(loop, dtype=np.float64)
            if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
                raise GeometryRefusal(
                    "contour-shape", f"A contour at z = {self.z_mm:.2f} mm needs three or more finite points (x, y)."
                )
            points.setflags(write=False)
            loops.append(points)
        object.__setattr__(self, "loops", tuple(loops))
        object.__setattr__(self, "z_mm", float(self.z_mm))

    @cached_property
    def region(self) -> shapely.Geometry:
        """The even-odd region that the loops bound, in x, y mm; an empty polygon without loops."""
        loops = [shapely.make_valid(shapely.Polygon(loop)) for loop in self.loops]
        nothing: shapely.Geometry = shapely.Polygon()
        return reduce(shapely.symmetric_difference, loops, nothing)


@dataclass(frozen=True, eq=False)
class Structure:
    """One region of interest.

    Attributes
    ----------
    number
        ROI Number in its structure set; the key. Derived structures, which no structure set holds, have 0 or less.
    name
        ROI Name as the planning system has it: what is shown, and what objectives are written for.
    kind
        Target, organ, external, support or other.
    planes
        Planes in ascending z, no two at the same z; none for a structure without contours.
    standard_name
        TG-263 name when the site's table maps one, else None.
    slice_thickness_mm
        Image slice thickness: the thickness of a structure drawn on a single plane.
    frame_of_reference_uid
        Frame of the positions.
    """

    number: int
    name: str
    kind: RoiKind
    planes: tuple[Plane, ...]
    frame_of_reference_uid: str
    slice_thickness_mm: float
    standard_name: str | None = None

    def __post_init__(self) -> None:
        z = self.z_mm
        if len(z) > 1 and float(np.diff(z).min()) <= 0:
            raise GeometryRefusal(
                "plane-order",
                f"The planes of structure {self.name!r} must be at ascending, different z.",
                roi=self.name,
            )
        if not 0 < self.slice_thickness_mm < np.inf:
            raise GeometryRefusal(
                "slice-thickness",
                f"Structure {self.name!r} needs a positive slice thickness, got {self.slice_thickness_mm}.",
                roi=self.name,
            )

    @property
    def label(self) -> str:
        """TG-263 name where there is one, else the structure set's own name."""
        return self.standard_name or self.name

    @property
    def is_empty(self) -> bool:
        """Whether there is no contour at all."""
        return not any(plane.loops for plane in self.planes)

    @property
    def z_mm(self) -> FloatArray:
        """Plane positions in ascending z."""
        return np.array([plane.z_mm for plane in self.planes], dtype=np.float64)

    @cached_property
    def volume_cc(self) -> float:
        """Volume in cc of the regions between the first and the last plane, without end caps as Eclipse counts it."""
        if self.is_empty:
            return 0.0
        height_mm = np.diff(self.slab_edges_mm("none"), axis=1)[:, 0]
        return float(np.dot([shapely.area(plane.region) for plane in self.planes], height_mm)) / 1000.0

    def slab_edges_mm(self, end_caps: Literal["half_slice", "none"]) -> FloatArray:
        """Give the lower and upper z of the slab that each plane stands for.

        A plane stands for the space up to the middle between it and its neighbours. A gap wider than one and a
        half times the usual spacing is bridged in the same way. Outside the first and last plane a structure
        ends at that plane (``"none"``, as Eclipse) or half a spacing beyond it (``"half_slice"``). A single
        plane is one slice thickness high under either policy.

        Returns
        -------
        FloatArray
            Shape ``(n_planes, 2)``, mm.
        """
        z = self.z_mm
        if len(z) == 1:
            half = self.slice_thickness_mm / 2.0
            return np.array([[z[0] - half, z[0] + half]])
        middle = (z[1:] + z[:-1]) / 2.0
        first, last = z[0], z[-1]
        if end_caps == "half_slice":
            first, last = first - (z[1] - z[0]) / 2.0, last + (z[-1] - z[-2]) / 2.0
        edges = np.concatenate([[first], middle, [last]])
        return np.column_stack([edges[:-1], edges[1:]])

    def bounds_mm(self) -> tuple[FloatArray, FloatArray]:
        """Give the lowest and highest contour point ``[x, y, z]``.

        Raises
        ------
        GeometryRefusal
            The structure is empty.
        """
        if self.is_empty:
            raise GeometryRefusal("structure-empty", f"Structure {self.name!r} has no contours.", roi=self.name)
        points = np.concatenate([loop for plane in self.planes for loop in plane.loops])
        z = [plane.z_mm for plane in self.planes if plane.loops]
        return np.append(points.min(axis=0), min(z)), np.append(points.max(axis=0), max(z))
