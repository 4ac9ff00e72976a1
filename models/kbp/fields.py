"""What the fields of a plan see of the patient before anyone has optimized anything, at single voxels.

Each field's aperture is the projection of the targets from its source on the isocentre plane, its jaws the rectangle
around that. The dose of such open conformal fields falls off with depth and with the square of the distance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge.rt.arrays import FloatArray, VoxelArray
from bridge.rt.beams import towards_source
from bridge.rt.case import Anatomy
from models.fdp.axes import AlignedAxes, Axis
from models.fdp.beams import ATTENUATION_PER_MM, SOURCE_MM, beam_geometry, depth_mm
from models.geometric.distance import box_of

__all__ = ["SeenByFields", "seen_by_fields"]

BoolArray = NDArray[np.bool_]

_PIXEL_MM = 2.5
_CLOSED_PIXELS = 3
"""A projected voxel is wider than a pixel: gaps between the pixels of voxel centres are closed, up to this."""


@dataclass(frozen=True, eq=False)
class SeenByFields:
    """What the fields do to ``n`` voxels.

    Attributes
    ----------
    share
        Shape ``(n,)``: part of the fields whose aperture sees the voxel, 0 to 1.
    in_jaws
        Shape ``(n,)``: whether it lies within the jaws of any field.
    conformal_gy
        Shape ``(n,)``: dose of open conformal fields that give each level on average to the targets of at least that
        level; the largest over the levels.
    """

    share: FloatArray
    in_jaws: BoolArray
    conformal_gy: FloatArray


def seen_by_fields(
    anatomy: Anatomy, by_level: Mapping[float, BoolArray], gantry_deg: tuple[float, ...], where: BoolArray
) -> SeenByFields:
    """Look at voxels from the sources of all fields.

    Parameters
    ----------
    anatomy
        With its body.
    by_level
        Level in Gy to the voxels of its targets, on the anatomy's grid, highest level first.
    gantry_deg
        One coplanar field from each IEC 61217 gantry angle, aimed at the middle of the targets' extent.
    where
        The voxels: true ``n`` times, and in all targets.

    Raises
    ------
    GeometryRefusal
        The grid is tilted against the patient's axes, or the patient position is unknown.
    """
    frame = _Frame(anatomy, np.logical_or.reduce(list(by_level.values())))
    z, y, x = frame.indices(where)
    # targets of at least each level, as places among the voxels
    covered = np.logical_or.accumulate([voxels[where] for voxels in by_level.values()])
    share = np.zeros(len(z))
    in_jaws = np.zeros(len(z), dtype=bool)
    open_dose = np.zeros((len(by_level), len(z)))
    for angle in gantry_deg:
        beam = beam_geometry(frame.axes, frame.isocentre_mm, towards_source(angle, anatomy.patient_position))
        magnification = (SOURCE_MM / beam.from_source_mm)[y, x]
        u, v = beam.lateral_mm[y, x] * magnification, beam.height_mm[z] * magnification
        depth = depth_mm(frame.body, frame.axes, beam)[z, y, x]
        weight = np.exp(-ATTENUATION_PER_MM * depth) * magnification**2
        in_jaws |= _in_jaws(u, v, covered[-1])
        seen = np.stack([_in_aperture(u, v, targets) for targets in covered])
        open_dose += seen * weight
        share += seen[-1]
    levels = np.array(list(by_level))
    to_level = [level / dose[targets].mean() for level, dose, targets in zip(levels, open_dose, covered, strict=True)]
    conformal = (open_dose * np.array(to_level)[:, None]).max(axis=0)
    return SeenByFields(share / len(gantry_deg), in_jaws, conformal)


class _Frame:
    """The box around body and targets along the patient's axes."""

    def __init__(self, anatomy: Anatomy, targets: BoolArray) -> None:
        self._aligned = AlignedAxes.of(anatomy.grid)
        body = self._aligned.to_patient(anatomy.body.values)
        inside = self._aligned.to_patient(targets.astype(np.float32)) > 0
        self._box = box_of((body >= 0.5) | inside)
        z, y, x = (
            Axis(axis.first_mm + part.start * axis.step_mm, axis.step_mm, part.stop - part.start)
            for axis, part in zip(self._aligned.axes, self._box, strict=True)
        )
        self.axes = (z, y, x)
        self.body: VoxelArray = np.ascontiguousarray(body[self._box])
        middle = [
            float(axis.edges_mm[[part.start, part.stop]].mean())
            for axis, part in zip(self.axes, box_of(inside[self._box]), strict=True)
        ]
        self.isocentre_mm = (middle[0], middle[1], middle[2])

    def indices(self, where: BoolArray) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Give the places in the box of voxels of the grid, in the grid's order."""
        found = np.nonzero(where)
        z, y, x = (
            (where.shape[along] - 1 - found[along] if flipped else found[along]) - part.start
            for along, flipped, part in zip(self._aligned.order, self._aligned.flipped, self._box, strict=True)
        )
        return z, y, x


def _in_jaws(u: FloatArray, v: FloatArray, targets: BoolArray) -> BoolArray:
    inside = np.ones(len(u), dtype=bool)
    for along in (u, v):
        of_targets = along[targets]
        inside &= (along >= of_targets.min() - _PIXEL_MM) & (along <= of_targets.max() + _PIXEL_MM)
    return inside


def _in_aperture(u: FloatArray, v: FloatArray, targets: BoolArray) -> BoolArray:
    """Say which points ``(u, v)`` of the isocentre plane the projected targets cover, with a pixel's margin."""
    column, row = np.rint(u / _PIXEL_MM).astype(np.intp), np.rint(v / _PIXEL_MM).astype(np.intp)
    border = _CLOSED_PIXELS + 1
    first = column[targets].min() - border, row[targets].min() - border
    shape = column[targets].max() - first[0] + border + 1, row[targets].max() - first[1] + border + 1
    column, row = column - first[0], row - first[1]
    view = np.zeros(shape, dtype=bool)
    view[column[targets], row[targets]] = True
    view = ndimage.binary_closing(view, np.ones((_CLOSED_PIXELS, _CLOSED_PIXELS), dtype=bool))
    view = ndimage.binary_dilation(view)
    within = (column >= 0) & (column < shape[0]) & (row >= 0) & (row < shape[1])
    seen = np.zeros(len(u), dtype=bool)
    seen[within] = view[column[within], row[within]]
    return seen
