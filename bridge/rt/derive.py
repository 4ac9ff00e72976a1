"""Derived structures: unions, an organ less a target, margins and rings, all in millimetres.

Every operation works on the even-odd region of each plane and gives a structure with planes of its own, so that a
derived structure is rasterised, measured and exported like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from shapely import Geometry

from bridge.rt.arrays import FloatArray, Loop
from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.structure import Plane, RoiKind, Structure

__all__ = ["overlap_fraction", "ring", "subtract", "union"]

_SMALLEST_AREA_MM2 = 1e-3
"""Slivers below this are rounding left over where two contours run along each other."""

_SIMPLIFY_MM = 0.2
"""Contour detail finer than this is dropped before a margin is grown; a margin is not known better."""


_SEGMENTS = 8
"""Straight pieces of a quarter circle of a grown corner: off by 0.15 mm at a radius of 30 mm."""

_SAME_PLANE_MM = 0.05
"""Planes of two structures closer than this are one plane."""


class _Regions:
    """The region of a structure at any height, and the same grown by a margin."""

    def __init__(self, structure: Structure) -> None:
        self.slabs = np.zeros((0, 2)) if structure.is_empty else structure.slab_edges_mm("half_slice")
        self._regions = [plane.region for plane in structure.planes]

    def at(self, z_mm: float) -> Geometry:
        """Give the region of the slab that holds a height; nothing above and below the structure."""
        index = int(np.searchsorted(self.slabs[:, 1], z_mm - 1e-6, side="left"))
        if index < len(self.slabs) and self.slabs[index, 0] <= z_mm + 1e-6:
            return self._regions[index]
        return shapely.Polygon()

    def grown_at(self, z_mm: float, margin_mm: float) -> Geometry:
        """Give the region at a height of the structure grown by a sphere of radius ``margin_mm``.

        A slab at distance h contributes its region grown in plane by sqrt(margin² - h²).
        """
        if margin_mm <= 0:
            return self.at(z_mm)
        distance = np.maximum(np.maximum(self.slabs[:, 0] - z_mm, z_mm - self.slabs[:, 1]), 0.0)
        near = np.flatnonzero(distance < margin_mm)
        regions = shapely.simplify([self._regions[index] for index in near], _SIMPLIFY_MM)
        radius = np.sqrt(margin_mm**2 - distance[near] ** 2)
        return shapely.union_all(shapely.buffer(regions, radius, quad_segs=_SEGMENTS))


def union(structures: Sequence[Structure], *, number: int, name: str, kind: RoiKind) -> Structure:
    """Give the union of structures on all of their planes.

    Where the structures lie apart in z, empty planes keep the gap between them open; a gap narrower than a plane
    spacing is bridged, as it is within a structure.

    Raises
    ------
    StructureRefusal
        No structure has contours.
    """
    present = [structure for structure in structures if not structure.is_empty]
    if not present:
        raise StructureRefusal("structure-empty", f"There is nothing to unite for {name!r}.", roi=name)
    _require_same_frame(present)
    stacks = [_Regions(structure) for structure in present]
    heights = _distinct(np.concatenate([structure.z_mm for structure in present]))
    heights = _distinct(np.append(heights, _gap_planes(np.concatenate([stack.slabs for stack in stacks]), heights)))
    regions = [shapely.union_all([stack.at(z) for stack in stacks]) for z in heights]
    return _structure(heights, regions, present[0], number, name, kind)


def subtract(
    structure: Structure, others: Sequence[Structure], *, margin_mm: float, number: int, name: str
) -> Structure:
    """Give what is left of a structure outside the others grown by a margin: X minus PTV.

    Parameters
    ----------
    structure
        What is cut; its planes are the result's planes.
    others
        What is cut away.
    margin_mm
        Growth of the others in all directions, 0 or more.
    number, name
        Of the result.

    Raises
    ------
    GeometryRefusal
        A negative margin (``margin-negative``), or different frames of reference.
    """
    if not margin_mm >= 0:
        raise GeometryRefusal("margin-negative", f"A margin must be 0 mm or more, got {margin_mm:g} mm.", roi=name)
    _require_same_frame([structure, *others])
    whole, cuts = _Regions(structure), [_Regions(other) for other in others]
    regions = [
        shapely.difference(whole.at(z), shapely.union_all([cut.grown_at(z, margin_mm) for cut in cuts]))
        for z in structure.z_mm
    ]
    return _structure(structure.z_mm, regions, structure, number, name, structure.kind)


def ring(
    targets: Sequence[Structure], *, inner_mm: float, outer_mm: float, within: Structure, number: int, name: str
) -> Structure:
    """Give the shell around the targets between two distances, inside another structure (the body).

    Parameters
    ----------
    targets
        The structures that the distances start from, together.
    inner_mm, outer_mm
        Distances from the targets' surface, ``0 <= inner_mm < outer_mm``.
    within
        What bounds the ring; its planes are the result's planes.

    Raises
    ------
    GeometryRefusal
        The distances enclose nothing (``ring-distances``), or the frames of reference differ.
    StructureRefusal
        No target has contours.
    """
    if not 0 <= inner_mm < outer_mm:
        raise GeometryRefusal("ring-distances", f"A ring from {inner_mm:g} to {outer_mm:g} mm has no inside.", roi=name)
    _require_same_frame([within, *targets])
    cores, bounds = [_Regions(target) for target in targets if not target.is_empty], _Regions(within)
    if not cores:
        raise StructureRefusal("structure-empty", f"There is no target to put {name!r} around.", roi=name)

    def grown(z_mm: float, margin_mm: float) -> Geometry:
        return shapely.union_all([core.grown_at(z_mm, margin_mm) for core in cores])

    regions = [
        shapely.intersection(shapely.difference(grown(z, outer_mm), grown(z, inner_mm)), bounds.at(z))
        for z in within.z_mm
    ]
    return _structure(within.z_mm, regions, within, number, name, "other")


def overlap_fraction(structure: Structure, others: Sequence[Structure]) -> float:
    """Give the fraction of a structure's volume that lies inside any of the others, 0 to 1."""
    if structure.is_empty:
        return 0.0
    _require_same_frame([structure, *others])
    whole, cuts = _Regions(structure), [_Regions(other) for other in others]
    slabs = structure.slab_edges_mm("half_slice")
    height = slabs[:, 1] - slabs[:, 0]
    area = [shapely.area(whole.at(z)) for z in structure.z_mm]
    shared = [
        shapely.area(shapely.intersection(whole.at(z), shapely.union_all([cut.at(z) for cut in cuts])))
        for z in structure.z_mm
    ]
    volume = float(np.dot(area, height))
    return float(np.dot(shared, height)) / volume if volume > 0 else 0.0


