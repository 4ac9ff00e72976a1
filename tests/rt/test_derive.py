from __future__ import annotations

import numpy as np
import pytest
import shapely

from bridge.rt.derive import overlap_fraction, ring, subtract, union
from bridge.rt.dvh import DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.rasterize import mask_of
from bridge.rt.structure import Structure
from tests.solids import (
    OTHER_FRAME,
    circle,
    empty,
    grid_around,
    keyhole,
    prism,
    rectangle,
    shifted,
    structure,
    uniform_dose,
)

FINE_MM = np.arange(-24.0, 24.1, 1.0)
COARSE_MM = np.arange(-15.0, 15.1, 3.0)
BODY_MM = np.arange(-23.5, 24.0, 1.0)
"""Slabs from one full millimetre to the next, as the ends of the targets are."""
SIMPLIFIED_MM = 0.2
"""Contours lose detail finer than this before they are grown, so a margin may fall short by as much."""


def volume_cc(what: Structure) -> float:
    """Volume by the DVH integrator, which follows the even-odd rule and knows nothing of polygons."""
    return compute_dvh(
        what, uniform_dose(grid_around(80.0, (4.0, 8.0, 8.0)), 1.0), DvhPolicy("half_slice", 1.0)
    ).volume_cc


def areas_mm2(what: Structure) -> list[float]:
    """Area of every plane: outer boundaries less holes, by nesting."""
    areas = []
    for plane in what.planes:
        polygons = [shapely.Polygon(loop) for loop in plane.loops]
        depth = [sum(other.contains(polygon) for other in polygons if other is not polygon) for polygon in polygons]
        areas.append(sum(polygon.area * (-1) ** d for polygon, d in zip(polygons, depth, strict=True)))
    return areas


def grown_cylinder_cc(radius: float, height: float, by: float) -> float:
    """Steiner's formula: volume, surface, mean curvature and Gauss curvature of a convex body."""
    volume = np.pi * radius**2 * height
    surface = 2.0 * np.pi * radius * height + 2.0 * np.pi * radius**2
    curvature = np.pi * height + np.pi**2 * radius
    return float(volume + surface * by + curvature * by**2 + 4.0 / 3.0 * np.pi * by**3) / 1000.0


