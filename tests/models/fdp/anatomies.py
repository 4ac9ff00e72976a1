"""Patients of boxes: on any grid, every mask is the exact part of each voxel, so that grids can be compared.

Nothing is symmetric, nothing lies at zero, and the high target lies to the left, so that a mistake shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.case import Anatomy
from bridge.rt.grid import Grid
from bridge.rt.volume import CtVolume, Mask
from tests.solids import FRAME, oriented_grid

Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""From and to along x, y and z, in mm from :data:`CENTRE_MM`."""

CENTRE_MM = (12.0, -140.0, 316.0)

HEAD_FIRST_SUPINE: FloatArray = np.column_stack([[0, 0, 1], [0, 1, 0], [1, 0, 0]]).astype(np.float64)

EXTENT_MM = (320.0, 240.0, 240.0)
"""Of the usual grid along x, y and z: 60 x 60 x 80 voxels of 4 mm."""

BODY: Box = ((-80, 80), (-100, 92), (-120, 120))
HIGH: Box = ((12, 44), (-20, 20), (-32, 32))
LOW: Box = ((-40, -8), (-16, 24), (-40, 32))
TARGETS: Mapping[str, tuple[float, Box]] = {"PTV_High": (70.0, HIGH), "PTV_Low": (56.0, LOW)}
ORGANS: Mapping[str, Box] = {
    "Parotid_L": ((48, 72), (-12, 28), (0, 40)),
    "Parotid_R": ((-72, -44), (-8, 28), (8, 40)),
    "SpinalCord": ((-8, 8), (48, 64), (-120, 40)),
    "Brainstem": ((-12, 12), (40, 68), (40, 88)),
}


def all_orientations() -> list[FloatArray]:
    """The unit steps ``(3, 3)`` along slice, row and column of each of the 48 ways to lay an array along the axes."""
    orders, signs = itertools.permutations(range(3)), list(itertools.product((1.0, -1.0), repeat=3))
    return [np.eye(3)[:, list(order)] * sign for order in orders for sign in signs]


def patient_grid(
    steps: FloatArray = HEAD_FIRST_SUPINE,
    spacing_mm: tuple[float, float, float] = (4.0, 4.0, 4.0),
    extent_mm: tuple[float, float, float] = EXTENT_MM,
) -> Grid:
    """A grid around the centre; spacing and extent along x, y and z of the patient."""
    along = np.abs(steps).argmax(axis=0)
    shape = [round(extent_mm[a] / spacing_mm[a]) for a in along]
    spacing = [spacing_mm[a] for a in along]
    return oriented_grid(steps, (shape[0], shape[1], shape[2]), (spacing[0], spacing[1], spacing[2]), CENTRE_MM)


def positions(grid: Grid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Patient coordinates x, y, z of every voxel, each of the grid's shape."""
    index = np.indices(grid.shape).reshape(3, -1).T.astype(np.float64)
    x, y, z = grid.positions_mm(index).T.reshape(3, *grid.shape)
    return x, y, z


def box_mask(grid: Grid, box: Box) -> Mask:
    """The exact part of each voxel that lies in a box."""
    parts = []
    for array_axis in range(3):
        column = grid.affine[:3, array_axis]
        along = int(np.abs(column).argmax())
        step = column[along]
        ends = grid.affine[along, 3] + step * np.stack([np.arange(grid.shape[array_axis]) + d for d in (-0.5, 0.5)])
        low, high = (CENTRE_MM[along] + end for end in box[along])
        inside = np.minimum(ends.max(axis=0), high) - np.maximum(ends.min(axis=0), low)
        parts.append(np.clip(inside / abs(step), 0.0, 1.0))
    values = parts[0][:, None, None] * parts[1][None, :, None] * parts[2][None, None, :]
    return Mask(values.astype(np.float32), grid)


def patient(
    grid: Grid | None = None,
    *,
    targets: Mapping[str, tuple[float, Box]] = TARGETS,
    organs: Mapping[str, Box] = ORGANS,
    body: Box = BODY,
    hu: float | None = 40.0,
    bone_hu: float | None = None,
    gantry_deg: tuple[float, ...] | None = (0.0, 100.0),
    position: str = "HFS",
) -> Anatomy:
    """A patient of boxes; ``hu`` everywhere in the body, ``bone_hu`` in the spinal cord's box where given."""
    grid = patient_grid() if grid is None else grid
    masks = {name: box_mask(grid, box) for name, (_, box) in targets.items()}
    masks |= {name: box_mask(grid, box) for name, box in organs.items()}
    whole = box_mask(grid, body)
    ct = None
    if hu is not None:
        numbers = np.where(whole.values >= 0.5, hu, -1000.0)
        if bone_hu is not None:
            numbers = np.where(masks["SpinalCord"].values >= 0.5, bone_hu, numbers)
        ct = CtVolume(numbers.astype(np.float32), grid)
    levels = {name: level for name, (level, _) in targets.items()}
    return Anatomy(grid, ct, whole, masks, levels, gantry_deg, position)


def mirrored(box: Box) -> Box:
    """The same box left for right."""
    (low, high), y, z = box
    return (-high, -low), y, z


def mirrored_patient(anatomy: Anatomy) -> Anatomy:
    """The patient that a mirror shows: left is right, and every paired organ changes its name.

    The affine keeps x, so that the array itself is turned round; CENTRE_MM is the middle.
    """
    swap = {"Parotid_L": "Parotid_R", "Parotid_R": "Parotid_L"}
    affine = anatomy.grid.affine.copy()
    affine[0] = -affine[0]
    affine[0, 3] += 2 * CENTRE_MM[0]
    grid = Grid(anatomy.grid.shape, affine, FRAME)
    masks = {swap.get(name, name): Mask(mask.values, grid) for name, mask in anatomy.masks.items()}
    ct = None if anatomy.ct is None else CtVolume(anatomy.ct.values, grid)
    angles = anatomy.gantry_angles_deg
    return Anatomy(
        grid,
        ct,
        Mask(anatomy.body.values, grid),
        masks,
        anatomy.target_levels_gy,
        None if angles is None else tuple(-angle for angle in angles),
        anatomy.patient_position,
    )
