"""An organ's regions, told apart by targets and fields, and the geometry of each as curves and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bridge.rt.arrays import FloatArray
from bridge.rt.case import Anatomy
from models.geometric.distance import solid_voxels
from models.geometric.dose import expected_dose_gy
from models.geometric.model import geometry_of
from models.geometric.parameters import GeometricParameters
from models.kbp.curves import curve_of
from models.kbp.fields import seen_by_fields

__all__ = ["NUMBERS", "REGIONS", "OrganGeometry", "Region", "RegionGeometry", "Voxels", "measure_organ", "voxels_of"]

BoolArray = NDArray[np.bool_]

Region = Literal["overlap", "in_field", "transmission", "out_of_field"]
"""Inside a target; seen through the aperture of a field; behind the leaves but within the jaws of one; the rest."""

REGIONS: tuple[Region, ...] = get_args(Region)

NUMBERS = (
    "log_organ_cc", "log_targets_cc", "log_highest_cc", "fields", "share_overlap", "share_in_field",
    "share_transmission",
)  # fmt: skip
"""Names of :attr:`OrganGeometry.numbers`. The shares of all regions add up to 1, so one of them says nothing new."""


@dataclass(frozen=True, eq=False)
class Voxels:
    """Geometry of the ``n`` voxels that lie in any structure and in the body.

    Attributes
    ----------
    where
        Which voxels of the grid, true ``n`` times.
    highest_gy, highest_cc, targets_cc
        Highest level; volume of its targets, and of all.
    level_gy
        Shape ``(n,)``: highest level of the targets that a voxel lies in, 0 in none.
    region
        Shape ``(n,)``: index into :data:`REGIONS`.
    expected, conformal, fields
        Shape ``(n,)``: expected dose by distance and dose of open conformal fields, both over the highest level; part
        of the fields that see the voxel.
    """

    where: BoolArray
    highest_gy: float
    highest_cc: float
    targets_cc: float
    level_gy: FloatArray
    region: NDArray[np.intp]
    expected: FloatArray
    conformal: FloatArray
    fields: FloatArray


@dataclass(frozen=True, eq=False)
class RegionGeometry:
    """One region of an organ.

    Attributes
    ----------
    share
        Part of the organ's volume, above 0.
    volume_cc
        Its volume.
    expected, conformal
        Curves ``(100,)`` of what :class:`Voxels` says of each voxel.
    levels
        Target level to its part of the region; only of the overlap.
    """

    share: float
    volume_cc: float
    expected: FloatArray
    conformal: FloatArray
    levels: Mapping[float, float]


@dataclass(frozen=True, eq=False)
class OrganGeometry:
    """One organ: its regions, and what may explain its dose besides their curves.

    Attributes
    ----------
    volume_cc
        Volume on the grid, in the body.
    highest_gy
        Highest target level: what the doses of a model are parts of.
    regions
        Those that are there.
    numbers
        Logarithms of the volumes of organ and targets, shares of the regions, mean part of the fields.
    """

    volume_cc: float
    highest_gy: float
    regions: Mapping[Region, RegionGeometry]
    numbers: Mapping[str, float]


def voxels_of(
    anatomy: Anatomy, organs: Sequence[str], gantry_deg: tuple[float, ...], parameters: GeometricParameters
) -> Voxels:
    """Measure the voxels of organs and targets.

    Parameters
    ----------
    anatomy
        Its targets must have voxels.
    organs
        Names of masks.
    gantry_deg
        The fields.
    parameters
        Numbers of the expected dose; what it says of the sparing of organs is not used.
    """
    by_level: dict[float, BoolArray] = {}
    for name, level_gy in sorted(anatomy.target_levels_gy.items(), key=lambda item: -item[1]):
        voxels = solid_voxels(anatomy.masks[name].values)
        by_level[level_gy] = by_level[level_gy] | voxels if level_gy in by_level else voxels
    targets = np.logical_or.reduce(list(by_level.values()))
    where = np.logical_or.reduce([anatomy.masks[name].values > 0 for name in organs]) | targets
    where &= (anatomy.body.values >= 0.5) | targets
    geometry = geometry_of(anatomy, (), parameters.axial_stretch, where)
    expected_gy = np.zeros(where.shape, dtype=np.float32)
    expected_gy[geometry.voxels] = expected_dose_gy(
        geometry.levels_gy, geometry.distances_mm, geometry.gap_mm, parameters
    )
    seen = seen_by_fields(anatomy, by_level, gantry_deg, where)
    level = np.max([level_gy * voxels[where] for level_gy, voxels in by_level.items()], axis=0)
    region = np.select([level > 0, seen.share > 0, seen.in_jaws], [0, 1, 2], default=3)
    highest_gy = max(by_level)
    return Voxels(
        where=where,
        highest_gy=highest_gy,
        highest_cc=float(by_level[highest_gy].sum()) * anatomy.grid.voxel_cc,
        targets_cc=float(targets.sum()) * anatomy.grid.voxel_cc,
        level_gy=level,
        region=region.astype(np.intp),
        expected=expected_gy[where].astype(np.float64) / highest_gy,
        conformal=seen.conformal_gy / highest_gy,
        fields=seen.share,
    )


def measure_organ(anatomy: Anatomy, name: str, voxels: Voxels) -> OrganGeometry | None:
    """Give the geometry of one organ; None where no part of it lies in the body."""
    weights = anatomy.masks[name].values[voxels.where].astype(np.float64)
    total = weights.sum()
    if total == 0.0:
        return None
    volume_cc = float(total) * anatomy.grid.voxel_cc
    regions: dict[Region, RegionGeometry] = {}
    for index, region in enumerate(REGIONS):
        inside = (voxels.region == index) & (weights > 0)
        if inside.any():
            regions[region] = _region(voxels, inside, weights, volume_cc)
    shares = (regions[region].share if region in regions else 0.0 for region in REGIONS[:-1])
    volumes_cc = (volume_cc, voxels.targets_cc, voxels.highest_cc)
    fields = float(np.average(voxels.fields, weights=weights))
    numbers = dict(zip(NUMBERS, (*(float(np.log(cc)) for cc in volumes_cc), fields, *shares), strict=True))
    return OrganGeometry(volume_cc, voxels.highest_gy, regions, numbers)


def _region(voxels: Voxels, inside: BoolArray, weights: FloatArray, volume_cc: float) -> RegionGeometry:
    of_region = weights[inside]
    share = float(of_region.sum() / weights.sum())
    levels = voxels.level_gy[inside]
    return RegionGeometry(
        share=share,
        volume_cc=share * volume_cc,
        expected=curve_of(voxels.expected[inside], of_region),
        conformal=curve_of(voxels.conformal[inside], of_region),
        levels={
            float(level): float(of_region[levels == level].sum() / of_region.sum())
            for level in np.unique(levels[levels > 0])
        },
    )
