"""Grid: where the voxels of an array are in the patient.

A grid travels with every array. Two grids are compared, never assumed equal: equal shapes prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bridge.rt.arrays import FloatArray, Points
from bridge.rt.errors import GeometryRefusal

__all__ = ["POSITION_TOLERANCE_MM", "Grid"]

POSITION_TOLERANCE_MM = 0.01
"""Positions closer than this are the same; DICOM decimal strings round z in the third decimal."""

_ORTHOGONALITY_TOLERANCE = 1e-4
"""Largest cosine between two grid axes; scanners round direction cosines to about six decimals."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Regular voxel grid in patient coordinates (LPS, mm).

    Attributes
    ----------
    shape
        Number of voxels along ``(z, y, x)``, the array axes: slice, row, column.
    affine
        4 x 4 float64. ``affine @ [k, j, i, 1]`` is the patient position ``[x, y, z, 1]`` in mm of the centre
        of the voxel ``array[k, j, i]``. The columns are the steps along the array axes z, y, x.
    frame_of_reference_uid
        DICOM Frame of Reference UID (PS3.3 C.7.4.1); positions of different frames are not comparable.

    Raises
    ------
    GeometryRefusal
        A shape with no voxels, a non-finite or sheared affine, or an empty frame of reference.
    """

    shape: tuple[int, int, int]
    affine: FloatArray
    frame_of_reference_uid: str

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise GeometryRefusal("grid-shape", f"A grid needs three axes with voxels, got shape {self.shape}.")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or (affine[3] != (0, 0, 0, 1)).any():
            raise GeometryRefusal("grid-affine", "A grid needs a finite 4 x 4 affine whose last row is 0, 0, 0, 1.")
        if not self.frame_of_reference_uid:
            raise GeometryRefusal("grid-frame", "A grid needs a Frame of Reference UID.")
        if min(self.spacing_mm) <= 0:
            raise GeometryRefusal("grid-spacing", f"Voxel spacings must be positive, got {self.spacing_mm} mm.")
        axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
        if np.abs(axes.T @ axes - np.eye(3)).max() > _ORTHOGONALITY_TOLERANCE:
            raise GeometryRefusal("grid-sheared", "The grid axes are not at right angles (gantry tilt?).")

    @classmethod
    def axial(
        cls,
        shape: tuple[int, int, int],
        spacing_mm: tuple[float, float, float],
        origin_mm: tuple[float, float, float],
        frame_of_reference_uid: str,
    ) -> Grid:
        """Make a grid whose array axes z, y, x point along the patient's +z, +y, +x (head-first supine).

        Parameters
        ----------
        shape, spacing_mm
            In array order ``(z, y, x)``.
        origin_mm
            Patient position ``(x, y, z)`` of the centre of voxel ``[0, 0, 0]``.
        frame_of_reference_uid
            Frame of reference of the positions.
        """
        dz, dy, dx = spacing_mm
        x, y, z = origin_mm
        affine = np.array([[0, 0, dx, x], [0, dy, 0, y], [dz, 0, 0, z], [0, 0, 0, 1]], dtype=np.float64)
        return cls(shape, affine, frame_of_reference_uid)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along the array axes ``(z, y, x)``."""
        dz, dy, dx = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(dz), float(dy), float(dx)

    @property
    def voxel_cc(self) -> float:
        """Volume of one voxel in cc."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def is_axial(self) -> bool:
        """Whether slices lie in patient planes of constant z and rows and columns run along ±x or ±y.

        True for all eight standard patient positions (HFS to FFDR).
        """
        step = np.abs(self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0))
        # all cosines near 0 or 1: a cosine of 1e-4 below 1 would be a tilt of 0.8 degrees, 2 mm at 150 mm
        along_axes = np.minimum(step, np.abs(1.0 - step)).max() <= _ORTHOGONALITY_TOLERANCE
        return bool(along_axes and step[2, 0] > 0.5)

    def positions_mm(self, indices: FloatArray) -> Points:
        """Give the patient positions ``(n, 3)`` [x, y, z] of (fractional) voxel indices ``(n, 3)`` [k, j, i]."""
        indices = np.asarray(indices, dtype=np.float64)
        return np.asarray(indices @ self.affine[:3, :3].T + self.affine[:3, 3])

    def indices(self, positions_mm: Points) -> FloatArray:
        """Give the fractional voxel indices ``(n, 3)`` [k, j, i] of patient positions ``(n, 3)`` [x, y, z]."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(np.asarray(positions_mm, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3])

    def corners_mm(self) -> Points:
        """Give the eight outer corners ``(8, 3)`` of the voxels (not of the voxel centres)."""
        ends = [(-0.5, n - 0.5) for n in self.shape]
        return self.positions_mm(np.array(np.meshgrid(*ends, indexing="ij")).reshape(3, -1).T)

    def matches(self, other: Grid) -> bool:
        """Whether both grids have the same frame, shape and voxel positions to 0.01 mm everywhere."""
        if self.frame_of_reference_uid != other.frame_of_reference_uid or self.shape != other.shape:
            return False
        return bool(np.abs(self.corners_mm() - other.corners_mm()).max() <= POSITION_TOLERANCE_MM)

    def require_same_frame(self, other: Grid) -> None:
        """Refuse to relate positions of two different frames of reference.

        Raises
        ------
        GeometryRefusal
            The frames differ (``frame-of-reference``).
        """
        if self.frame_of_reference_uid != other.frame_of_reference_uid:
            raise GeometryRefusal(
                "frame-of-reference",
                f"Two objects are in different frames of reference: {self.frame_of_reference_uid} and "
                f"{other.frame_of_reference_uid}. Their positions cannot be compared without a registration.",
            )
