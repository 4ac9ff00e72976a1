"""PlanningPatient: CT, body, targets and structures on the dose grid, as the dose engine sees them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bridge.rt.anatomy import AIR_HU, dose_grid
from bridge.rt.arrays import VoxelArray
from bridge.rt.dvh import DvhPolicy
from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.grid import Grid
from bridge.rt.rasterize import mask_of
from bridge.rt.sampling import StructureSamples, sample_structure
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume, Volume

__all__ = ["PlanningPatient", "averaged", "patient_on_grid"]

_HALF = 0.5

_ON_THE_EDGE = 1e-6
"""Voxels by which a position may lie outside by rounding alone; the tolerance of :meth:`Volume.resampled`."""

_LEAST_SAMPLES = 12_000
"""Of a structure that is smaller than as many voxels; the others have one for each voxel. With 4,000 the outermost 1 to
2 mm of a target go unseen, and its D99% comes out 2 Gy below what was asked."""

_FINEST_MM = 0.25
"""Distance of samples below which no DVH changes; see :mod:`bridge.rt.sampling`."""


@dataclass(frozen=True, eq=False)
class PlanningPatient:
    """A patient on the dose grid.

    Attributes
    ----------
    ct
        CT numbers in HU, axes along the patient's +z, +y, +x; air outside the body.
    body, targets
        ``[z, y, x]``: where dose is computed, and what the beamlets cover.
    masks
        Structure number to the fraction of each voxel that is inside, ``[z, y, x]``.
    samples
        Structure number to points inside it, where there are contours to tell them: objectives look at the dose
        there, as a DVH does. Of a structure without them they look at the voxels.

    Raises
    ------
    StructureRefusal
        There is no body (``no-body``) or no target in it (``no-target``).
    """

    ct: CtVolume
    body: NDArray[np.bool_]
    targets: NDArray[np.bool_]
    masks: Mapping[int, VoxelArray]
    samples: Mapping[int, StructureSamples] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.body.any():
            raise StructureRefusal("no-body", "A dose calculation needs a body (EXTERNAL) with voxels in it.")
        if not (self.targets & self.body).any():
            raise StructureRefusal("no-target", "Beams are shaped to targets, and there is none inside the body.")

    @property
    def sha256(self) -> str:
        """Digest of what the dose influence depends on."""
        grid = self.ct.grid
        digest = hashlib.sha256(f"{grid.shape} {grid.frame_of_reference_uid}".encode())
        for array in (grid.affine, self.ct.values, self.body, self.targets):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def patient_on_grid(ct: CtVolume, structures: Sequence[Structure], spacing_mm: float) -> PlanningPatient:
    """Lay an isotropic dose grid over the body, and everything onto it.

    Parameters
    ----------
    ct
        On an axial grid of any of the eight standard orientations.
    structures
        With contours; one is of kind external, and at least one a target.
    spacing_mm
        Of the dose grid.

    Raises
    ------
    StructureRefusal
        No body or more than one, no target, or nothing of a structure on the grid.
    GeometryRefusal
        The CT is not axial, or a structure is in another frame of reference.
    """
    bodies = [structure for structure in structures if structure.kind == "external"]
    if len(bodies) != 1:
        raise StructureRefusal(
            "no-body" if not bodies else "external-ambiguous",
            f"A dose calculation needs one structure of type EXTERNAL, there are {len(bodies)}.",
        )
    grid = dose_grid(_upright(ct.grid), np.stack(bodies[0].bounds_mm()), spacing_mm)
    masks = {structure.number: mask_of(structure, grid).values for structure in structures}
    body = masks[bodies[0].number] >= _HALF
    targets = np.zeros(grid.shape, dtype=bool)
    for structure in structures:
        if structure.kind == "target":
            mask = masks[structure.number] * body
            # a target smaller than a voxel may fill none of them by half
            targets |= mask >= min(_HALF, float(mask.max())) if mask.any() else False
    on_grid = averaged(ct, grid, AIR_HU)
    samples = {
        structure.number: sample_structure(structure, DvhPolicy(sample_mm=_sample_mm(masks[structure.number], grid)))
        for structure in structures
    }
    return PlanningPatient(CtVolume(np.where(body, on_grid, np.float32(AIR_HU)), grid), body, targets, masks, samples)


def _sample_mm(mask: VoxelArray, grid: Grid) -> float:
    """Choose the distance of samples: that of the voxels, or what gives a small structure enough of them."""
    volume_mm3 = 1000.0 * grid.voxel_cc * float(mask.sum())
    return min(*grid.spacing_mm, max(float(np.cbrt(volume_mm3 / _LEAST_SAMPLES)), _FINEST_MM))


def averaged(volume: Volume, to: Grid, outside: float) -> VoxelArray:
    """Give the mean of a volume over each voxel of a coarser grid, by interpolating it at the finer spacing.

    Where the volume ends within a voxel, the mean is over what it covers: a patient goes on where a scan ends.

    Parameters
    ----------
    volume
        In the same frame of reference.
    to
        Grid of the result; its axes are those of the volume, in any order and direction.
    outside
        Value of voxels that the volume does not reach.

    Returns
    -------
    VoxelArray
        Of ``to.shape``.
    """
    finest = min(volume.grid.spacing_mm)
    parts = [max(1, math.ceil(spacing / finest - 1e-6)) for spacing in to.spacing_mm]
    affine = to.affine.copy()
    affine[:3, :3] = to.affine[:3, :3] / parts
    first = [[(1.0 / part - 1.0) / 2.0 for part in parts]]
    affine[:3, 3] = to.positions_mm(np.array(first))[0]
    nz, ny, nx = (size * part for size, part in zip(to.shape, parts, strict=True))
    fine = volume.resampled(to=Grid((nz, ny, nx), affine, to.frame_of_reference_uid), outside=0.0)
    (kz, ky, kx), (sz, sy, sx) = parts, to.shape
    total = fine.values.reshape(sz, kz, sy, ky, sx, kx).sum(axis=(1, 3, 5), dtype=np.float64)
    covered = _within(fine.grid, volume.grid)
    z, y, x = (within.reshape(size, -1).sum(axis=1) for within, size in zip(covered, to.shape, strict=True))
    samples = z[:, None, None] * y[:, None] * x
    mean = np.divide(total, samples, out=np.full(to.shape, outside), where=samples > 0)
    return np.asarray(mean, dtype=np.float32)


def _within(grid: Grid, other: Grid) -> list[NDArray[np.bool_]]:
    """Tell for each axis of a grid which of its voxels have their centres between those of the other grid's ends."""
    step = np.linalg.inv(other.affine) @ grid.affine
    found = []
    for axis, size in enumerate(grid.shape):
        along = int(np.abs(step[:3, axis]).argmax())
        index = step[along, axis] * np.arange(size) + step[along, 3]
        found.append((index >= -_ON_THE_EDGE) & (index <= other.shape[along] - 1 + _ON_THE_EDGE))
    return found


def _upright(grid: Grid) -> Grid:
    """Give the grid of the same voxels whose axes z, y, x point along the patient's +z, +y, +x."""
    if not grid.is_axial:
        raise GeometryRefusal("grid-not-axial", "A dose is planned on a CT with axial slices only.")
    steps = np.abs(grid.affine[:3, :3])
    axis = steps.argmax(axis=1)[::-1]  # array axis along z, y and x
    spacing = [grid.spacing_mm[n] for n in axis]
    nz, ny, nx = (grid.shape[n] for n in axis)
    x, y, z = grid.corners_mm().min(axis=0) + np.array(spacing[::-1]) / 2.0
    return Grid.axial((nz, ny, nx), (spacing[0], spacing[1], spacing[2]), (x, y, z), grid.frame_of_reference_uid)
