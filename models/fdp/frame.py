"""The frame in which the network sees every patient: fixed voxels around the targets, in boxes of one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bridge.rt.arrays import FloatArray, VoxelArray
from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal
from bridge.rt.grid import Grid
from bridge.rt.rasterize import DrawnMask
from bridge.rt.volume import Mask
from models.fdp.axes import AlignedAxes, Axis

__all__ = ["BOX", "SPACING_MM", "Frame", "frame_of"]

SPACING_MM = (3.0, 4.0, 4.0)
"""Voxels of the network (z, y, x): OpenKBP's are 2 to 3.3 mm along z and 2.7 to 5.1 mm across."""

BOX = (96, 80, 104)
"""Voxels of one box (z, y, x), 288 x 320 x 416 mm: one shape, so that the exported network can be static. What the
OpenKBP plans give beyond it across is 0.014 Gy of their dose score (validation patients); with 64 voxels along y it
was 0.16 Gy, and 1.1 Gy of one patient's."""

MARGIN_MM = 36.0
"""How far the boxes reach beyond the targets along z; what the OpenKBP plans give beyond is 0.0004 Gy of their dose
score, and 0.005 Gy beyond 24 mm."""

BORDER_MM = 12.0
"""Least distance of the targets from the sides of the box."""

_LONGEST_MM = 600.0
"""Targets longer than this along z are no head and neck, and would need more boxes than anyone would wait for."""


