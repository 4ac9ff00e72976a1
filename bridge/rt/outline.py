"""Contours of a mask, along the edges of its voxels: what a planning system would have drawn to get that mask."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from bridge.rt.arrays import Loop
from bridge.rt.errors import StructureRefusal
from bridge.rt.structure import Plane, RoiKind, Structure
from bridge.rt.volume import Mask

__all__ = ["outlined"]

_HALF = 0.5


def outlined(mask: Mask, number: int, name: str, kind: RoiKind) -> Structure:
    """Give the structure whose contours run along the edges of the voxels of a mask, on their slices.

    Between the first and the last slice, one without voxels is an empty plane: its neighbours must not fill it.

    Parameters
    ----------
    mask
        On an axial grid whose slices ascend; a voxel that is inside by half counts whole.
    number, name, kind
        Of the structure. An organ goes by its name as its standard name, too.

    Raises
    ------
    StructureRefusal
        No voxel is inside (``structure-empty``).
    """
    inside = mask.values >= _HALF
    slices = np.flatnonzero(inside.any(axis=(1, 2)))
    if not len(slices):
        raise StructureRefusal("structure-empty", f"Structure {name!r} has no voxel to draw contours around.", roi=name)
    planes = []
    for index in range(slices[0], slices[-1] + 1):
        z_mm = float(mask.grid.positions_mm(np.array([[index, 0.0, 0.0]]))[0, 2])
        planes.append(Plane(z_mm, tuple(_in_mm(loop, mask) for loop in _outlines(inside[index]))))
    return Structure(
        number, name, kind, tuple(planes), mask.grid.frame_of_reference_uid, mask.grid.spacing_mm[0],
        standard_name=name if kind == "organ" else None,
    )  # fmt: skip


def _outlines(voxels: NDArray[np.bool_]) -> list[Loop]:
    """Give the boundaries of the voxels of a slice in (column, row), holes as loops of their own."""
    boxes = []
    for row in np.flatnonzero(voxels.any(axis=1)):
        edges = np.flatnonzero(np.diff(np.pad(voxels[row].astype(np.int8), 1)))
        boxes += [shapely.box(start, row, stop, row + 1) for start, stop in edges.reshape(-1, 2)]
    loops: list[Loop] = []
    for part in shapely.get_parts(shapely.union_all(boxes)):
        for boundary in (part.exterior, *part.interiors):
            loops.append(shapely.get_coordinates(shapely.simplify(boundary, 0.0))[:-1])
    return loops


def _in_mm(loop: Loop, mask: Mask) -> Loop:
    index = np.column_stack([np.zeros(len(loop)), loop[:, 1] - 0.5, loop[:, 0] - 0.5])
    return np.asarray(mask.grid.positions_mm(index)[:, :2])
