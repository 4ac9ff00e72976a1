"""The prepared path has the reference path's definition: the same numbers, faster, for dose after dose."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.dvh_prepared import prepare_dvhs
from bridge.rt.errors import GeometryRefusal
from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import Dose
from tests.solids import FRAME, circle, prism

PLANES_MM = np.arange(-15.0, 16.0, 3.0)
GRID = Grid.axial((31, 41, 37), (2.5, 2.0, 2.3), (-41.0, -40.5, -37.0), FRAME)


def wavy_dose(phase: float) -> Dose:
    """A smooth dose with a fall-off in every direction, different for every phase."""
    x, y, z = GRID.positions_mm(np.indices(GRID.shape).reshape(3, -1).T.astype(np.float64)).T
    values = 40.0 + 25.0 * np.sin(x / 14.0 + phase) * np.cos(y / 17.0) + 10.0 * np.cos(z / 12.0 - phase)
    return Dose(values.reshape(GRID.shape).astype(np.float32), GRID)


def structures() -> list[Structure]:
    small = prism([circle(2.0)], PLANES_MM[4:6], number=2, name="small")
    large = prism([circle(20.0), circle(7.0)], PLANES_MM, number=3, name="large ring")
    beyond = prism([circle(12.0, (33.0, 0.0))], PLANES_MM, number=4, name="partly outside")
    outside = prism([circle(5.0, (300.0, 0.0))], PLANES_MM, number=5, name="outside")
    empty = Structure(6, "empty", "organ", (), FRAME, 3.0)
    return [small, large, beyond, outside, empty]


def numbers(dvh: Dvh) -> list[float]:
    return [*(dvh.dose_at_percent(v) for v in (99, 95, 50, 5, 1)), dvh.mean_gy, dvh.percent_at_dose(45.0) / 10.0]


def test_it_agrees_with_the_reference_for_every_dose() -> None:
    prepared = prepare_dvhs(structures(), GRID, DvhPolicy("half_slice"))
    for phase in (0.0, 1.0, 2.0):
        dose = wavy_dose(phase)
        for structure, dvh in zip(structures(), prepared.dvhs(dose), strict=True):
            reference = compute_dvh(structure, dose, DvhPolicy("half_slice"))
            assert (dvh.roi_number, dvh.roi_name, dvh.policy) == (
                reference.roi_number, reference.roi_name, reference.policy,
            )  # fmt: skip
            assert dvh.volume_cc == pytest.approx(reference.volume_cc)
            assert dvh.coverage == pytest.approx(reference.coverage, abs=1e-6)
            assert dvh.is_empty == reference.is_empty
            if not dvh.is_empty:
                np.testing.assert_allclose(numbers(dvh), numbers(reference), atol=0.1)
                assert dvh.dose_at_cc(0.03) == pytest.approx(reference.dose_at_cc(0.03), abs=0.1)


def test_a_small_structure_keeps_all_of_its_samples() -> None:
    (dvh,) = prepare_dvhs(structures()[:1], GRID).dvhs(wavy_dose(0.5))
    reference = compute_dvh(structures()[0], wavy_dose(0.5))
    np.testing.assert_allclose(dvh.dose_gy, reference.dose_gy, atol=6e-4)  # prepared doses are rounded to 1 mGy
    np.testing.assert_allclose(np.sort(dvh.sample_cc), np.sort(reference.sample_cc))


def test_linear_doses_are_interpolated_exactly() -> None:
    x = GRID.positions_mm(np.indices(GRID.shape).reshape(3, -1).T.astype(np.float64))[:, 0]
    dose = Dose((50.0 + 0.5 * x).reshape(GRID.shape).astype(np.float32), GRID)
    (dvh,) = prepare_dvhs([prism([circle(20.0)], PLANES_MM)], GRID).dvhs(dose)
    assert dvh.mean_gy == pytest.approx(50.0, abs=0.01)
    assert (dvh.min_gy, dvh.max_gy) == (pytest.approx(40.0, abs=0.4), pytest.approx(60.0, abs=0.4))


def test_a_dose_on_another_grid_is_refused() -> None:
    prepared = prepare_dvhs(structures(), GRID)
    other = Grid.axial(GRID.shape, (2.5, 2.0, 2.3), (-41.0, -40.5, -37.1), FRAME)
    with pytest.raises(GeometryRefusal) as refused:
        prepared.dvhs(Dose(np.ones(GRID.shape, dtype=np.float32), other))
    assert refused.value.code == "grid-differs"


def test_structures_of_another_frame_are_refused() -> None:
    stranger = Structure(1, "stranger", "organ", prism([circle(5.0)], PLANES_MM).planes, "1.2.3.999", 3.0)
    with pytest.raises(GeometryRefusal) as refused:
        prepare_dvhs([stranger], GRID)
    assert refused.value.code == "frame-of-reference"


def test_samples_of_different_volume_keep_their_own() -> None:
    """Planes 3 and 1 mm apart in turn: first and last sample are the largest, those between are not."""
    heights = [0.0, 3.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 15.0, 18.0]
    drawn = prism([circle(12.0)], heights, number=1)
    policy = DvhPolicy("half_slice", 3.0)
    z = GRID.positions_mm(np.indices(GRID.shape).reshape(3, -1).T.astype(np.float64))[:, 2]
    dose = Dose((60.0 - z).reshape(GRID.shape).astype(np.float32), GRID)
    (dvh,), reference = prepare_dvhs([drawn], GRID, policy).dvhs(dose), compute_dvh(drawn, dose, policy)
    np.testing.assert_allclose(numbers(dvh), numbers(reference), atol=0.005)


@pytest.mark.parametrize("dose_gy", [45.0, 60.0, 66.6, 70.0, 100.1])
def test_a_uniform_dose_covers_all_at_its_own_level(dose_gy: float) -> None:
    dose = Dose(np.full(GRID.shape, dose_gy, dtype=np.float32), GRID)
    (dvh,) = prepare_dvhs([prism([circle(15.0)], PLANES_MM)], GRID).dvhs(dose)
    assert dvh.percent_at_dose(dose_gy) == pytest.approx(100.0, abs=1e-9)


def test_no_structure_gives_no_dvh() -> None:
    assert prepare_dvhs([], GRID).dvhs(wavy_dose(0.0)) == ()
