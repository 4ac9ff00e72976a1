from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings

from bridge.rt.dvh import DvhPolicy, EndCaps
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from tests.solids import (
    CONE,
    CYLINDER,
    FRAME,
    LYING_CONE,
    LYING_CYLINDER,
    OTHER_FRAME,
    SOLIDS,
    SPHERE,
    GradientAxis,
    Solid,
    axial_orientations,
    circle,
    empty,
    grid_around,
    keyhole,
    linear_dose,
    oriented_grid,
    prism,
    rectangle,
    shifted,
    structure,
    uniform_dose,
)

CAPPED, UNCAPPED = DvhPolicy(end_caps="half_slice"), DvhPolicy(end_caps="none")
GRADIENTS: dict[GradientAxis, tuple[float, float, float]] = {"y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
PROPERTIES = settings(max_examples=30, deadline=None, derandomize=True, database=None)


def by_name(solid: Solid) -> str:
    return solid.name


# ------------------------------------------------------------------ the solids of the analytic benchmark


class TestTheOracle:
    """The closed forms of tests.solids against the values that the benchmark prints."""

    @pytest.mark.parametrize(
        ("solid", "spacing_mm", "volume_cc"),
        [
            (SPHERE, 0.2, 7.2382), (SPHERE, 3.0, 7.2382),
            (CYLINDER, 0.2, 10.948), (CYLINDER, 1.0, 11.310), (CYLINDER, 2.0, 11.762), (CYLINDER, 3.0, 12.215),
            (LYING_CYLINDER, 0.2, 10.857), (LYING_CYLINDER, 3.0, 10.858),
            (CONE, 0.2, 3.664), (CONE, 1.0, 3.845), (CONE, 2.0, 4.072), (CONE, 3.0, 4.298),
            (LYING_CONE, 0.2, 3.619), (LYING_CONE, 3.0, 3.619),
        ],
    )  # fmt: skip
    def test_volumes(self, solid: Solid, spacing_mm: float, volume_cc: float) -> None:
        for axis in GRADIENTS:
            exact = solid.dvh(solid.true_slabs(spacing_mm / 2.0), axis)
            assert exact.volume_cc == pytest.approx(volume_cc, abs=0.001)

    @pytest.mark.parametrize("axis", GRADIENTS)
    def test_doses_of_the_sphere(self, axis: GradientAxis) -> None:
        exact = SPHERE.dvh(SPHERE.true_slabs(0.0), axis)
        printed = {99: 5.41, 95: 7.245, 5: 24.75, 1: 26.585}
        assert {v: exact.dose_at_percent(v) for v in printed} == pytest.approx(printed, abs=0.01)
        assert exact.dose_at_cc(0.03) == pytest.approx(27.095, abs=0.01)
        assert exact.mean_gy == pytest.approx(16.0, abs=0.002)

    def test_doses_of_lying_solids_have_closed_forms(self) -> None:
        """Along their axis a cylinder is linear in volume and a cone is cubic."""
        cylinder, cone = (
            LYING_CYLINDER.dvh(LYING_CYLINDER.true_slabs(0.0), "y"),
            LYING_CONE.dvh(LYING_CONE.true_slabs(0.0), "y"),
        )
        for percent in (1.0, 25.0, 50.0, 95.0):
            assert cylinder.dose_at_percent(percent) == pytest.approx(28.0 - 0.24 * percent, abs=0.002)
            assert cone.dose_at_percent(percent) == pytest.approx(28.0 - 24.0 * (percent / 100) ** (1 / 3), abs=0.002)


@pytest.mark.parametrize("solid", SOLIDS, ids=by_name)
@pytest.mark.parametrize("axis", GRADIENTS)
class TestSolids:
    @pytest.mark.parametrize("spacing_mm", [0.2, 1.0])
    @pytest.mark.parametrize("dose_mm", [1.0, 3.0])
    def test_every_parameter_is_within_3_percent_or_a_fifth_of_a_gray(
        self, solid: Solid, axis: GradientAxis, spacing_mm: float, dose_mm: float
    ) -> None:
        """The solid itself is the truth here, not the stack of prisms that contours make of it."""
        exact = solid.dvh(solid.true_slabs(spacing_mm / 2.0), axis)
        dose = linear_dose(grid_around(15.0, (dose_mm, dose_mm, dose_mm)), GRADIENTS[axis])
        dvh = compute_dvh(solid.drawn(spacing_mm), dose, CAPPED)
        assert dvh.volume_cc == pytest.approx(exact.volume_cc, rel=0.01)
        assert dvh.mean_gy == pytest.approx(exact.mean_gy, abs=0.1)
        for percent in (99, 95, 50, 5, 1):
            assert dvh.dose_at_percent(percent) == pytest.approx(exact.dose_at_percent(percent), rel=0.03, abs=0.2)
        assert dvh.dose_at_cc(0.03) == pytest.approx(exact.dose_at_cc(0.03), rel=0.03, abs=0.2)
        for dose_gy in (8.0, 16.0, 24.0):
            assert dvh.cc_at_dose(dose_gy) == pytest.approx(exact.cc_above(dose_gy), abs=0.02 * exact.volume_cc)

    @pytest.mark.parametrize("end_caps", ["half_slice", "none"])
    @pytest.mark.parametrize("spacing_mm", [1.0, 3.0])
    def test_what_the_contours_enclose_is_integrated_to_a_twentieth_of_a_gray(
        self, solid: Solid, axis: GradientAxis, spacing_mm: float, end_caps: EndCaps
    ) -> None:
        """Against right prisms on the drawn planes: what is wrong here is the integrator's own, not the contours'."""
        exact = solid.dvh(solid.slabs(spacing_mm, end_caps), axis)
        dose = linear_dose(grid_around(15.0, (3.0, 2.5, 2.5)), GRADIENTS[axis])
        dvh = compute_dvh(solid.drawn(spacing_mm), dose, DvhPolicy(end_caps=end_caps))
        assert dvh.volume_cc == pytest.approx(exact.volume_cc, rel=1e-3)
        assert dvh.coverage == 1.0
        assert dvh.mean_gy == pytest.approx(exact.mean_gy, abs=0.02)
        for percent in (98, 95, 50, 5, 2):
            assert dvh.dose_at_percent(percent) == pytest.approx(exact.dose_at_percent(percent), abs=0.05)
        assert dvh.cc_at_dose(16.0) == pytest.approx(exact.cc_above(16.0), rel=0.01)


# ------------------------------------------------------------------ what RTSTRUCTs hold: R = 20 mm, 11 planes of 3 mm

PLANES_MM = np.arange(-15.0, 15.1, 3.0)
DISC = circle(20.0)
FLAT = uniform_dose(grid_around(36.0, (3.0, 4.0, 4.0)), 30.0)


class TestContours:
    @pytest.mark.parametrize(
        ("drawn", "volume_cc"),
        [
            pytest.param(prism([DISC], PLANES_MM), 41.469, id="cylinder"),
            pytest.param(prism([DISC, circle(8.0, (3.0, 2.0))], PLANES_MM), 34.834, id="hole as a loop of its own"),
            pytest.param(prism([keyhole(DISC, circle(8.0, (3.0, 2.0)))], PLANES_MM), 34.834, id="hole as a keyhole"),
            pytest.param(
                prism([rectangle((-20.0, 4.0), (-10.0, 10.0)), rectangle((-4.0, 20.0), (-10.0, 10.0))], PLANES_MM),
                0.64 * 33.0,
                id="overlapping islands, even-odd",
            ),
            pytest.param(prism([DISC], np.delete(PLANES_MM, 5)), 41.469, id="one plane missing"),
            pytest.param(prism([DISC], np.sort(np.append(PLANES_MM, 1.0))), 41.469, id="one plane too many"),
            pytest.param(
                prism([DISC], [-15.0, -12.0, -6.0, -3.0, 3.0, 6.0, 12.0, 15.0]), 41.469, id="spacing of 3 and 6 mm"
            ),
            pytest.param(prism([DISC], [0.0]), 0.4 * np.pi * 3.0, id="single plane"),
            pytest.param(prism([circle(0.9, (2.0, 2.0))], [-3.0, 0.0, 3.0]), 0.0229, id="point-like"),
            pytest.param(structure({0.0: [circle(1.5)]}, thickness_mm=2.83), 0.0200, id="0.02 cc on one plane"),
            pytest.param(
                prism([circle(20.0, (1.0, 0.0)), circle(8.0, (31.0, 0.0))], PLANES_MM), 41.469 + 6.635, id="two islands"
            ),
        ],
    )
    def test_volume(self, drawn: Structure, volume_cc: float) -> None:
        for sample_mm in (None, 1.0):
            dvh = compute_dvh(drawn, FLAT, DvhPolicy("half_slice", sample_mm))
            assert dvh.volume_cc == pytest.approx(volume_cc, rel=6e-3)
            assert dvh.covered_cc == pytest.approx(dvh.volume_cc if volume_cc < 48.0 else dvh.covered_cc)
            assert dvh.mean_gy == pytest.approx(30.0)

    def test_end_caps_and_their_absence(self) -> None:
        drawn = prism([DISC], [-15.0, -12.0, -8.0, 0.0])
        assert compute_dvh(drawn, FLAT, UNCAPPED).volume_cc == pytest.approx(0.4 * np.pi * 15.0, rel=1e-3)
        assert compute_dvh(drawn, FLAT, CAPPED).volume_cc == pytest.approx(0.4 * np.pi * (15.0 + 1.5 + 4.0), rel=1e-3)
        assert compute_dvh(drawn, FLAT).policy.end_caps == "none"

    def test_mean_dose_with_uneven_planes_weighs_each_by_its_slab(self) -> None:
        """A small disc with 3 mm, then a large one with 7.5 mm of height, in a dose that rises along z."""
        drawn = structure({0.0: [circle(5.0)], 3.0: [circle(5.0)], 9.0: [circle(10.0)], 12.0: [circle(10.0)]})
        low_mm3, high_mm3 = 25.0 * np.pi * 6.0, 100.0 * np.pi * 6.0
        dose = linear_dose(grid_around(36.0, (3.0, 4.0, 4.0)), (0.0, 0.0, 0.5), at_origin_gy=20.0)
        expected = 20.0 + 0.5 * (low_mm3 * 3.0 + high_mm3 * 9.0) / (low_mm3 + high_mm3)
        assert compute_dvh(drawn, dose, UNCAPPED).mean_gy == pytest.approx(expected, abs=0.01)

    def test_contours_between_dose_planes_are_interpolated(self) -> None:
        dose = linear_dose(grid_around(36.0, (3.0, 4.0, 4.0)), (0.0, 0.0, 0.25), at_origin_gy=20.0)
        on_plane, above = prism([DISC], PLANES_MM), prism([DISC], PLANES_MM + 0.3)
        rise = compute_dvh(above, dose).mean_gy - compute_dvh(on_plane, dose).mean_gy
        assert rise == pytest.approx(0.075, abs=1e-4)

    def test_a_hole_leaves_no_trace_in_the_extremes(self) -> None:
        """A cone of dose, 100 Gy on the axis: a shell from 10 to 20 mm sees 80 to 90 Gy and a hole of 100 Gy."""
        grid = grid_around(40.0, (3.0, 1.0, 1.0))
        radius = np.hypot(np.arange(-40.0, 41.0)[:, None], np.arange(-40.0, 41.0))
        dose = Dose(np.broadcast_to(100.0 - radius, grid.shape), grid)
        for loops in ([DISC, circle(10.0)], [keyhole(DISC, circle(10.0))]):
            dvh = compute_dvh(prism(loops, PLANES_MM), dose)
            assert dvh.max_gy == pytest.approx(90.0, abs=0.6)
            assert dvh.min_gy == pytest.approx(80.0, abs=0.6)
            assert dvh.dose_at_cc(0.03) == pytest.approx(90.0, abs=0.35)

    def test_planes_with_nothing_left_have_no_dose(self) -> None:
        dose = linear_dose(grid_around(36.0, (3.0, 4.0, 4.0)), (0.0, 0.0, 1.0), at_origin_gy=50.0)
        dvh = compute_dvh(structure({-3.0: [DISC], 0.0: [], 3.0: [DISC], 6.0: []}), dose, CAPPED)
        assert dvh.volume_cc == pytest.approx(0.4 * np.pi * 6.0, rel=1e-3)
        assert dvh.cc_at_dose(50.0) == pytest.approx(0.4 * np.pi * 3.0, rel=1e-3)
        assert dvh.mean_gy == pytest.approx(50.0, abs=0.01)
        assert (np.abs(dvh.dose_gy - 50.0) > 1.49).all()

    def test_a_loop_drawn_twice_cancels_and_reads_as_empty(self) -> None:
        dvh = compute_dvh(prism([DISC, DISC], PLANES_MM), FLAT)
        assert dvh.is_empty
        assert (dvh.volume_cc, dvh.covered_cc, dvh.coverage) == (0.0, 0.0, 0.0)

    def test_a_single_plane_is_one_slice_thick_whatever_the_caps(self) -> None:
        dose = linear_dose(grid_around(36.0, (3.0, 4.0, 4.0)), (0.0, 0.0, 1.0), at_origin_gy=40.0)
        for policy in (CAPPED, UNCAPPED):
            dvh = compute_dvh(structure({6.0: [DISC]}, thickness_mm=5.0), dose, policy)
            assert dvh.volume_cc == pytest.approx(0.4 * np.pi * 5.0, rel=1e-3)
            assert (dvh.dose_at_percent(5), dvh.dose_at_percent(95)) == pytest.approx((48.25, 43.75), abs=0.15)


class TestWhereTheDoseIs:
    """x, y and z are told apart, in any orientation of the dose grid."""

    @pytest.mark.parametrize("name", axial_orientations())
    def test_mean_of_a_box_off_the_axes(self, name: str) -> None:
        grid = oriented_grid(axial_orientations()[name], (15, 24, 31), (3.0, 2.5, 2.0), (5.0, -10.0, 15.0))
        dose = linear_dose(grid, (0.1, -0.2, 0.4), at_origin_gy=30.0)
        drawn = prism([rectangle((2.0, 12.0), (-19.0, -13.0))], [9.0, 12.0, 15.0, 18.0])
        dvh = compute_dvh(drawn, dose, UNCAPPED)
        assert dvh.coverage == pytest.approx(1.0)
        assert dvh.mean_gy == pytest.approx(30.0 + 0.1 * 7.0 + 0.2 * 16.0 + 0.4 * 13.5, abs=1e-3)
        assert dvh.max_gy == pytest.approx(30.0 + 1.2 + 3.8 + 7.2, abs=0.25)

    def test_a_curved_dose_is_trilinear_between_voxels(self) -> None:
        """Mean of z² over a column, sampled by a 4 mm grid: the chords lie above the curve by a sixth of 4²."""
        grid = grid_around(24.0, (4.0, 4.0, 4.0))
        values = np.broadcast_to((np.arange(-6.0, 7.0)[:, None, None] * 4.0) ** 2, grid.shape)
        dvh = compute_dvh(
            prism([circle(5.0)], np.arange(-16.0, 16.1, 4.0)), Dose(values, grid), DvhPolicy(sample_mm=0.25)
        )
        assert dvh.mean_gy == pytest.approx(16.0**2 / 3.0 + 16.0 / 6.0, rel=1e-3)


class TestCoverage:
    grid = Grid.axial((8, 25, 25), (3.0, 4.0, 4.0), (-48.0, -48.0, -18.0), FRAME)
    """Voxel centres from z = -18 to z = 3 mm."""

    def test_what_is_above_the_dose_grid_is_counted_and_not_given_a_dose(self) -> None:
        dose = linear_dose(self.grid, (0.0, 0.0, 1.0), at_origin_gy=40.0)
        dvh = compute_dvh(prism([DISC], PLANES_MM), dose, CAPPED)
        assert dvh.volume_cc == pytest.approx(41.469, rel=1e-3)
        assert dvh.coverage == pytest.approx(19.5 / 33.0, abs=0.01)
        assert dvh.covered_cc == pytest.approx(0.4 * np.pi * 19.5, rel=0.02)
        assert dvh.min_gy == pytest.approx(40.0 - 16.5, abs=0.5)
        assert dvh.mean_gy == pytest.approx(40.0 - 6.75, abs=0.2)
        assert dvh.percent_at_dose(40.0) == pytest.approx(100.0 * 3.0 / 19.5, abs=1.5)
        assert dvh.cc_at_dose(0.0) == pytest.approx(dvh.covered_cc)

    def test_beside_it_too(self) -> None:
        drawn = prism([rectangle((28.0, 68.0), (-10.0, 10.0))], [-12.0, -9.0, -6.0])
        dvh = compute_dvh(drawn, uniform_dose(self.grid, 20.0))
        assert dvh.coverage == pytest.approx(0.5, abs=0.01)
        assert (dvh.min_gy, dvh.max_gy) == pytest.approx((20.0, 20.0))

    @pytest.mark.parametrize("shift", [(0.0, 0.0, 80.0), (0.0, 0.0, -80.0), (90.0, 0.0, 0.0), (0.0, -90.0, 0.0)])
    def test_wholly_outside_there_is_no_dose_but_still_a_volume(self, shift: tuple[float, float, float]) -> None:
        dvh = compute_dvh(shifted(prism([DISC], PLANES_MM), shift), uniform_dose(self.grid, 20.0), CAPPED)
        assert dvh.is_empty
        assert dvh.coverage == 0.0
        assert dvh.volume_cc == pytest.approx(41.469, rel=1e-3)
        with pytest.raises(StructureRefusal) as refused:
            _ = dvh.mean_gy
        assert refused.value.code == "dvh-empty"


class TestEmpty:
    @pytest.mark.parametrize("drawn", [empty(name="Heart"), structure({0.0: [], 3.0: []}, name="Heart")])
    def test_an_empty_structure_has_an_empty_dvh(self, drawn: Structure) -> None:
        dvh = compute_dvh(drawn, FLAT)
        assert dvh.is_empty
        assert (dvh.volume_cc, dvh.covered_cc, dvh.coverage) == (0.0, 0.0, 0.0)
        assert (dvh.roi_number, dvh.roi_name) == (drawn.number, "Heart")

    @pytest.mark.parametrize(
        "ask",
        [
            lambda dvh: dvh.mean_gy, lambda dvh: dvh.min_gy, lambda dvh: dvh.max_gy, lambda dvh: dvh.dose_at_cc(0.03),
            lambda dvh: dvh.dose_at_percent(50), lambda dvh: dvh.cc_at_dose(20.0), lambda dvh: dvh.percent_at_dose(20),
            lambda dvh: dvh.geud_gy(1.0), lambda dvh: dvh.curve(np.array([50.0])),
        ],
    )  # fmt: skip
    def test_it_has_nothing_to_report(self, ask) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(StructureRefusal, match="Heart") as refused:
            ask(compute_dvh(empty(name="Heart"), FLAT))
        assert refused.value.code == "dvh-empty"
        assert refused.value.where == {"roi": "Heart"}

    def test_another_frame_of_reference_is_refused_even_then(self) -> None:
        dose = uniform_dose(grid_around(36.0, (3.0, 4.0, 4.0), frame=OTHER_FRAME), 30.0)
        for drawn in (empty(name="Heart"), prism([DISC], PLANES_MM, name="Heart")):
            with pytest.raises(GeometryRefusal, match="Heart") as refused:
                compute_dvh(drawn, dose)
            assert refused.value.code == "frame-of-reference"


# ------------------------------------------------------------------ reading a DVH


class TestPolicy:
    def test_the_sampling_used_is_kept(self) -> None:
        assert compute_dvh(prism([DISC], PLANES_MM), FLAT, DvhPolicy(sample_mm=1.7)).policy == DvhPolicy("none", 1.7)

    def test_a_chosen_sampling_follows_the_size_within_limits(self) -> None:
        def sampling(radius: float, z_mm: np.ndarray) -> float:
            return compute_dvh(prism([circle(radius)], z_mm), FLAT).policy.sample_mm or 0.0

        assert sampling(1.0, PLANES_MM) == 0.25
        assert sampling(20.0, PLANES_MM) == pytest.approx((41469.0 / 60_000.0) ** (1.0 / 3.0), rel=1e-3)
        assert sampling(200.0, np.arange(-50.0, 51.0, 3.0)) == 4.0

    def test_finer_sampling_makes_more_samples(self) -> None:
        coarse, fine = (
            compute_dvh(prism([DISC], PLANES_MM), FLAT, DvhPolicy("half_slice", sample_mm)).dose_gy.size
            for sample_mm in (1.5, 0.75)
        )
        assert fine == pytest.approx(41469.0 / 0.75**3, rel=0.1)
        assert coarse == pytest.approx(41469.0 / 1.5**3, rel=0.2)

    @pytest.mark.parametrize("sample_mm", [0.0, -1.0, np.nan, np.inf])
    def test_a_sampling_that_is_none_is_refused(self, sample_mm: float) -> None:
        with pytest.raises(GeometryRefusal) as refused:
            DvhPolicy(sample_mm=sample_mm)
        assert refused.value.code == "sample-spacing"


# ------------------------------------------------------------------ what must hold for any structure in any dose
