"""Contours: loose closed loops become the planes of a structure.

Nothing is mended silently: what is dropped is counted, what looks wrong is pointed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from bridge.rt.arrays import FloatArray, Loop, Points
from bridge.rt.errors import GeometryRefusal
from bridge.rt.findings import Finding, Severity
from bridge.rt.structure import Plane, loop_area_mm2

__all__ = ["Contour", "planes_of", "spacing_findings"]

PLANARITY_TOLERANCE_MM = 0.1
"""A contour whose z varies by more is not drawn on an axial slice."""

PLANE_TOLERANCE_MM = 0.05
"""Contours closer in z than this lie on one plane; decimal strings round z."""

SMALLEST_AREA_MM2 = 1e-3
"""Smaller loops are slivers left by a drawing tool; they can cancel a whole plane in other readers."""

OVERLAP_AREA_MM2 = 0.1
"""Islands that overlap by less merely touch."""

_GAP = 1.5
"""A step between planes longer than this many usual ones is a gap."""


@dataclass(frozen=True, eq=False)
class Contour:
    """One closed contour as read.

    Attributes
    ----------
    points_mm
        Shape ``(n, 3)``.
    exclusive
        CLOSEDPLANAR_XOR: overlap with other contours is meant as a hole.
    """

    points_mm: Points
    exclusive: bool


def planes_of(contours: Sequence[Contour], roi: str) -> tuple[tuple[Plane, ...], list[Finding]]:
    """Sort the closed contours of one ROI into planes.

    Loops of one plane are kept side by side and bound its region by the even-odd rule, so that holes, islands and
    keyholes stay what they are.

    Parameters
    ----------
    contours
        In any order.
    roi
        Name for messages.

    Returns
    -------
    planes
        In ascending z.
    findings
        ``contour-slivers``, ``contour-duplicates``, ``contour-overlap``.

    Raises
    ------
    GeometryRefusal
        ``contour-tilted``.
    """
    kept: list[tuple[float, Loop, bool]] = []
    slivers: list[float] = []
    for contour in contours:
        z = contour.points_mm[:, 2]
        if float(np.ptp(z)) > PLANARITY_TOLERANCE_MM:
            raise GeometryRefusal(
                "contour-tilted",
                f"A contour of {roi!r} is not axial: its z runs from {z.min():.2f} to {z.max():.2f} mm. Redraw it on "
                "axial slices.",
                roi=roi,
            )
        height = float(np.median(z))
        loop = _without_repeats(contour.points_mm[:, :2])
        if len(loop) < 3 or _enclosed_mm2(loop) < SMALLEST_AREA_MM2:
            slivers.append(height)
        else:
            kept.append((height, loop, contour.exclusive))
    kept.sort(key=lambda entry: entry[0])

    planes: list[Plane] = []
    duplicates: list[float] = []
    overlaps: list[float] = []
    start = 0
    for stop in range(1, len(kept) + 1):
        if stop < len(kept) and kept[stop][0] - kept[start][0] <= PLANE_TOLERANCE_MM:
            continue
        group = kept[start:stop]
        z_mm = float(np.median([entry[0] for entry in group]))
        distinct = {_signature(entry[1]): entry for entry in group}
        duplicates.extend([z_mm] * (len(group) - len(distinct)))
        if _partly_overlapping([loop for _, loop, exclusive in distinct.values() if not exclusive]):
            overlaps.append(z_mm)
        planes.append(Plane(z_mm, tuple(loop for _, loop, _ in distinct.values())))
        start = stop
    findings = [
        *_finding("contour-slivers", "info", slivers, roi, "contours without area were left out"),
        *_finding("contour-duplicates", "warning", duplicates, roi, "exact repeats of contours were left out"),
        *_finding("contour-overlap", "warning", overlaps, roi,
                  "planes have islands that overlap in part; the overlap counts as outside (even-odd rule)"),
    ]  # fmt: skip
    return tuple(planes), findings


def spacing_findings(planes: Sequence[Plane], roi: str, slices_z_mm: FloatArray | None) -> list[Finding]:
    """Point out gaps between planes, and planes that lie off the CT slices.

    Parameters
    ----------
    planes
        In ascending z.
    slices_z_mm
        z of the CT slices in any order, or None where there is no CT.

    Returns
    -------
    list of Finding
        ``plane-gap``, ``plane-outside-ct`` (further from the CT than half a slice), ``plane-between-slices``.
    """
    z = np.array([plane.z_mm for plane in planes])
    findings: list[Finding] = []
    if len(z) > 2:
        steps = np.diff(z)
        usual = float(np.median(steps))
        gaps = np.flatnonzero(steps > _GAP * usual)
        if len(gaps):
            shown = ", ".join(f"{z[n]:.2f} to {z[n + 1]:.2f}" for n in gaps[:3])
            findings.append(
                Finding(
                    "plane-gap",
                    "warning",
                    f"{roi} has {len(gaps)} gap{'s' if len(gaps) > 1 else ''} between its planes at z = {shown} mm "
                    f"(usual step {usual:.2f} mm); it is bridged by the planes beside it.",
                    {"roi": roi},
                )
            )
    if slices_z_mm is not None and len(z):
        slices = np.sort(slices_z_mm)
        half = float(np.median(np.diff(slices))) / 2.0
        off = np.abs(z[:, None] - slices[None, :]).min(axis=1)
        beyond = off > half + PLANE_TOLERANCE_MM
        between = ~beyond & (off > PLANARITY_TOLERANCE_MM)
        findings += _finding("plane-outside-ct", "warning", z[beyond].tolist(), roi, "planes lie outside the CT")
        findings += _finding(
            "plane-between-slices", "info", z[between].tolist(), roi, "planes lie between CT slices and stay there"
        )
    return findings


def _finding(code: str, severity: Severity, at_z: Sequence[float], roi: str, what: str) -> list[Finding]:
    if not at_z:
        return []
    message = f"{roi}: {len(at_z)} {what} (first at z = {min(at_z):.2f} mm)."
    return [Finding(code, severity, message, {"roi": roi})]


def _without_repeats(loop: Loop) -> Loop:
    """Drop points equal to the one before, and a last point equal to the first."""
    return np.asarray(loop[(loop != np.roll(loop, 1, axis=0)).any(axis=1)])


def _enclosed_mm2(loop: Loop) -> float:
    """Give the even-odd area: a figure of eight encloses something although its signed area is zero."""
    area = loop_area_mm2(loop)
    return area if area >= SMALLEST_AREA_MM2 else float(shapely.make_valid(shapely.Polygon(loop)).area)


def _signature(loop: Loop) -> bytes:
    """Give bytes that two loops share if they are the same closed line, whatever their start and direction."""
    rounded = np.round(loop, 4) + 0.0
    return min(_from_first(rounded), _from_first(rounded[::-1]))


def _from_first(loop: Loop) -> bytes:
    first = int(np.lexsort((loop[:, 1], loop[:, 0]))[0])
    return np.roll(loop, -first, axis=0).tobytes()


def _partly_overlapping(loops: Sequence[Loop]) -> bool:
    if len(loops) < 2:
        return False
    regions = shapely.make_valid(np.array([shapely.Polygon(loop) for loop in loops], dtype=object))
    found = shapely.STRtree(regions).query(regions, predicate="intersects")
    pairs = found[:, found[0] < found[1]]
    a, b = regions[pairs[0]], regions[pairs[1]]
    common = shapely.area(shapely.intersection(a, b))
    least = np.minimum(shapely.area(a), shapely.area(b))
    return bool(((common > OVERLAP_AREA_MM2) & (least - common > OVERLAP_AREA_MM2)).any())
