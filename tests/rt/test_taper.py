"""Tapered prisms against the solids they stand for, and against shapes that must not be tapered."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.structure import Structure
from tests.solids import (
    CYLINDER,
    LYING_CYLINDER,
    SOLIDS,
    SPHERE,
    GradientAxis,
    Solid,
    circle,
    grid_around,
    linear_dose,
    rectangle,
    structure,
    uniform_dose,
)

TAPERED = DvhPolicy("half_slice", between_planes="tapered")
PRISM = DvhPolicy("half_slice")
GRADIENTS: dict[GradientAxis, tuple[float, float, float]] = {"y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
FLAT = uniform_dose(grid_around(60.0, (3.0, 3.0, 3.0)), 50.0)


@pytest.mark.parametrize("axis", GRADIENTS)
@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("solid", SOLIDS, ids=lambda solid: solid.name)
def test_every_benchmark_parameter_is_within_three_percent(solid: Solid, spacing_mm: float, axis: GradientAxis) -> None:
    """The public benchmark's own rule, on the spacings at which plain slabs fail it."""
    dose = linear_dose(grid_around(15.0, (spacing_mm, spacing_mm, spacing_mm)), GRADIENTS[axis])
    exact = solid.dvh(solid.true_slabs(spacing_mm / 2.0), axis)
    found = compute_dvh(solid.drawn(spacing_mm), dose, TAPERED)
    assert found.volume_cc == pytest.approx(exact.volume_cc, rel=0.03)
    assert found.mean_gy == pytest.approx(exact.mean_gy, rel=0.03)
    for percent in (99, 95, 5, 1):
        assert found.dose_at_percent(percent) == pytest.approx(exact.dose_at_percent(percent), rel=0.03)
    assert found.dose_at_cc(0.03) == pytest.approx(exact.dose_at_cc(0.03), rel=0.03)


def lying_d99(policy: DvhPolicy) -> Dvh:
    return compute_dvh(
        LYING_CYLINDER.drawn(3.0), linear_dose(grid_around(15.0, (3.0, 3.0, 3.0)), GRADIENTS["z"]), policy
    )


def test_it_is_the_taper_that_finds_the_narrow_ends() -> None:
    exact = LYING_CYLINDER.dvh(LYING_CYLINDER.true_slabs(0.0), "z")
    assert lying_d99(PRISM).dose_at_percent(99) - exact.dose_at_percent(99) > 0.8
    assert lying_d99(TAPERED).dose_at_percent(99) == pytest.approx(exact.dose_at_percent(99), abs=0.1)


def test_a_sphere_keeps_its_volume_wherever_its_planes_lie() -> None:
    for first in (-11.0, -10.5, -9.7, -9.0):
        heights = np.arange(first, 12.0, 3.0)
        drawn = structure({float(z): [circle(float(np.sqrt(144.0 - z * z)))] for z in heights})
        assert compute_dvh(drawn, FLAT, TAPERED).volume_cc == pytest.approx(7.2382, rel=0.01)


def test_a_body_that_does_not_narrow_is_left_alone() -> None:
    for end_caps in ("none", "half_slice"):
        plain = compute_dvh(CYLINDER.drawn(3.0), FLAT, DvhPolicy(end_caps))
        tapered = compute_dvh(CYLINDER.drawn(3.0), FLAT, DvhPolicy(end_caps, between_planes="tapered"))
        assert tapered.volume_cc == pytest.approx(plain.volume_cc, rel=1e-9)


def test_without_end_caps_nothing_lies_beyond_the_last_contour() -> None:
    dose = linear_dose(grid_around(15.0, (3.0, 3.0, 3.0)), GRADIENTS["z"])
    found = compute_dvh(SPHERE.drawn(3.0), dose, DvhPolicy("none", between_planes="tapered"))
    assert 16.0 - 9.0 - 1e-4 <= found.min_gy <= found.max_gy <= 16.0 + 9.0 + 1e-4


