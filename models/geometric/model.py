"""GeometricModel: the expected dose on the grid of an anatomy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import VoxelArray
from bridge.rt.case import Anatomy
from models.geometric.distance import axial_gap_mm, box_of, solid_voxels, surface_distance_mm
from models.geometric.dose import expected_dose_gy
from models.geometric.parameters import PARAMETERS_NAME, GeometricParameters
from models.predictor import Estimate
from models.preference import Preference

__all__ = ["GeometricModel", "Geometry", "geometry_of"]

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Geometry:
    """What the expected dose of some voxels depends on; ``n`` voxels of the body.

    Attributes
    ----------
    voxels
        Which voxels these are: true ``n`` times, axes ``[z, y, x]`` of the anatomy.
    levels_gy
        The different levels, highest first.
    distances_mm
        For each level ``(n,)`` distances from the surface of its targets, 0 inside.
    gap_mm
        ``(n,)`` distances along z beyond the slices with any target.
    organs
        Organ name to ``(n,)`` whether the voxel is in it and in no target.
    """

    voxels: BoolArray
    levels_gy: tuple[float, ...]
    distances_mm: tuple[VoxelArray, ...]
    gap_mm: VoxelArray
    organs: dict[str, BoolArray]


def geometry_of(
    anatomy: Anatomy, organs: tuple[str, ...], axial_stretch: float, where: BoolArray | None = None
) -> Geometry:
    """Measure an anatomy.

    Parameters
    ----------
    anatomy
        Its targets must have voxels.
    organs
        Names of the organs to tell apart; those that the anatomy does not have are left out.
    axial_stretch
        How many times a distance along z counts.
    where
        Voxels to measure, within the body; default: the whole body.
    """
    spacing_mm = anatomy.grid.spacing_mm
    body = anatomy.body.values >= 0.5
    by_level: dict[float, BoolArray] = {}
    for name, level_gy in sorted(anatomy.target_levels_gy.items(), key=lambda item: -item[1]):
        voxels = solid_voxels(anatomy.masks[name].values)
        by_level[level_gy] = by_level[level_gy] | voxels if level_gy in by_level else voxels
    targets: BoolArray = np.logical_or.reduce(list(by_level.values()))
    # all distances that matter lie in the box around body and targets: outside it there is no dose
    box = box_of(body | targets)
    chosen = body if where is None else body & where
    pick = chosen[box]
    distances_mm = [surface_distance_mm(voxels[box], spacing_mm, axial_stretch, pick) for voxels in by_level.values()]
    slices = np.broadcast_to(axial_gap_mm(targets[box], spacing_mm[0])[:, None, None], pick.shape)
    outside_targets = ~targets[box][pick]
    return Geometry(
        voxels=chosen,
        levels_gy=tuple(by_level),
        distances_mm=tuple(distances_mm),
        gap_mm=slices[pick],
        organs={
            name: (anatomy.masks[name].values[box][pick] >= 0.5) & outside_targets
            for name in organs
            if name in anatomy.masks
        },
    )


@dataclass(frozen=True)
class GeometricModel:
    """Expected dose by :func:`models.geometric.dose.expected_dose_gy`; it has no preferences and ignores the CT."""

    parameters: GeometricParameters

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read the model from its folder.

        Raises
        ------
        ModelRefusal
            The parameters cannot be used.
        """
        return cls(GeometricParameters.read(folder / PARAMETERS_NAME))

    def prepare(self, anatomy: Anatomy) -> GeometricDose:
        """Compute the expected dose, zero outside the body."""
        parameters = self.parameters
        geometry = geometry_of(anatomy, tuple(parameters.sparing), parameters.axial_stretch)
        doses = expected_dose_gy(geometry.levels_gy, geometry.distances_mm, geometry.gap_mm, parameters)
        for name, inside in geometry.organs.items():
            doses[inside] *= parameters.sparing[name]
        dose_gy = np.zeros(anatomy.grid.shape, dtype=np.float32)
        dose_gy[geometry.voxels] = doses
        return GeometricDose(dose_gy)


@dataclass(frozen=True, eq=False)
class GeometricDose:
    """The expected dose of one anatomy; the card allows no preference, so that is all there is."""

    dose_gy: VoxelArray

    def estimate(self, preference: Preference) -> Estimate:
        """Give the dose."""
        return Estimate(self.dose_gy)
