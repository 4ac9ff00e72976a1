"""What holds for the DVH of any structure in any dose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.rt.dvh import DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from tests.solids import (
    FRAME,
    GradientAxis,
    grid_around,
    shifted,
    structure,
)

CAPPED, UNCAPPED = DvhPolicy(end_caps="half_slice"), DvhPolicy(end_caps="none")
GRADIENTS: dict[GradientAxis, tuple[float, float, float]] = {"y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
PROPERTIES = settings(max_examples=30, deadline=None, derandomize=True, database=None)


@st.composite
def random_structures(draw: st.DrawFn) -> Structure:
    """Star-shaped sections that change from plane to plane, on uneven planes."""
    planes, z = {}, draw(st.floats(-18.0, -10.0))
    for _ in range(draw(st.integers(1, 5))):
        points = draw(st.integers(3, 9))
        radii = np.array(draw(st.lists(st.floats(3.0, 14.0), min_size=points, max_size=points)))
        angle = np.arange(points) * 2.0 * np.pi / points
        planes[z] = [radii[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])]
        z += draw(st.floats(1.0, 5.0))
    return structure(planes)


def random_dose(seed: int, voxel_mm: float = 3.0) -> Dose:
    grid = grid_around(24.0, (4.0, voxel_mm, voxel_mm))
    return Dose(np.random.default_rng(seed).uniform(0.0, 70.0, grid.shape), grid)


@PROPERTIES
@given(drawn=random_structures(), seed=st.integers(0, 1000))
def test_a_dvh_falls_from_maximum_to_minimum(drawn: Structure, seed: int) -> None:
    dvh = compute_dvh(drawn, random_dose(seed), DvhPolicy("half_slice", 1.0))
    assert dvh.max_gy >= dvh.dose_at_percent(5) >= dvh.dose_at_percent(50) >= dvh.dose_at_percent(95) >= dvh.min_gy
    assert dvh.min_gy <= dvh.mean_gy <= dvh.max_gy
    assert (np.diff(dvh.curve(np.linspace(0.0, 100.0, 101))) <= 0.0).all()
    volumes = [dvh.cc_at_dose(dose) for dose in np.linspace(0.0, 71.0, 72)]
    assert (np.diff(volumes) <= 1e-12).all()
    assert volumes[0] == pytest.approx(dvh.volume_cc)
    assert volumes[-1] == 0.0


@PROPERTIES
@given(drawn=random_structures(), seed=st.integers(0, 1000), percent=st.floats(1.0, 99.0))
def test_dose_at_volume_and_volume_at_dose_undo_each_other(drawn: Structure, seed: int, percent: float) -> None:
    dvh = compute_dvh(drawn, random_dose(seed), DvhPolicy("half_slice", 1.0))
    assert dvh.percent_at_dose(dvh.dose_at_percent(percent)) == pytest.approx(percent, abs=0.2)


@settings(PROPERTIES, max_examples=12)
@given(drawn=random_structures(), seed=st.integers(0, 1000), at=st.floats(-3.0, 3.0))
def test_the_parts_of_a_structure_add_up(drawn: Structure, seed: int, at: float) -> None:
    """Cut in two by the plane x = at. Sampling errs by 0.4 % of the volume at 0.25 mm, falling with its square."""
    dose, policy = random_dose(seed, 12.0), DvhPolicy("half_slice", 0.25)
    whole = compute_dvh(drawn, dose, policy)
    parts = []
    for keep_below in (True, False):
        halves = {plane.z_mm: _cut(plane.loops[0], at, keep_below=keep_below) for plane in drawn.planes}
        planes = {z: [half] if len(half) > 2 else [] for z, half in halves.items()}
        parts.append(compute_dvh(structure(planes), dose, policy))
    assert sum(part.volume_cc for part in parts) == pytest.approx(whole.volume_cc, rel=1e-3)
    for dose_gy in (20.0, 35.0, 50.0):
        total = sum(part.cc_at_dose(dose_gy) for part in parts)
        assert total == pytest.approx(whole.cc_at_dose(dose_gy), abs=0.015 * whole.volume_cc)


def _cut(loop: np.ndarray, at: float, *, keep_below: bool) -> np.ndarray:
    """Clip a polygon at x = at by moving along its edges (Sutherland and Hodgman)."""
    kept = []
    for start, end in zip(loop, np.roll(loop, -1, axis=0), strict=True):
        if (start[0] <= at) == keep_below:
            kept.append(start)
        if (start[0] <= at) != (end[0] <= at):
            kept.append(start + (end - start) * (at - start[0]) / (end[0] - start[0]))
    return np.array(kept)


@PROPERTIES
@given(drawn=random_structures(), seed=st.integers(0, 1000), by=st.tuples(*[st.floats(-200.0, 200.0)] * 3))
def test_moving_structure_and_dose_together_changes_nothing(
    drawn: Structure, seed: int, by: tuple[float, float, float]
) -> None:
    dose, policy = random_dose(seed), DvhPolicy("half_slice", 0.5)
    affine = dose.grid.affine.copy()
    affine[:3, 3] += by
    moved = Dose(dose.values, Grid(dose.grid.shape, affine, FRAME))
    here, there = compute_dvh(drawn, dose, policy), compute_dvh(shifted(drawn, by), moved, policy)
    assert there.volume_cc == pytest.approx(here.volume_cc, rel=1e-4)
    assert there.mean_gy == pytest.approx(here.mean_gy, abs=0.02)
    for percent in (5, 50, 95):
        assert there.dose_at_percent(percent) == pytest.approx(here.dose_at_percent(percent), abs=0.3)