def test_a_slowly_narrowing_end_gets_half_a_slice_and_no_more() -> None:
    drawn = structure({z: [circle(20.0 - 0.05 * z)] for z in (0.0, 3.0, 6.0, 9.0)})
    dose = linear_dose(grid_around(30.0, (3.0, 3.0, 3.0)), GRADIENTS["z"], at_origin_gy=30.0)
    found = compute_dvh(drawn, dose, TAPERED)
    assert found.max_gy == pytest.approx(30.0 + 10.5, abs=0.1)
    assert found.min_gy == pytest.approx(30.0 - 1.5, abs=0.1)


RING = [circle(15.0), circle(6.0)]
TWO_ISLANDS = [circle(5.0, (-12.0, 0.0)), circle(5.0, (12.0, 0.0))]


@pytest.mark.parametrize(
    "drawn",
    [
        structure({0.0: RING, 3.0: RING, 6.0: RING}),
        structure({0.0: [circle(12.0)], 3.0: TWO_ISLANDS, 6.0: TWO_ISLANDS}),
        structure({0.0: [circle(5.0)], 3.0: [circle(14.0)], 6.0: [circle(5.0)]}),
        structure({0.0: [circle(10.0)], 3.0: [circle(8.0)]}),
        structure({0.0: [circle(10.0)]}),
        structure({0.0: [circle(10.0)], 3.0: [], 6.0: [circle(8.0)], 9.0: [circle(7.0)]}),
        structure({0.0: [circle(10.0)], 3.0: [circle(5.2)], 15.0: [circle(5.2)]}),
        structure({0.0: [circle(6.0)], 3.0: [circle(6.0)], 9.0: [circle(9.0)]}),
        structure({0.0: [circle(5.0)], 3.0: [circle(5.0, (5.0, 0.0))], 15.0: [circle(5.0, (5.0, 0.0))]}),
    ],
    ids=[
        "ring",
        "splits",
        "jumps",
        "two planes",
        "one plane",
        "gap on purpose",
        "uneven",
        "plane missing",
        "shifted",
    ],
)
def test_shapes_whose_neighbours_are_not_alike_stay_prisms(drawn: Structure) -> None:
    plain, tapered = (compute_dvh(drawn, FLAT, policy) for policy in (PRISM, TAPERED))
    assert tapered.volume_cc == pytest.approx(plain.volume_cc, rel=1e-9)
    np.testing.assert_allclose(tapered.sample_cc.sum(), plain.sample_cc.sum())


def test_a_ragged_outline_changes_its_volume_by_less_than_a_percent() -> None:
    """Contours redrawn by hand jump by a millimetre from plane to plane."""
    rng = np.random.default_rng(7)
    planes = {}
    for z in np.arange(-30.0, 31.0, 3.0):
        half = np.array([18.0, 12.0]) + rng.uniform(-1.0, 1.0, 2)
        centre = rng.uniform(-1.0, 1.0, 2)
        planes[float(z)] = [
            rectangle((centre[0] - half[0], centre[0] + half[0]), (centre[1] - half[1], centre[1] + half[1]))
        ]
    plain, tapered = (compute_dvh(structure(planes), FLAT, policy) for policy in (PRISM, TAPERED))
    assert tapered.volume_cc == pytest.approx(plain.volume_cc, rel=0.01)


def test_a_narrowing_between_planes_stays_between_their_extents() -> None:
    drawn = structure({0.0: [circle(10.0)], 3.0: [circle(5.2)], 6.0: [circle(5.2)]})
    policy = DvhPolicy("none", between_planes="tapered")
    frusta_cc = np.pi * (3.0 * (100.0 + 52.0 + 27.04) / 3.0 + 3.0 * 27.04) / 1000.0
    assert compute_dvh(drawn, FLAT, policy).volume_cc == pytest.approx(frusta_cc, rel=0.03)
