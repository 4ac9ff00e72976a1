"""The features of a region: principal components of its geometry, and the numbers of its organ."""

from __future__ import annotations

from bridge.rt.arrays import FloatArray
from models.kbp.parameters import Components, numbered
from models.kbp.regions import OrganGeometry, RegionGeometry

__all__ = ["features_of"]


def features_of(
    region: RegionGeometry, organ: OrganGeometry, expected: Components, conformal: Components
) -> dict[str, float]:
    """Give all features by name, not scaled."""
    return {
        **_numbered("expected", expected.scores(region.expected)),
        **_numbered("conformal", conformal.scores(region.conformal)),
        **organ.numbers,
    }


def _numbered(name: str, scores: FloatArray) -> dict[str, float]:
    return {numbered(name, index): float(score) for index, score in enumerate(scores)}