@dataclass(frozen=True)
class Frame:
    """Where the network's voxels lie in one patient.

    Attributes
    ----------
    axes
        Along z, y and x; all boxes together.
    starts
        First voxel along z of each box.
    isocentre_mm
        Centre of the targets' extent ``(z, y, x)``, where the beams are aimed.
    """

    axes: tuple[Axis, Axis, Axis]
    starts: tuple[int, ...]
    isocentre_mm: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Give the number of voxels along z, y and x."""
        z, y, x = self.axes
        return z.n, y.n, x.n

    def grid(self, frame_of_reference_uid: str) -> Grid:
        """Give the voxels as a grid of the patient."""
        z, y, x = self.axes
        spacing_mm, origin_mm = (z.step_mm, y.step_mm, x.step_mm), (x.first_mm, y.first_mm, z.first_mm)
        return Grid.axial(self.shape, spacing_mm, origin_mm, frame_of_reference_uid)

    def boxes(self, values: VoxelArray, offset: int = 0) -> list[VoxelArray]:
        """Cut ``(..., z, y, x)`` into the boxes, each ``offset`` voxels further along every axis."""
        return [values[(..., *place)] for place in self._places(offset)]

    def joined(self, boxes: Mapping[int, Sequence[VoxelArray]]) -> VoxelArray:
        """Put boxes ``(z, y, x)`` together that were cut at one or several offsets, given by offset.

        Where two of one offset overlap, each counts by its distance from its own end; several offsets count alike where
        they reach. There is nothing where none does.
        """
        ramp = np.minimum(np.arange(1, BOX[0] + 1), np.arange(BOX[0], 0, -1)).astype(np.float32)[:, None, None]
        total, offsets = np.zeros(self.shape, dtype=np.float32), np.zeros(self.shape, dtype=np.float32)
        for offset, parts in boxes.items():
            sums, weights = np.zeros(self.shape, dtype=np.float32), np.zeros(self.shape, dtype=np.float32)
            for place, box in zip(self._places(offset), parts, strict=True):
                sums[place] += ramp * box
                weights[place] += ramp
            total += np.divide(sums, weights, out=sums, where=weights > 0)
            offsets += weights > 0
        return np.asarray(total / np.maximum(offsets, 1.0), dtype=np.float32)

    def _places(self, offset: int) -> list[tuple[slice, slice, slice]]:
        across = [slice(offset, offset + n) for n in BOX[1:]]
        return [(slice(start + offset, start + offset + BOX[0]), across[0], across[1]) for start in self.starts]


def frame_of(anatomy: Anatomy, margin_voxels: tuple[int, int, int] = (0, 0, 0)) -> Frame:
    """Lay the frame around the targets of an anatomy.

    Parameters
    ----------
    margin_voxels
        Voxels more on each side along z, y, x: room to shift the boxes.

    Raises
    ------
    ModelRefusal
        Targets so wide or so long that the boxes cannot hold them (``target-extent``).
    GeometryRefusal
        The grid is tilted.
    """
    aligned = AlignedAxes.of(anatomy.grid)
    ends = [_ends_mm(anatomy.masks[name], aligned) for name in anatomy.target_levels_gy]
    low, high = np.min([low for low, _ in ends], axis=0), np.max([high for _, high in ends], axis=0)
    extent = high - low
    room = np.array(BOX[1:]) * SPACING_MM[1:]
    if (extent[1:] + 2 * BORDER_MM > room).any() or extent[0] > _LONGEST_MM:
        raise ModelRefusal(
            "target-extent",
            f"The targets measure {extent[0]:.0f} x {extent[1]:.0f} x {extent[2]:.0f} mm (z, y, x); this model takes "
            f"up to {_LONGEST_MM:.0f} x {room[0] - 2 * BORDER_MM:.0f} x {room[1] - 2 * BORDER_MM:.0f} mm.",
        )
    isocentre = (low + high) / 2
    z = aligned.axes[0].centres_mm
    body = aligned.to_patient(anatomy.body.values)[(z > low[0]) & (z < high[0])]
    # the dose spreads from the targets through the body: half way between their centres loses least of it
    middle = [_middle_mm(body, number, aligned.axes[number]) for number in (1, 2)]
    slack = (room - extent[1:]) / 2 - BORDER_MM
    centre = np.array([isocentre[0], *(isocentre[1:] + np.clip((middle - isocentre[1:]) / 2, -slack, slack))])
    n_z = max(BOX[0], int(np.ceil((extent[0] + 2 * MARGIN_MM) / SPACING_MM[0])))
    counts = np.array([n_z, *BOX[1:]])
    n_boxes = 1 + int(np.ceil((n_z - BOX[0]) / (BOX[0] / 2)))
    starts = np.linspace(0, n_z - BOX[0], n_boxes).round().astype(int)
    counts = counts + 2 * np.array(margin_voxels)
    first = centre - (counts - 1) / 2 * SPACING_MM
    axes = tuple(Axis(float(f), s, int(n)) for f, s, n in zip(first, SPACING_MM, counts, strict=True))
    return Frame(
        (axes[0], axes[1], axes[2]),
        tuple(starts.tolist()),
        (float(isocentre[0]), float(isocentre[1]), float(isocentre[2])),
    )


def _others(number: int) -> tuple[int, ...]:
    return tuple(other for other in range(3) if other != number)


def _ends_mm(mask: Mask, aligned: AlignedAxes) -> tuple[FloatArray, FloatArray]:
    """Give where a target begins and ends ``(z, y, x)``: by its contours where there are any, else by its voxels."""
    low, high = np.empty(3), np.empty(3)
    if isinstance(mask, DrawnMask):
        # half a slice beyond the last plane, not half the gap before it: one stray plane must not move the beams
        half_slice = np.array([0.0, 0.0, mask.structure.slice_thickness_mm / 2.0])
        first, last = mask.structure.bounds_mm()
        first, last = first - half_slice, last + half_slice
        edges = np.array([[axis.edges_mm[0], axis.edges_mm[-1]] for axis in aligned.axes])
        return np.clip(first[::-1], *edges.T), np.clip(last[::-1], *edges.T)
    parts = aligned.to_patient(mask.values)
    inside = parts >= min(0.5, float(parts.max()))
    for number, axis in enumerate(aligned.axes):
        along = np.flatnonzero(inside.any(axis=_others(number)))
        low[number], high[number] = axis.edges_mm[along[0]], axis.edges_mm[along[-1] + 1]
    return low, high


def _middle_mm(body: VoxelArray, number: int, axis: Axis) -> float:
    """Give the middle of the body along an axis, leaving 2 % of it on each side out of account (an ear, a couch)."""
    amount = np.append(0.0, np.cumsum(body.sum(axis=_others(number), dtype=np.float64)))
    if amount[-1] == 0.0:
        return float(axis.centres_mm.mean())
    return float(np.interp(np.array([0.02, 0.98]) * amount[-1], amount, axis.edges_mm).mean())
