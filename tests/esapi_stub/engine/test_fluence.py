"""Fluences that minimize functions of the dose, on influences small enough to be seen through."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from bridge.rt.arrays import FloatArray
from bridge.rt.errors import GeometryRefusal
from bridge.rt.grid import Grid
from esapi_stub.engine.fluence import even_fluence, optimize_fluences
from esapi_stub.engine.influence import DoseInfluence
from esapi_stub.engine.objectives import DoseFunction, Term, View
from esapi_stub.engine.optimizer import Minimum, StoppingRule, minimize
from esapi_stub.engine.penalties import LimitPenalty, MeanPenalty, PointPenalty
from tests.esapi_stub.engine.phantoms import FRAME, water_patient

THOROUGH = StoppingRule(max_iterations=3000, relative_decrease=1e-9)


def influence_of(matrix: FloatArray) -> DoseInfluence:
    rows, columns = matrix.shape
    grid = Grid.axial((1, 1, rows), (5.0, 5.0, 5.0), (0.0, 0.0, 0.0), FRAME)
    return DoseInfluence(
        sparse.csr_array(matrix.astype(np.float32)), grid, np.arange(rows), np.zeros(columns, dtype=np.int64),
        np.zeros((columns, 2)), "ab" * 32,
    )  # fmt: skip


def view(*voxels: int) -> View:
    return View(np.array(voxels), np.full(len(voxels), 1.0 / len(voxels)))


def optimized(influence: DoseInfluence, function: DoseFunction, start: FloatArray, rule: StoppingRule) -> Minimum:
    (found,) = optimize_fluences(influence, [function], start[None], rule, lambda *_: None, lambda: False)
    return found


def test_a_minor_objective_is_met_also_where_a_major_one_began_far_off() -> None:
    influence = influence_of(np.eye(2))
    target = Term(1, PointPenalty("lower", 60.0, 100.0), 1000.0, view(0))
    organ = Term(2, MeanPenalty(10.0), 1.0, view(1))
    function = DoseFunction(np.arange(2), (target, organ))
    found = optimized(influence, function, np.array([0.0, 11.0]), StoppingRule(relative_decrease=0.0))
    # a millionth of the value at the start would be as much as 1.9 Gy too much for the organ
    assert found.fluence[1] == pytest.approx(10.0, abs=0.03)
    assert found.fluence[0] == pytest.approx(60.0, abs=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_left_out_between_looks_does_not_change_the_plan(seed: int) -> None:
    random = np.random.default_rng(seed)
    # 20 voxels of a target, 10 of an organ, and 400 of tissue that gets from next to nothing to too much
    matrix = random.uniform(size=(430, 15)) * np.r_[np.full(30, 1.0), np.linspace(0.0, 1.1, 400)][:, None]
    terms = (
        Term(1, PointPenalty("lower", 60.0, 100.0), 100.0, view(*range(20))),
        Term(2, MeanPenalty(20.0), 20.0, view(*range(20, 30))),
        Term(2, PointPenalty("upper", 40.0, 0.0), 20.0, view(*range(20, 30))),
        Term(None, LimitPenalty(np.linspace(30.0, 50.0, 400)), 50.0, view(*range(30, 430))),
    )
    function = DoseFunction(np.arange(430), terms)
    influence, start = influence_of(matrix), np.full(15, 10.0)
    exact = influence.matrix.toarray().astype(np.float64)

    def whole(fluence: FloatArray) -> tuple[float, FloatArray]:
        value, slope = function(exact @ fluence)
        return value, exact.T @ slope

    found, plain = optimized(influence, function, start, THOROUGH), minimize(whole, start, THOROUGH)
    assert found.value == pytest.approx(whole(found.fluence)[0], rel=1e-6)
    assert found.value == pytest.approx(plain.value, rel=1e-4)
    assert found.value < 0.5 * found.history[0]


def test_a_plan_that_has_nothing_to_gain_stays_as_it_is() -> None:
    function = DoseFunction(np.arange(2), (Term(1, PointPenalty("upper", 60.0, 0.0), 1.0, view(0, 1)),))
    found = optimized(influence_of(np.eye(2)), function, np.array([20.0, 30.0]), StoppingRule())
    np.testing.assert_array_equal(found.fluence, [20.0, 30.0])
    assert (found.value, found.iterations, found.stop) == (0.0, 0, "converged")


def test_beamlets_that_do_not_reach_the_targets_are_refused() -> None:
    patient = water_patient((10.0, 10.0, 10.0), target_half_mm=5.0)
    voxels = np.flatnonzero(patient.body)
    matrix = np.where(patient.targets.ravel()[voxels], 0.0, 1.0)[:, None].astype(np.float32)
    influence = DoseInfluence(
        sparse.csr_array(matrix), patient.ct.grid, voxels, np.zeros(1, dtype=np.int64), np.zeros((1, 2)), "ab" * 32
    )
    with pytest.raises(GeometryRefusal, match="beam-misses"):
        even_fluence(influence, patient, 60.0)