class TestSubtract:
    organ = prism([circle(30.0)], COARSE_MM, number=5, name="Bladder")
    target = prism([circle(12.0)], COARSE_MM, number=6, name="PTV")

    def test_a_concentric_target_leaves_a_tube(self) -> None:
        left = subtract(self.organ, [self.target], margin_mm=0.0, number=-1, name="Bladder-PTV")
        np.testing.assert_allclose(areas_mm2(left), np.full(11, (900.0 - 144.0) * np.pi), rtol=1e-6)
        assert [len(plane.loops) for plane in left.planes] == [2] * 11
        np.testing.assert_array_equal(left.z_mm, COARSE_MM)
        assert volume_cc(left) == pytest.approx(0.756 * np.pi * 33.0, rel=1e-3)

    def test_the_result_is_named_and_numbered_and_else_as_the_whole(self) -> None:
        model = structure({0.0: [circle(30.0)]}, number=5, kind="target", thickness_mm=2.5, standard_name="Bladder")
        left = subtract(model, [self.target], margin_mm=0.0, number=-1, name="Bladder-PTV")
        assert (left.number, left.name, left.kind, left.standard_name) == (-1, "Bladder-PTV", "target", None)
        assert (left.slice_thickness_mm, left.frame_of_reference_uid) == (2.5, model.frame_of_reference_uid)

    @pytest.mark.parametrize("margin_mm", [1.0, 3.0, 8.0])
    def test_a_margin_widens_the_cut_by_itself(self, margin_mm: float) -> None:
        left = subtract(self.organ, [self.target], margin_mm=margin_mm, number=-1, name="x")
        hole = [900.0 * np.pi - area for area in areas_mm2(left)]
        radius = np.sqrt(np.array(hole) / np.pi)
        assert (radius <= 12.0 + margin_mm + 0.01).all()
        assert (radius >= 12.0 + margin_mm - SIMPLIFIED_MM).all()

    def test_a_margin_reaches_beyond_the_ends_of_the_target_as_a_sphere(self) -> None:
        """The target ends at ±4.5 mm; at a distance h beyond, 5 mm have shrunk to sqrt(25 - h²)."""
        organ = prism([circle(30.0)], FINE_MM)
        target = prism([circle(12.0)], [-3.0, 0.0, 3.0], number=6)
        left = subtract(organ, [target], margin_mm=5.0, number=-1, name="x")
        hole = 900.0 * np.pi - np.array(areas_mm2(left))
        beyond = np.maximum(np.abs(FINE_MM) - 4.5, 0.0)
        radius = 12.0 + np.sqrt(np.clip(25.0 - beyond**2, 0.0, None))
        expected = np.where(beyond < 5.0, radius, 0.0)
        np.testing.assert_allclose(np.sqrt(np.abs(hole) / np.pi), expected, atol=SIMPLIFIED_MM)
        assert (hole[beyond >= 5.0] < 1e-3).all()

    def test_planes_that_are_wholly_cut_away_stay_as_empty_planes(self) -> None:
        cut = prism([circle(40.0)], [-3.0, 0.0, 3.0], number=6)
        left = subtract(self.organ, [cut], margin_mm=0.0, number=-1, name="x")
        assert [len(plane.loops) for plane in left.planes] == [1] * 4 + [0] * 3 + [1] * 4
        assert volume_cc(left) == pytest.approx(0.9 * np.pi * 24.0, rel=1e-3)
        mask = mask_of(left, grid_around(40.0, (3.0, 2.0, 2.0)))
        middle = mask.values[13, 20, 20]
        assert (middle, mask.values[11, 20, 20]) == (0.0, pytest.approx(1.0))

    def test_a_margin_can_eat_planes_that_the_target_does_not_reach(self) -> None:
        cut = prism([circle(40.0)], [0.0, 3.0], number=6)
        left = subtract(self.organ, [cut], margin_mm=4.0, number=-1, name="x")
        assert [bool(plane.loops) for plane in left.planes] == [True] * 4 + [False] * 4 + [True] * 3

    def test_nothing_may_be_left(self) -> None:
        left = subtract(self.organ, [prism([circle(40.0)], COARSE_MM)], margin_mm=0.0, number=-1, name="x")
        assert left.is_empty
        assert len(left.planes) == 11

    def test_a_target_beside_or_an_empty_one_cuts_nothing(self) -> None:
        aside = shifted(self.target, (60.0, 0.0, 0.0))
        above = shifted(self.target, (0.0, 0.0, 60.0))
        for others in ([], [empty()], [aside], [above], [empty(), aside, above]):
            left = subtract(self.organ, others, margin_mm=5.0, number=-1, name="x")
            np.testing.assert_allclose(areas_mm2(left), np.full(11, 900.0 * np.pi), rtol=1e-9)

    def test_several_targets_are_cut_once_each(self) -> None:
        overlapping = [self.target, shifted(self.target, (0.0, 0.0, 6.0)), prism([circle(4.0, (20.0, 0.0))], COARSE_MM)]
        left = subtract(self.organ, overlapping, margin_mm=0.0, number=-1, name="x")
        np.testing.assert_allclose(areas_mm2(left), np.full(11, (900.0 - 144.0 - 16.0) * np.pi), rtol=1e-6)

    @pytest.mark.parametrize("loops", [[circle(30.0), circle(10.0)], [keyhole(circle(30.0), circle(10.0))]])
    def test_holes_and_keyholes_of_the_whole_stay_holes(self, loops: list[np.ndarray]) -> None:
        cut = prism([rectangle((0.0, 50.0), (-50.0, 50.0))], COARSE_MM)
        left = subtract(prism(loops, COARSE_MM), [cut], margin_mm=0.0, number=-1, name="x")
        assert volume_cc(left) == pytest.approx(0.4 * np.pi * 33.0, rel=2e-3)

    @pytest.mark.parametrize(
        ("loop", "whole_mm2", "cut_mm2"),
        [
            ([(0, 0), (10, 0), (10, 5), (15, 5), (10, 5), (10, 10), (0, 10)], 100.0, 10.0),
            (
                [(0, 0), (4, 0), (4, 4), (8, 4), (8, 0), (12, 0), (12, 8), (8, 8), (8, 4), (4, 4), (4, 8), (0, 8)],
                64.0,
                8.0,
            ),
        ],
        ids=["a spike", "islands joined by a line"],
    )
    def test_lines_without_area_are_dropped(
        self, loop: list[tuple[float, float]], whole_mm2: float, cut_mm2: float
    ) -> None:
        drawn = prism([np.array(loop, dtype=np.float64)], [0.0, 3.0])
        strip = prism([rectangle((2.0, 3.0), (-5.0, 20.0))], [0.0, 3.0], number=2)
        left = subtract(drawn, [strip], margin_mm=0.0, number=-1, name="x")
        np.testing.assert_allclose(areas_mm2(left), [whole_mm2 - cut_mm2] * 2)
        both = union([drawn, strip], number=0, name="u", kind="organ")
        np.testing.assert_allclose(areas_mm2(both), [whole_mm2 + 25.0 - cut_mm2] * 2)
        assert overlap_fraction(drawn, [strip]) == pytest.approx(cut_mm2 / whole_mm2)

    def test_a_hole_in_the_target_is_not_cut(self) -> None:
        tube = prism([circle(20.0), circle(10.0)], COARSE_MM)
        left = subtract(self.organ, [tube], margin_mm=0.0, number=-1, name="x")
        np.testing.assert_allclose(areas_mm2(left), np.full(11, (900.0 - 400.0 + 100.0) * np.pi), rtol=1e-6)
        margin = subtract(self.organ, [tube], margin_mm=3.0, number=-1, name="x")
        np.testing.assert_allclose(areas_mm2(margin), np.full(11, (900.0 - 529.0 + 49.0) * np.pi), rtol=0.02)

    def test_what_is_derived_can_be_cut_again(self) -> None:
        once = subtract(self.organ, [prism([circle(40.0)], [0.0], number=6)], margin_mm=0.0, number=-1, name="x")
        twice = subtract(once, [self.target], margin_mm=0.0, number=-2, name="y")
        assert areas_mm2(twice)[5] == 0.0
        assert volume_cc(twice) == pytest.approx(0.756 * np.pi * 30.0, rel=1e-3)
        back = subtract(self.target, [once], margin_mm=0.0, number=-3, name="z")
        assert volume_cc(back) == pytest.approx(0.144 * np.pi * 3.0, rel=2e-3)

    @pytest.mark.parametrize("margin_mm", [-1.0, np.nan])
    def test_a_negative_margin_is_refused(self, margin_mm: float) -> None:
        with pytest.raises(GeometryRefusal) as refused:
            subtract(self.organ, [self.target], margin_mm=margin_mm, number=-1, name="x")
        assert refused.value.code == "margin-negative"


