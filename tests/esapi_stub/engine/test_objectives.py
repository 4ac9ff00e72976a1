"""Objectives of a plan as one function of the dose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bridge.rt.errors import StructureRefusal
from bridge.rt.grid import Grid
from bridge.rt.volume import CtVolume
from esapi_stub.engine.objectives import AUTOMATIC_NORMAL_TISSUE, DoseFunction, dose_function, fall_off_gy
from esapi_stub.engine.patient import PlanningPatient, patient_on_grid
from esapi_stub.planning import MeanObjective, NormalTissueObjective, PlannedObjective, PointObjective
from tests.esapi_stub.engine.phantoms import FRAME, box_structure, positions, water_patient

NORMAL_TISSUE = NormalTissueObjective(30.0, False, 10.0, 105.0, 60.0, 0.05)
TARGET, REST = 1, 2


@pytest.fixture(scope="module")
def patient() -> PlanningPatient:
    return water_patient((40.0, 30.0, 20.0))


def test_terms_are_weighted_by_priority_and_taken_over_their_structure(patient: PlanningPatient) -> None:
    objectives = (
        PointObjective(TARGET, "lower", 60.0, 100.0, 120.0),
        MeanObjective(REST, 5.0, 50.0),
        PointObjective(REST, "upper", 15.0, 0.0, 0.0),  # no priority, no objective
    )
    function = dose_function(patient, objectives, None, 60.0)
    x, _, _ = (axis.ravel()[patient.body.ravel()][function.voxels] for axis in positions(patient.ct.grid))
    target = patient.targets.ravel()[patient.body.ravel()][function.voxels]
    dose = np.where(target, 57.0, np.where(x > 0, 20.0, 0.0))
    mean = dose[~target].mean()
    value, gradient = function(dose)
    assert value == pytest.approx(120.0 * 9.0 + 50.0 * (mean - 5.0) ** 2)
    assert function.parts(dose) == pytest.approx({TARGET: 120.0 * 9.0, REST: 50.0 * (mean - 5.0) ** 2})
    np.testing.assert_allclose(gradient[target], 120.0 * -6.0 / target.sum())
    np.testing.assert_allclose(gradient[~target], 50.0 * 2.0 * (mean - 5.0) / (~target).sum())
    assert function.weighted({REST: 2.0})(dose)[0] == pytest.approx(120.0 * 9.0 + 100.0 * (mean - 5.0) ** 2)


def test_only_voxels_that_count_are_asked_for(patient: PlanningPatient) -> None:
    function = dose_function(patient, (PointObjective(TARGET, "lower", 60.0, 100.0, 1.0),), None, 60.0)
    inside = np.flatnonzero(patient.targets.ravel()[patient.body.ravel()])
    np.testing.assert_array_equal(function.voxels, inside)


def test_the_fall_off_is_the_published_one() -> None:
    limit = fall_off_gy(NORMAL_TISSUE, np.array([0.0, 10.0, 30.0, 1000.0]), 50.0)
    half_way = 0.5 * (105.0 * np.exp(-1.0) + 60.0 * (1.0 - np.exp(-1.0)))
    np.testing.assert_allclose(limit, [52.5, 52.5, half_way, 30.0])
    automatic = NormalTissueObjective(30.0, True, np.nan, np.nan, np.nan, np.nan)
    expected = fall_off_gy(AUTOMATIC_NORMAL_TISSUE, np.array([3.0, 40.0]), 50.0)
    np.testing.assert_array_equal(fall_off_gy(automatic, np.array([3.0, 40.0]), 50.0), expected)


@pytest.mark.parametrize(
    ("objectives", "full_gy"),
    [
        ((), 50.0),
        ((PointObjective(TARGET, "upper", 56.0, 0.0, 1.0), PointObjective(REST, "upper", 90.0, 0.0, 1.0)), 56.0),
    ],
)
def test_the_normal_tissue_objective_is_relative_to_the_targets_upper_point(
    patient: PlanningPatient, objectives: tuple[PlannedObjective, ...], full_gy: float
) -> None:
    function = dose_function(patient, objectives, NORMAL_TISSUE, 50.0)
    x, y, z = (axis.ravel()[patient.body.ravel()] for axis in positions(patient.ct.grid))
    (voxel,) = np.flatnonzero((x == 35.0) & (y == 0.0) & (z == 0.0))  # 25 mm from the target's last voxel
    dose = np.zeros(len(function.voxels))
    place = np.searchsorted(function.voxels, voxel)
    dose[place] = 100.0
    limit = float(fall_off_gy(NORMAL_TISSUE, np.array([22.5]), full_gy)[0])  # the border is half a voxel nearer
    outside = np.count_nonzero(patient.body & ~patient.targets)
    assert function.parts(dose)[None] == pytest.approx(30.0 * (100.0 - limit) ** 2 / outside)


@pytest.mark.parametrize(
    ("objectives", "code"),
    [
        ((MeanObjective(7, 5.0, 1.0),), "objective-structure"),
        ((), "no-objective"),
        ((MeanObjective(REST, 5.0, 0.0),), "no-objective"),
    ],
)
def test_what_cannot_be_optimized_is_refused(
    patient: PlanningPatient, objectives: tuple[PlannedObjective, ...], code: str
) -> None:
    with pytest.raises(StructureRefusal, match=code):
        dose_function(patient, objectives, None, 50.0)


def test_a_structure_outside_the_body_is_refused(patient: PlanningPatient) -> None:
    outside = PlanningPatient(patient.ct, patient.body, patient.targets, {3: (~patient.body).astype(np.float32)})
    with pytest.raises(StructureRefusal, match="objective-structure"):
        dose_function(outside, (MeanObjective(3, 5.0, 1.0),), None, 50.0)


@pytest.fixture(scope="module")
def sampled() -> PlanningPatient:
    # 5 mm wide, from -13 to -8 mm, on voxels with centres at multiples of 5 mm
    cord = box_structure(3, "Cord", "organ", (-10.5, 0.0, 0.0), (2.5, 10.0, 10.0), 2.5)
    body = box_structure(9, "BODY", "external", (0.0, 0.0, 0.0), (40.0, 30.0, 20.0))
    target = box_structure(1, "PTV", "target", (10.0, 0.0, 0.0), (10.0, 10.0, 10.0))
    grid = Grid.axial((20, 30, 36), (3.0, 3.0, 3.0), (-52.5, -43.5, -28.5), FRAME)
    ct = CtVolume(np.zeros(grid.shape, dtype=np.float32), grid)
    return patient_on_grid(ct, [body, target, cord], 5.0)


class TestSamples:
    """Of a structure with contours the objectives look at the dose where a DVH does, between the voxels."""

    def rising(self, sampled: PlanningPatient, function: DoseFunction) -> NDArray[np.float64]:
        """1 Gy/mm along x, 0 Gy at x = -20 mm."""
        x, _, _ = positions(sampled.ct.grid)
        return (x + 20.0).ravel()[sampled.body.ravel()][function.voxels]

    def test_the_mean_is_that_of_the_contours_and_not_of_the_voxels(self, sampled: PlanningPatient) -> None:
        function = dose_function(sampled, (MeanObjective(3, 5.0, 1.0),), None, 60.0)
        assert function.parts(self.rising(sampled, function))[3] == pytest.approx((9.5 - 5.0) ** 2, rel=1e-2)

    def test_the_coldest_and_hottest_parts_are_those_of_the_dvh(self, sampled: PlanningPatient) -> None:
        objectives = (PointObjective(3, "upper", 12.0, 0.0, 1.0), PointObjective(3, "lower", 7.0, 100.0, 1.0))
        function = dose_function(sampled, objectives, None, 60.0)
        # between 7 and 12 Gy over 5 mm; voxels would be seen at 5, 10 and 15 Gy
        assert function.parts(self.rising(sampled, function))[3] == pytest.approx(0.0, abs=1e-3)

    def test_the_gradient_is_that_of_the_value(self, sampled: PlanningPatient) -> None:
        objectives = (PointObjective(3, "upper", 8.0, 20.0, 3.0), MeanObjective(3, 6.0, 2.0))
        function = dose_function(sampled, objectives, NORMAL_TISSUE, 10.0)
        dose = self.rising(sampled, function)
        step = np.random.default_rng(5).normal(size=dose.shape)
        _, gradient = function(dose)
        change = [function(dose + sign * 1e-4 * step)[0] for sign in (1.0, -1.0)]
        assert gradient @ step == pytest.approx((change[0] - change[1]) / 2e-4, rel=1e-3)

    def test_a_part_that_counts_is_as_good_as_the_whole(self, sampled: PlanningPatient) -> None:
        objectives = (PointObjective(3, "upper", 8.0, 20.0, 3.0), PointObjective(1, "lower", 60.0, 95.0, 2.0))
        function = dose_function(sampled, objectives, NORMAL_TISSUE, 30.0)
        dose = self.rising(sampled, function)
        part = function.part(function.counting(dose, 0.5))
        places = np.searchsorted(function.voxels, part.voxels)
        np.testing.assert_array_equal(function.voxels[places], part.voxels)
        assert len(part.voxels) < 0.9 * len(function.voxels)
        value, gradient = function(dose)
        of_part, gradient_of_part = part(dose[places])
        assert of_part == pytest.approx(value, rel=1e-9)
        np.testing.assert_allclose(gradient_of_part, gradient[places], rtol=1e-9, atol=1e-12)
        assert np.abs(np.delete(gradient, places)).max() == 0.0

    def test_where_everything_is_met_no_part_is_left(self, sampled: PlanningPatient) -> None:
        function = dose_function(sampled, (PointObjective(3, "upper", 80.0, 0.0, 3.0),), None, 30.0)
        part = function.part(function.counting(np.zeros(len(function.voxels)), 1.0))
        assert (len(part.voxels), part.terms) == (0, ())
        assert part(np.zeros(0))[0] == 0.0

    def test_what_is_outside_the_body_is_not_looked_at(self) -> None:
        half = box_structure(1, "PTV", "target", (40.0, 0.0, 0.0), (10.0, 10.0, 10.0))
        body = box_structure(9, "BODY", "external", (0.0, 0.0, 0.0), (40.0, 30.0, 20.0))
        grid = Grid.axial((20, 30, 36), (3.0, 3.0, 3.0), (-52.5, -43.5, -28.5), FRAME)
        patient = patient_on_grid(CtVolume(np.zeros(grid.shape, dtype=np.float32), grid), [body, half], 5.0)
        function = dose_function(patient, (MeanObjective(1, 1.0, 1.0),), None, 60.0)
        (term,) = function.terms
        # the target goes from 30 to 50 mm, the last voxel of the body to 42.5 mm
        assert len(term.view.share) == pytest.approx(len(patient.samples[1].sample_cc) * 12.5 / 20.0, rel=0.02)
        assert term.view.share.sum() == pytest.approx(1.0)

    def test_a_structure_too_thin_for_the_body_is_seen_voxel_by_voxel(self, sampled: PlanningPatient) -> None:
        samples = sampled.samples[3]
        away = replace(samples, points_mm=samples.points_mm + np.array([200.0, 0.0, 0.0]))
        function = dose_function(replace(sampled, samples={3: away}), (MeanObjective(3, 5.0, 1.0),), None, 60.0)
        assert function.terms[0].view.interpolation is None
        assert len(function.voxels) == np.count_nonzero(sampled.masks[3])
