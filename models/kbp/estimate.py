"""From a geometry to a band of DVHs: each region by its own regressions, then all regions together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.errors import StructureRefusal
from bridge.rt.structure import Structure
from models.kbp.curves import POINTS, joined
from models.kbp.features import features_of
from models.kbp.parameters import OrganModel, RegionModel
from models.kbp.regions import OrganGeometry, Region, RegionGeometry

__all__ = ["Band", "DvhBand", "estimate_organ", "unknown_regions", "unusual_features"]

Band = Literal["lower", "middle", "upper"]


@dataclass(frozen=True, eq=False)
class DvhBand:
    """What an organ's DVH is estimated to be.

    Attributes
    ----------
    organ
        Key of its mask.
    volume_cc
        Its volume on the grid that was looked at.
    overlap
        Part of it inside targets.
    plans
        How many plans the organ was learned from.
    lower_gy, middle_gy, upper_gy
        Dose ``(100,)`` at :data:`models.kbp.curves.VOLUMES_PERCENT`: the estimate, and one standard deviation of the
        prediction of a new plan below and above, 0 or more and never ascending.
    outside
        The same for its part outside targets, where it has a part inside and a part outside.
    """

    organ: str
    volume_cc: float
    overlap: float
    plans: int
    lower_gy: FloatArray
    middle_gy: FloatArray
    upper_gy: FloatArray
    outside: DvhBand | None = None

    def dvh(self, structure: Structure, policy: DvhPolicy, band: Band = "middle") -> Dvh:
        """Give one curve as the DVH of a structure.

        Parameters
        ----------
        structure
            The one that was estimated, known by its standard name.
        policy
            What the DVHs that it will be compared with were made by. Training counts voxels by the part that is inside,
            which is the DVH of a prism with half a slice at its ends, to the resolution of the dose grid.
        band
            Which curve.

        Raises
        ------
        StructureRefusal
            The structure is another organ (``band-of-another``): left and right must not change places.
        """
        if structure.standard_name != self.organ:
            known = f"is known as {structure.standard_name!r}" if structure.standard_name else "has no standard name"
            raise StructureRefusal(
                "band-of-another", f"The band is of {self.organ!r}, and {structure.name!r} {known}.", roi=structure.name
            )
        curve = {"lower": self.lower_gy, "middle": self.middle_gy, "upper": self.upper_gy}[band]
        per_point = np.full(POINTS, self.volume_cc / POINTS)
        return Dvh(structure.number, structure.name, curve[::-1].copy(), per_point, self.volume_cc, policy)


def unknown_regions(model: OrganModel, geometry: OrganGeometry) -> tuple[Region, ...]:
    """Give the regions of an organ that too few training plans had."""
    return tuple(region for region in geometry.regions if region not in model.regions)


def unusual_features(model: OrganModel, geometry: OrganGeometry) -> tuple[tuple[Region, str], ...]:
    """Give the features of an organ that lie outside those of the training plans, with their regions."""
    return tuple(
        (region, name)
        for region, measured in geometry.regions.items()
        for name, value in _features(model.regions[region], measured, geometry).items()
        if not model.regions[region].features[name].holds(value)
    )


def estimate_organ(organ: str, model: OrganModel, geometry: OrganGeometry) -> DvhBand:
    """Estimate the DVH of one organ, all of whose regions the model knows.

    The edges of the band are those of all regions at once: where one region comes out high, so are the others taken to
    be, which makes the band of the whole no narrower than it has to be.
    """
    inside: list[_Part] = []
    outside: list[_Part] = []
    for region, measured in geometry.regions.items():
        curve, spread = _estimate_region(model.regions[region], measured, geometry)
        edges = np.maximum([curve - spread, curve, curve + spread], 0.0)
        if region == "overlap":
            inside += [(measured.share * part, edges * level_gy) for level_gy, part in measured.levels.items()]
        else:
            outside.append((measured.share, edges * geometry.highest_gy))
    overlap = geometry.regions["overlap"].share if inside else 0.0
    apart = None
    if inside and outside:
        apart = DvhBand(organ, (1.0 - overlap) * geometry.volume_cc, 0.0, model.plans, *_edges(outside))
    return DvhBand(organ, geometry.volume_cc, overlap, model.plans, *_edges([*inside, *outside]), outside=apart)


_Part = tuple[float, FloatArray]
"""Share of a part of an organ, and its lower edge, middle and upper edge, ``(3, 100)``."""


def _edges(parts: Sequence[_Part]) -> tuple[FloatArray, FloatArray, FloatArray]:
    lower, middle, upper = (joined([(share, edges[index]) for share, edges in parts]) for index in range(3))
    return lower, middle, upper


def _estimate_region(
    model: RegionModel, measured: RegionGeometry, organ: OrganGeometry
) -> tuple[FloatArray, FloatArray]:
    """Give estimate and standard deviation ``(100,)``, in parts of the level."""
    features = _features(model, measured, organ)
    scaled = {name: model.features[name].scaled(value) for name, value in features.items()}
    predicted = [one.predict([scaled[name] for name in one.features]) for one in model.scores]
    scores = np.array([score for score, _ in predicted])
    variance = model.dvh.variance([variance for _, variance in predicted]) + np.square(model.unexplained)
    return model.dvh.curve(scores), np.sqrt(variance)


def _features(model: RegionModel, measured: RegionGeometry, organ: OrganGeometry) -> dict[str, float]:
    """Give the features that a region's model uses, not scaled."""
    if model.expected is None or model.conformal is None:
        return {}
    found = features_of(measured, organ, model.expected, model.conformal)
    return {name: found[name] for name in model.features}