class TestUnion:
    def test_what_is_shared_counts_once(self) -> None:
        left, right = (
            prism([rectangle((0.0, 20.0), (0.0, 10.0))], COARSE_MM),
            prism([rectangle((15.0, 30.0), (0.0, 10.0))], COARSE_MM, number=2),
        )
        both = union([left, right], number=0, name="PTV all", kind="target")
        np.testing.assert_allclose(areas_mm2(both), np.full(11, 300.0))
        assert (both.number, both.name, both.kind) == (0, "PTV all", "target")

    def test_a_filled_hole_is_filled(self) -> None:
        both = union(
            [prism([circle(20.0), circle(10.0)], COARSE_MM), prism([circle(10.5)], COARSE_MM)],
            number=0, name="u", kind="target",
        )  # fmt: skip
        np.testing.assert_allclose(areas_mm2(both), np.full(11, 400.0 * np.pi), rtol=1e-6)

    def test_planes_of_both_are_used(self) -> None:
        fine, coarse = (
            prism([circle(10.0)], np.arange(-9.0, 9.1, 1.0)),
            prism([circle(15.0)], np.arange(-9.0, 9.1, 3.0)),
        )
        both = union([coarse, fine], number=0, name="u", kind="target")
        np.testing.assert_allclose(both.z_mm, np.arange(-9.0, 9.1, 1.0))
        np.testing.assert_allclose(areas_mm2(both), np.full(19, 225.0 * np.pi), rtol=1e-6)

    def test_planes_that_differ_by_rounding_are_one(self) -> None:
        both = union(
            [prism([circle(10.0)], COARSE_MM), prism([circle(10.0)], COARSE_MM + 0.02)],
            number=0,
            name="u",
            kind="target",
        )
        assert len(both.planes) == 11

    @pytest.mark.parametrize("gap_mm", [6.0, 9.0, 30.0, 31.7])
    def test_a_gap_along_z_stays_open(self, gap_mm: float) -> None:
        """Primary and nodes that lie apart: nothing is invented between them."""
        low = prism([circle(10.0)], np.arange(-30.0, -8.9, 3.0))
        high = prism([circle(10.0)], -9.0 + gap_mm + np.arange(0.0, 12.1, 2.0), number=2)
        both = union([high, low], number=0, name="u", kind="target")
        assert volume_cc(both) == pytest.approx(0.1 * np.pi * (24.0 + 14.0), rel=1e-3)

    def test_three_pieces(self) -> None:
        pieces = [prism([circle(10.0)], z + np.arange(0.0, 6.1, 3.0)) for z in (-40.0, 20.0, -5.0)]
        both = union(pieces, number=0, name="u", kind="target")
        assert volume_cc(both) == pytest.approx(0.1 * np.pi * 27.0, rel=1e-3)

    def test_touching_pieces_have_no_gap(self) -> None:
        low, high = prism([circle(10.0)], [-9.0, -6.0, -3.0]), prism([circle(10.0)], [0.0, 3.0, 6.0])
        both = union([low, high], number=0, name="u", kind="target")
        np.testing.assert_allclose(both.z_mm, [-9, -6, -3, 0, 3, 6])
        assert all(plane.loops for plane in both.planes)

    def test_empty_ones_add_nothing_and_only_empty_ones_are_refused(self) -> None:
        both = union([empty(), prism([circle(10.0)], COARSE_MM)], number=0, name="u", kind="target")
        assert len(both.planes) == 11
        for nothing in ([], [empty()]):
            with pytest.raises(StructureRefusal, match="PTV all") as refused:
                union(nothing, number=0, name="PTV all", kind="target")
            assert refused.value.code == "structure-empty"

    def test_derived_structures_with_empty_planes_unite(self) -> None:
        holed = structure({-3.0: [circle(10.0)], 0.0: [], 3.0: [circle(10.0)]})
        both = union([holed, prism([circle(5.0)], [-3.0, 0.0, 3.0])], number=0, name="u", kind="target")
        np.testing.assert_allclose(areas_mm2(both), np.array([100.0, 25.0, 100.0]) * np.pi, rtol=1e-6)


