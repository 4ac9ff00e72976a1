"""Objectives of a plan as one function of the dose."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.errors import StructureRefusal
from esapi_stub.engine.objectives import AUTOMATIC_NORMAL_TISSUE, dose_function, fall_off_gy
from esapi_stub.engine.patient import PlanningPatient
from esapi_stub.planning import MeanObjective, NormalTissueObjective, PlannedObjective, PointObjective
from tests.esapi_stub.engine.phantoms import positions, water_patient

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