def _require_same_frame(structures: Sequence[Structure]) -> None:
    frames = {structure.frame_of_reference_uid for structure in structures}
    if len(frames) > 1:
        raise GeometryRefusal(
            "frame-of-reference",
            f"Structures of different frames of reference cannot be combined: {', '.join(sorted(frames))}.",
        )


def _distinct(heights: FloatArray) -> FloatArray:
    """Give the heights in ascending order, those of the same plane once."""
    ascending = np.sort(heights)
    return np.asarray(ascending[np.concatenate([[True], np.diff(ascending) > _SAME_PLANE_MM])])


def _gap_planes(slabs: FloatArray, heights: FloatArray) -> list[float]:
    """Give the heights of the empty planes that end the slabs below, and begin those above, every gap between slabs.

    A slab ends half-way to the next plane, so the empty plane lies as far beyond the end as the last plane before it.
    """
    slabs = slabs[np.argsort(slabs[:, 0])]
    planes: list[float] = []
    for end, start in zip(np.maximum.accumulate(slabs[:-1, 1]), slabs[1:, 0], strict=True):
        if start - end > _SAME_PLANE_MM:
            after, before = 2 * end - heights[heights < end].max(), 2 * start - heights[heights > start].min()
            if after <= before + _SAME_PLANE_MM:
                planes += [after, before]
    return planes


def _loops(region: Geometry) -> list[Loop]:
    """Give the boundaries of all polygons of a region, holes as loops of their own."""
    loops: list[Loop] = []
    for part in shapely.get_parts(region):
        if isinstance(part, shapely.Polygon):
            if part.area > _SMALLEST_AREA_MM2:
                boundaries = [part.exterior, *part.interiors]
                loops.extend(shapely.get_coordinates(boundary)[:-1] for boundary in boundaries)
        elif shapely.get_num_geometries(part) > 1:
            loops.extend(_loops(part))
    return loops


def _structure(
    heights: FloatArray, regions: Sequence[Geometry], model: Structure, number: int, name: str, kind: RoiKind
) -> Structure:
    """Make a structure of regions. Planes with nothing left stay, empty, so that no neighbour fills their slab."""
    return Structure(
        number=number,
        name=name,
        kind=kind,
        planes=tuple(Plane(float(z), tuple(_loops(region))) for z, region in zip(heights, regions, strict=True)),
        frame_of_reference_uid=model.frame_of_reference_uid,
        slice_thickness_mm=model.slice_thickness_mm,
    )