class TestRing:
    target = prism([circle(15.0)], np.arange(-6.0, 6.1, 2.0), number=2, name="PTV")
    body = prism([circle(70.0)], BODY_MM, number=1, name="BODY")

    @pytest.mark.parametrize(("inner_mm", "outer_mm"), [(0.0, 5.0), (3.0, 10.0), (10.0, 15.0)])
    def test_its_volume_is_that_of_steiners_formula(self, inner_mm: float, outer_mm: float) -> None:
        shell = ring([self.target], inner_mm=inner_mm, outer_mm=outer_mm, within=self.body, number=-1, name="Ring")
        outer, inner = grown_cylinder_cc(15.0, 14.0, outer_mm), grown_cylinder_cc(15.0, 14.0, inner_mm)
        least = grown_cylinder_cc(15.0, 14.0, outer_mm - SIMPLIFIED_MM) - inner
        most = outer - grown_cylinder_cc(15.0, 14.0, max(inner_mm - SIMPLIFIED_MM, 0.0))
        assert 0.995 * least < volume_cc(shell) < 1.005 * most

    def test_in_the_middle_planes_it_lies_between_its_distances(self) -> None:
        shell = ring([self.target], inner_mm=3.0, outer_mm=10.0, within=self.body, number=-1, name="Ring")
        middle = shell.planes[24]
        assert middle.z_mm == 0.5
        radii = sorted((np.hypot(*loop.T).min(), np.hypot(*loop.T).max()) for loop in middle.loops)
        np.testing.assert_allclose(radii, [(18.0, 18.0), (25.0, 25.0)], atol=SIMPLIFIED_MM)
        assert [bool(plane.loops) for plane in shell.planes] == list(np.abs(BODY_MM) < 17.0)
        assert (shell.number, shell.name, shell.kind) == (-1, "Ring", "other")

    def test_above_the_inner_distance_it_is_a_cap(self) -> None:
        """At z = 12.5 mm, 5.5 mm beyond the target's end: the inner 3 mm do not reach, the outer 10 mm still do."""
        shell = ring([self.target], inner_mm=3.0, outer_mm=10.0, within=self.body, number=-1, name="Ring")
        assert areas_mm2(shell)[36] == pytest.approx(np.pi * (15.0 + np.sqrt(100.0 - 5.5**2)) ** 2, rel=0.015)

    def test_it_ends_at_the_body(self) -> None:
        body = prism([circle(20.0)], FINE_MM)
        shell = ring([self.target], inner_mm=3.0, outer_mm=10.0, within=body, number=-1, name="Ring")
        assert areas_mm2(shell)[24] == pytest.approx((400.0 - 18.0**2) * np.pi, rel=0.05)
        assert max(np.hypot(*loop.T).max() for plane in shell.planes for loop in plane.loops) < 20.01

    def test_rings_of_several_targets_are_outside_all_of_them(self) -> None:
        other = prism([circle(15.0, (35.0, 0.0))], np.arange(-6.0, 6.1, 2.0), number=3)
        shell = ring(
            [self.target, empty(), other], inner_mm=4.0, outer_mm=9.0, within=self.body, number=-1, name="Ring"
        )
        both_inner = 2.0 * np.pi * 19.0**2 - _lens(19.0, 35.0)
        both_outer = 2.0 * np.pi * 24.0**2 - _lens(24.0, 35.0)
        assert areas_mm2(shell)[24] == pytest.approx(both_outer - both_inner, rel=0.02)

    def test_between_targets_that_lie_apart_along_z_there_is_no_core(self) -> None:
        """Halfway between two discs 26 mm apart, 10 mm reach neither: the ring must not close round the gap."""
        pair = [prism([circle(15.0)], z + np.arange(-2.0, 2.1, 2.0)) for z in (-16.0, 16.0)]
        shell = ring(pair, inner_mm=0.0, outer_mm=10.0, within=self.body, number=-1, name="Ring")
        assert [bool(plane.loops) for plane in shell.planes] == list(np.abs(np.abs(BODY_MM) - 16.0) < 13.0)
        one = grown_cylinder_cc(15.0, 6.0, 10.0) - grown_cylinder_cc(15.0, 6.0, 0.0)
        beyond_body = np.pi * np.sum([(15.0 + np.sqrt(100.0 - h**2)) ** 2 for h in np.arange(5.005, 10.0, 0.01)]) * 1e-5
        assert volume_cc(shell) == pytest.approx(2.0 * (one - beyond_body), rel=0.02)

    @pytest.mark.parametrize(
        ("inner_mm", "outer_mm"), [(5.0, 5.0), (5.0, 3.0), (-1.0, 3.0), (np.nan, 3.0), (0.0, np.nan)]
    )
    def test_distances_without_a_shell_are_refused(self, inner_mm: float, outer_mm: float) -> None:
        with pytest.raises(GeometryRefusal) as refused:
            ring([self.target], inner_mm=inner_mm, outer_mm=outer_mm, within=self.body, number=-1, name="Ring")
        assert refused.value.code == "ring-distances"

    def test_a_ring_round_nothing_is_refused(self) -> None:
        with pytest.raises(StructureRefusal) as refused:
            ring([empty()], inner_mm=0.0, outer_mm=5.0, within=self.body, number=-1, name="Ring")
        assert refused.value.code == "structure-empty"


