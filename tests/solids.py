"""Solids whose volumes and dose-volume histograms have closed forms, drawn as contours.

A solid is known by its axial sections: their contours, and the area of a section on the hot side of a line. Summed
over the height these give the exact cumulative DVH in a dose that rises linearly along y or along z, by quadrature of
closed forms and without any contour, voxel or dose grid. The five solids are those of the public analytic benchmark
(Nelms et al., Med Phys 42:4435, 2015): 24 mm across, 1 Gy/mm, 16 Gy at the centre.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bridge.rt.arrays import FloatArray, Loop
from bridge.rt.dvh import EndCaps
from bridge.rt.grid import Grid
from bridge.rt.structure import Plane, RoiKind, Structure
from bridge.rt.volume import Dose

FRAME = "2.25.1"
OTHER_FRAME = "2.25.2"
RADIUS_MM = 12.0
"""Half of the 24 mm that each benchmark solid measures across."""

GradientAxis = Literal["y", "z"]


# ---------------------------------------------------------------- contours


def circle(radius: float, centre: tuple[float, float] = (0.0, 0.0), points: int = 360) -> Loop:
    """A regular polygon with exactly the area of a circle."""
    turn = 2.0 * np.pi / points
    angle = np.arange(points) * turn
    equal_area = radius * np.sqrt(turn / np.sin(turn))
    return np.asarray(centre) + equal_area * np.column_stack([np.cos(angle), np.sin(angle)])


def rectangle(x: tuple[float, float], y: tuple[float, float]) -> Loop:
    return np.array([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])], dtype=np.float64)


def keyhole(outer: Loop, inner: Loop) -> Loop:
    """One loop that runs round the outside, walks in along a line, runs round the hole and walks out again."""
    return np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])


def structure(
    planes: Mapping[float, Sequence[Loop]],
    *,
    number: int = 1,
    name: str = "Solid",
    kind: RoiKind = "organ",
    thickness_mm: float = 3.0,
    frame: str = FRAME,
    standard_name: str | None = None,
) -> Structure:
    return Structure(
        number=number,
        name=name,
        kind=kind,
        planes=tuple(Plane(z, tuple(loops)) for z, loops in planes.items()),
        frame_of_reference_uid=frame,
        slice_thickness_mm=thickness_mm,
        standard_name=standard_name,
    )


def prism(loops: Sequence[Loop], z_mm: Sequence[float], *, number: int = 1, name: str = "Prism") -> Structure:
    """The same contours on every plane."""
    return structure({float(z): loops for z in z_mm}, number=number, name=name)


def empty(number: int = 9, name: str = "Empty") -> Structure:
    return structure({}, number=number, name=name)


def shifted(what: Structure, by_mm: tuple[float, float, float]) -> Structure:
    planes = {plane.z_mm + by_mm[2]: [loop + np.array(by_mm[:2]) for loop in plane.loops] for plane in what.planes}
    return structure(planes, number=what.number, name=what.name, thickness_mm=what.slice_thickness_mm)


def stacked_volume_cc(what: Structure) -> float:
    """Volume of loops that neither overlap nor nest, half slices at the ends, by the shoelace formula."""
    edges = what.slab_edges_mm("half_slice")
    area = [sum(_shoelace(loop) for loop in plane.loops) for plane in what.planes]
    return float(np.dot(area, edges[:, 1] - edges[:, 0])) / 1000.0


def _shoelace(loop: Loop) -> float:
    following = np.roll(loop, -1, axis=0)
    return abs(float(np.sum(loop[:, 0] * following[:, 1] - following[:, 0] * loop[:, 1]))) / 2.0


# ---------------------------------------------------------------- solids and their exact DVHs


@dataclass(frozen=True)
class Solid:
    """``section(z)`` is the contour at z, None where there is none; ``area_above(z, u)`` its area with y >= u."""

    name: str
    section: Callable[[float], Loop | None]
    area_above: Callable[[FloatArray, FloatArray], FloatArray]

    def planes_mm(self, spacing_mm: float) -> list[float]:
        steps = round(RADIUS_MM / spacing_mm)
        heights = [k * spacing_mm for k in range(-steps, steps + 1)]
        return [z for z in heights if self.section(z) is not None]

    def drawn(self, spacing_mm: float) -> Structure:
        """The solid as a planner would have it: a contour on every plane that meets it."""
        planes = {}
        for z in self.planes_mm(spacing_mm):
            loop = self.section(z)
            assert loop is not None
            planes[z] = [loop]
        return structure(planes, name=self.name, thickness_mm=spacing_mm)

    def slabs(self, spacing_mm: float, end_caps: EndCaps) -> list[tuple[float, float, float]]:
        """``(z of the section, bottom, top)`` of right prisms on the drawn planes."""
        heights, half = self.planes_mm(spacing_mm), spacing_mm / 2.0
        slabs = [(z, z - half, z + half) for z in heights]
        if end_caps == "none":
            slabs[0] = (heights[0], heights[0], heights[0] + half)
            slabs[-1] = (heights[-1], heights[-1] - half, heights[-1])
        return slabs

    def true_slabs(self, cap_mm: float, steps: int = 3000) -> list[tuple[float, float, float]]:
        """The solid itself in very thin slabs, with its end faces drawn out by ``cap_mm``."""
        edges = np.linspace(-RADIUS_MM, RADIUS_MM, steps + 1)
        inside = [((a + b) / 2.0, a, b) for a, b in itertools.pairwise(edges)]
        low, high = -RADIUS_MM, RADIUS_MM
        return [(low, low - cap_mm, low), *inside, (high, high, high + cap_mm)]

    def dvh(self, slabs: Sequence[tuple[float, float, float]], axis: GradientAxis) -> ExactDvh:
        return ExactDvh(self, np.array(slabs), axis)


@dataclass(frozen=True)
class ExactDvh:
    """Cumulative DVH of slabs of a solid in a dose of 16 Gy at the origin that rises by 1 Gy/mm along an axis."""

    solid: Solid
    slabs: FloatArray
    axis: GradientAxis

    def cc_above(self, dose_gy: float) -> float:
        u = dose_gy - CENTRE_GY
        z, bottom, top = self.slabs.T
        if self.axis == "y":
            return float(np.sum(self.solid.area_above(z, np.full_like(z, u)) * (top - bottom))) / 1000.0
        height = np.clip(top - np.maximum(bottom, u), 0.0, None)
        return float(np.sum(self.solid.area_above(z, np.full_like(z, -2.0 * RADIUS_MM)) * height)) / 1000.0

    @property
    def volume_cc(self) -> float:
        return self.cc_above(CENTRE_GY - 2.0 * RADIUS_MM)

    def dose_at_cc(self, volume_cc: float) -> float:
        low, high = CENTRE_GY - 2.0 * RADIUS_MM, CENTRE_GY + 2.0 * RADIUS_MM
        for _ in range(40):
            middle = (low + high) / 2.0
            low, high = (middle, high) if self.cc_above(middle) > volume_cc else (low, middle)
        return (low + high) / 2.0

    def dose_at_percent(self, percent: float) -> float:
        return self.dose_at_cc(percent / 100.0 * self.volume_cc)

    @property
    def mean_gy(self) -> float:
        """Integral of the cumulative DVH."""
        edges = np.linspace(CENTRE_GY - 2.0 * RADIUS_MM, CENTRE_GY + 2.0 * RADIUS_MM, 1601)
        above = [self.cc_above(dose) for dose in (edges[1:] + edges[:-1]) / 2.0]
        return float(edges[0] + np.sum(above) * (edges[1] - edges[0]) / self.volume_cc)


def circular_segment(radius: FloatArray, u: FloatArray) -> FloatArray:
    """Area of a disc with y >= u."""
    radius = np.maximum(radius, 1e-12)
    part = np.clip(u / radius, -1.0, 1.0)
    return np.asarray(radius**2 * (np.arccos(part) - part * np.sqrt(1.0 - part**2)))


def _round_solid(name: str, radius_at: Callable[[FloatArray], FloatArray]) -> Solid:
    def section(z: float) -> Loop | None:
        radius = float(radius_at(np.array(z)))
        return circle(radius) if radius > 1e-6 else None

    return Solid(name, section, lambda z, u: circular_segment(radius_at(z), u))


def _sphere_radius(z: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.clip(RADIUS_MM**2 - z**2, 0.0, None)))


def _cone_radius(t: FloatArray) -> FloatArray:
    """Base of 12 mm at t = -12 mm, tip at t = 12 mm."""
    return np.asarray((RADIUS_MM - t) / 2.0)


def _lying_cylinder_section(z: float) -> Loop | None:
    half = float(_sphere_radius(np.array(z)))
    return rectangle((-half, half), (-RADIUS_MM, RADIUS_MM)) if half > 1e-6 else None


def _lying_cylinder_area(z: FloatArray, u: FloatArray) -> FloatArray:
    return np.asarray(2.0 * _sphere_radius(z) * np.clip(RADIUS_MM - u, 0.0, 2.0 * RADIUS_MM))


def _lying_cone_section(z: float) -> Loop | None:
    """A hyperbola cut off at the base: x = z sinh s, cone radius = z cosh s."""
    height = abs(z)
    if height > RADIUS_MM - 1e-6:
        return None
    if height < 1e-6:
        return np.array([(-RADIUS_MM, -RADIUS_MM), (RADIUS_MM, -RADIUS_MM), (0.0, RADIUS_MM)])
    s = np.linspace(-1.0, 1.0, 401) * np.arccosh(RADIUS_MM / height)
    return np.column_stack([height * np.sinh(s), RADIUS_MM - 2.0 * height * np.cosh(s)])


def _lying_cone_area(z: FloatArray, u: FloatArray) -> FloatArray:
    height = np.clip(np.abs(z), 1e-9, None)
    radius = np.clip(_cone_radius(u), height, np.maximum(height, RADIUS_MM))
    root = np.sqrt(np.clip(radius**2 - height**2, 0.0, None))
    return np.asarray(2.0 * (radius * root - height**2 * np.arccosh(np.maximum(radius / height, 1.0))))


SPHERE = _round_solid("Sphere", _sphere_radius)
CYLINDER = _round_solid("Cylinder", lambda z: np.full_like(z, RADIUS_MM))
CONE = _round_solid("Cone", _cone_radius)
LYING_CYLINDER = Solid("Lying cylinder", _lying_cylinder_section, _lying_cylinder_area)
LYING_CONE = Solid("Lying cone", _lying_cone_section, _lying_cone_area)
SOLIDS = (SPHERE, CYLINDER, CONE, LYING_CYLINDER, LYING_CONE)


# ---------------------------------------------------------------- grids and doses

CENTRE_GY = 16.0


def grid_around(half_mm: float, spacing_mm: tuple[float, float, float], frame: str = FRAME) -> Grid:
    """An axial grid with a voxel at the origin and voxel centres out to ``half_mm`` or just less."""
    half_counts = [int(half_mm / step) for step in spacing_mm]
    z, y, x = (-n * step for n, step in zip(half_counts, spacing_mm, strict=True))
    shape = tuple(2 * n + 1 for n in half_counts)
    return Grid.axial((shape[0], shape[1], shape[2]), spacing_mm, (x, y, z), frame)


def positions_of(grid: Grid) -> FloatArray:
    """Patient positions of all voxel centres, shape ``(*grid.shape, 3)``."""
    indices = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return grid.positions_mm(indices.reshape(-1, 3)).reshape(*grid.shape, 3)


def linear_dose(grid: Grid, gradient_gy_mm: tuple[float, float, float], at_origin_gy: float = CENTRE_GY) -> Dose:
    """A dose that rises linearly along (x, y, z)."""
    return Dose(at_origin_gy + positions_of(grid) @ np.array(gradient_gy_mm), grid)


def uniform_dose(grid: Grid, dose_gy: float) -> Dose:
    return Dose(np.full(grid.shape, dose_gy), grid)


def axial_orientations() -> dict[str, FloatArray]:
    """The unit steps ``(3, 3)`` along slice, row and column of every axial array: eight in-plane, z up and down."""
    unit = {"+x": (1, 0, 0), "-x": (-1, 0, 0), "+y": (0, 1, 0), "-y": (0, -1, 0), "+z": (0, 0, 1), "-z": (0, 0, -1)}
    return {
        f"{row}/{column}/{slices}": np.column_stack([unit[slices], unit[row], unit[column]]).astype(np.float64)
        for slices in ("+z", "-z")
        for row, column in itertools.product(("+x", "-x", "+y", "-y"), repeat=2)
        if row[1] != column[1]
    }


def oriented_grid(
    steps: FloatArray,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    centre_mm: tuple[float, float, float],
    frame: str = FRAME,
) -> Grid:
    """A grid with given unit steps whose middle lies at ``centre_mm``."""
    affine = np.eye(4)
    affine[:3, :3] = steps * np.array(spacing_mm)
    affine[:3, 3] = np.array(centre_mm) - affine[:3, :3] @ ((np.array(shape) - 1.0) / 2.0)
    return Grid(shape, affine, frame)