def _lens(radius: float, distance: float) -> float:
    """Area that two discs of one radius share."""
    half = distance / 2.0
    return float(2.0 * (radius**2 * np.arccos(half / radius) - half * np.sqrt(radius**2 - half**2)))


class TestOverlap:
    organ = prism([circle(20.0)], COARSE_MM)

    def test_two_discs(self) -> None:
        other = prism([circle(20.0, (15.0, 0.0))], COARSE_MM)
        assert overlap_fraction(self.organ, [other]) == pytest.approx(_lens(20.0, 15.0) / (400.0 * np.pi), rel=1e-3)

    def test_it_is_a_fraction_of_the_first(self) -> None:
        small = prism([circle(10.0)], COARSE_MM)
        assert overlap_fraction(self.organ, [small]) == pytest.approx(0.25, rel=1e-3)
        assert overlap_fraction(small, [self.organ]) == pytest.approx(1.0)

    def test_shared_height_counts_by_slabs(self) -> None:
        uneven = prism([circle(20.0)], [0.0, 3.0, 9.0, 15.0])
        upper = prism([circle(30.0)], [9.0, 15.0])
        assert overlap_fraction(uneven, [upper]) == pytest.approx(12.0 / 19.5)

    def test_several_others_count_once(self) -> None:
        half = prism([rectangle((0.0, 30.0), (-30.0, 30.0))], COARSE_MM)
        assert overlap_fraction(self.organ, [half, half, empty()]) == pytest.approx(0.5, rel=1e-3)

    def test_apart_or_empty_there_is_none(self) -> None:
        assert overlap_fraction(self.organ, [shifted(self.organ, (0.0, 0.0, 50.0))]) == 0.0
        assert overlap_fraction(self.organ, []) == 0.0
        assert overlap_fraction(empty(), [self.organ]) == 0.0
        assert overlap_fraction(prism([circle(9.0), circle(9.0)], COARSE_MM), [self.organ]) == 0.0


@pytest.mark.parametrize(
    "combine",
    [
        lambda a, b: union([a, b], number=0, name="u", kind="target"),
        lambda a, b: subtract(a, [b], margin_mm=0.0, number=0, name="s"),
        lambda a, b: ring([b], inner_mm=0.0, outer_mm=5.0, within=a, number=0, name="r"),
        lambda a, b: overlap_fraction(a, [b]),
    ],
    ids=["union", "subtract", "ring", "overlap"],
)
def test_structures_of_different_frames_are_never_combined(combine) -> None:  # type: ignore[no-untyped-def]
    elsewhere = structure({0.0: [circle(5.0)]}, frame=OTHER_FRAME)
    with pytest.raises(GeometryRefusal, match="2\\.25\\.1, 2\\.25\\.2") as refused:
        combine(prism([circle(10.0)], COARSE_MM), elsewhere)
    assert refused.value.code == "frame-of-reference"
