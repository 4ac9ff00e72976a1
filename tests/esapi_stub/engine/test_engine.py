"""The engine as a plan meets it: problems in, optimized plans out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from bridge.rt.errors import BridgeError, Failure, ModelRefusal
from bridge.rt.grid import Grid
from bridge.rt.volume import CtVolume
from esapi_stub.engine import engine as module
from esapi_stub.engine.engine import EngineSettings, PencilBeamEngine
from esapi_stub.engine.fluence import even_fluence, optimize_fluences
from esapi_stub.engine.objectives import dose_function
from esapi_stub.engine.optimizer import StoppingRule
from esapi_stub.engine.patient import patient_on_grid
from esapi_stub.engine.radplan import BeamDirection, dose_influence
from esapi_stub.planning import MeanObjective, PlannedBeam, PlanningEngine, PlanningProblem, PointObjective, Watch
from tests.esapi_stub.engine.phantoms import FRAME, box_structure, needs_pyradplan

ISOCENTRE = (10.0, -20.0, 30.0)
BODY = box_structure(1, "BODY", "external", ISOCENTRE, (40.0, 40.0, 30.0))
TARGET = box_structure(2, "PTV", "target", (15.0, -15.0, 35.0), (10.0, 10.0, 10.0))
ORGAN = box_structure(3, "Cord", "organ", (-10.0, -40.0, 30.0), (5.0, 5.0, 30.0))
OBJECTIVES = (
    PointObjective(2, "lower", 60.0, 100.0, 100.0),
    PointObjective(2, "upper", 63.0, 0.0, 100.0),
    MeanObjective(3, 4.0, 10.0),
)
SETTINGS = EngineSettings(dose_grid_mm=5.0, beamlet_mm=7.0)


def water() -> CtVolume:
    grid = Grid.axial((24, 36, 36), (3.0, 3.0, 3.0), (-42.5, -72.5, -4.5), FRAME)
    return CtVolume(np.zeros(grid.shape, dtype=np.float32), grid)


def beam(identifier: str, gantry_deg: float, **changes: object) -> PlannedBeam:
    made = PlannedBeam(identifier, gantry_deg, 0.0, 0.0, ISOCENTRE, "6X")
    return replace(made, **changes)  # type: ignore[arg-type]


PROBLEM = PlanningProblem(
    ct=water(),
    structures=(BODY, TARGET, ORGAN),
    beams=(beam("A", 0.0), beam("B", 120.0), beam("C", 240.0)),
    objectives=OBJECTIVES,
    normal_tissue=None,
    prescription_gy=60.0,
    fractions=30,
)


@pytest.fixture(scope="module")
def engine() -> PencilBeamEngine:
    return PencilBeamEngine(SETTINGS)


@needs_pyradplan
def test_objectives_that_can_be_met_are_met(engine: PlanningEngine) -> None:
    seen: list[tuple[int, float]] = []
    plan = engine.optimize(PROBLEM, watch=Watch(lambda *report: seen.append(report)))
    target = patient_on_grid(PROBLEM.ct, PROBLEM.structures, 5.0).masks[2] >= 0.5
    assert plan.is_complete
    assert plan.dose.values[target].min() > 57.0
    assert plan.dose.values[target].max() < 66.0
    assert plan.objective_value == pytest.approx(sum(plan.objective_values.values()), rel=1e-3)
    assert set(plan.objective_values) == {2, 3}
    assert seen[0][0] == 0
    assert seen[-1] == (plan.iterations, plan.objective_value)
    assert [part.beam for part in plan.fluence] == ["A", "B", "C"]
    assert min(part.weights.min() for part in plan.fluence) >= 0.0
    np.testing.assert_allclose(engine.calculate_dose(PROBLEM, plan.fluence).values, plan.dose.values)


@needs_pyradplan
def test_a_quadratic_problem_comes_to_its_exact_minimum() -> None:
    patient = replace(patient_on_grid(PROBLEM.ct, PROBLEM.structures, 5.0), samples={})
    influence = dose_influence(patient, [BeamDirection(0.0, ISOCENTRE), BeamDirection(100.0, ISOCENTRE)], 7.0)
    objectives = [PointObjective(2, "lower", 60.0, 100.0, 4.0), PointObjective(2, "upper", 60.0, 0.0, 4.0)]
    function = dose_function(patient, [*objectives, PointObjective(3, "upper", 1e-9, 0.0, 1.0)], None, 60.0)
    roots = [np.sqrt(term.weight * term.view.share) for term in (function.terms[0], function.terms[2])]
    rows = [term.view.voxels for term in (function.terms[0], function.terms[2])]
    matrix = influence.matrix[function.voxels].toarray().astype(np.float64)
    system = np.concatenate([root[:, None] * matrix[row] for root, row in zip(roots, rows, strict=True)])
    wanted = np.concatenate([60.0 * roots[0], 0.0 * roots[1]])
    _, residual = optimize.nnls(system, wanted, maxiter=10_000)
    start = even_fluence(influence, patient, 60.0)
    thorough = StoppingRule(max_iterations=3000, relative_decrease=1e-7)
    (found,) = optimize_fluences(influence, [function], start[None], thorough, lambda *_: None, lambda: False)
    assert found.value == pytest.approx(residual**2, rel=1e-3)
    assert found.value >= residual**2 * (1.0 - 1e-6)
    assert found.value < 0.5 * found.history[0]


@needs_pyradplan
def test_several_weightings_together_are_each_as_alone() -> None:
    patient = patient_on_grid(PROBLEM.ct, PROBLEM.structures, 5.0)
    influence = dose_influence(patient, [BeamDirection(0.0, ISOCENTRE), BeamDirection(120.0, ISOCENTRE)], 7.0)
    function = dose_function(patient, OBJECTIVES, None, 60.0)
    functions = [function.weighted({3: factor}) for factor in (0.1, 10.0)]
    functions.append(dose_function(patient, OBJECTIVES[:2], None, 60.0))  # looks at fewer voxels
    starts = np.tile(even_fluence(influence, patient, 60.0), (3, 1))
    rule = StoppingRule(max_iterations=15)
    together = optimize_fluences(influence, functions, starts, rule, lambda *_: None, lambda: False)
    organ_gy = []
    for one, found in zip(functions, together, strict=True):
        (alone,) = optimize_fluences(influence, [one], starts[:1], rule, lambda *_: None, lambda: False)
        np.testing.assert_allclose(found.fluence, alone.fluence, rtol=1e-3, atol=1e-3)
        organ_gy.append(float(influence.dose(found.fluence).values[patient.masks[3] > 0].mean()))
    assert organ_gy[1] < organ_gy[0] < organ_gy[2] + 1e-6


@needs_pyradplan
def test_a_warm_start_goes_on_where_the_last_ended(engine: PlanningEngine) -> None:
    first = engine.optimize(PROBLEM, max_iterations=8)
    assert first.iterations == 8
    values: list[float] = []
    more = engine.optimize(PROBLEM, start=first.fluence, watch=Watch(lambda _, value: values.append(value)))
    assert values[0] == pytest.approx(first.objective_value, rel=1e-5)
    assert more.objective_value < first.objective_value


@needs_pyradplan
def test_a_cancelled_optimization_gives_the_best_so_far(engine: PlanningEngine) -> None:
    seen: list[float] = []
    watch = Watch(lambda _, value: seen.append(value), lambda: len(seen) >= 2)
    plan = engine.optimize(PROBLEM, watch=watch)
    assert not plan.is_complete
    assert plan.iterations == 10
    assert plan.objective_value == seen[-1] < seen[0]


@needs_pyradplan
def test_a_patient_feet_first_is_seen_from_the_other_side(engine: PlanningEngine) -> None:
    head = replace(PROBLEM, beams=(beam("A", 300.0),))
    feet = replace(PROBLEM, beams=(beam("A", 60.0),), patient_position="FFS")
    plans = [engine.optimize(problem, max_iterations=5) for problem in (head, feet)]
    np.testing.assert_allclose(plans[0].dose.values, plans[1].dose.values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(plans[0].fluence[0].x_mm, -plans[1].fluence[0].x_mm, atol=1e-9)
    np.testing.assert_allclose(plans[0].fluence[0].y_mm, -plans[1].fluence[0].y_mm, atol=1e-9)


@needs_pyradplan
def test_positions_are_along_the_axes_of_the_collimator(engine: PlanningEngine) -> None:
    problems = [replace(PROBLEM, beams=(beam("A", 0.0, collimator_deg=angle),)) for angle in (0.0, 90.0)]
    straight, turned = (engine.optimize(problem, max_iterations=1).fluence[0] for problem in problems)
    # the target lies to the left and superior of the isocentre: x and y of IEC 61217 at gantry and collimator 0
    assert straight.x_mm.mean() == pytest.approx(5.0, abs=3.6)
    assert straight.y_mm.mean() == pytest.approx(5.0, abs=3.6)
    np.testing.assert_allclose(turned.x_mm, straight.y_mm, atol=1e-9)
    np.testing.assert_allclose(turned.y_mm, -straight.x_mm, atol=1e-9)


@needs_pyradplan
def test_jaws_hold_beamlets_back(engine: PlanningEngine) -> None:
    jaws = (-5.0, -30.0, 12.0, 8.0)
    plan = engine.optimize(replace(PROBLEM, beams=(beam("A", 0.0, jaws_mm=jaws), beam("B", 90.0))), max_iterations=2)
    held, free = plan.fluence
    assert (held.x_mm.min(), held.x_mm.max(), held.y_mm.max()) == (0.0, 7.0, 7.0)
    assert free.y_mm.max() > 8.0


@needs_pyradplan
def test_an_arc_is_planned_as_many_beams(engine: PlanningEngine) -> None:
    plan = engine.optimize(replace(PROBLEM, beams=(beam("Arc", 350.0, arc_deg=40.0),)), max_iterations=1)
    assert [(part.beam, part.gantry_deg) for part in plan.fluence] == [("Arc", a) for a in (355.0, 5.0, 15.0, 25.0)]


@needs_pyradplan
def test_monitor_units_are_of_one_fraction(engine: PlanningEngine) -> None:
    whole, half = (engine.optimize(replace(PROBLEM, fractions=n), max_iterations=2).fluence[0] for n in (1, 2))
    assert whole.monitor_units == pytest.approx(2.0 * half.monitor_units)
    assert whole.monitor_units >= 100.0 * whole.weights.max()


@needs_pyradplan
def test_the_influence_is_computed_once_for_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, cache=tmp_path / "influence")
    problem = replace(PROBLEM, beams=(beam("A", 0.0),))
    first = PencilBeamEngine(settings).optimize(problem, max_iterations=2)
    (file,) = (tmp_path / "influence").iterdir()
    monkeypatch.setattr(module, "dose_influence", lambda *_: pytest.fail("computed again"))
    again = PencilBeamEngine(settings)
    second = again.optimize(replace(problem, ct=water()), max_iterations=2)
    np.testing.assert_array_equal(first.dose.values, second.dose.values)
    again.optimize(problem, max_iterations=2)
    file.write_bytes(b"damaged")
    with pytest.raises(ModelRefusal, match="influence-file"):
        PencilBeamEngine(settings).optimize(problem)


class Shared(PencilBeamEngine):
    """An engine with which another thread plans another patient whenever this one looks away."""

    def __init__(self, remembered: Sequence[object]) -> None:
        self._remembered = list(remembered)
        super().__init__(SETTINGS)

    @property
    def _last(self) -> object:
        return self._remembered.pop(0) if len(self._remembered) > 1 else self._remembered[0]

    @_last.setter
    def _last(self, value: object) -> None:
        """Give way to the other thread's."""


@needs_pyradplan
def test_threads_that_share_an_engine_get_their_own_patients() -> None:
    mine = replace(PROBLEM, beams=(beam("A", 0.0),))
    other = PencilBeamEngine(SETTINGS)._prepare(replace(PROBLEM, beams=(beam("B", 120.0),)))
    made = Shared([None, other])._prepare(mine)
    assert made.problem is mine
    assert Shared([made, other])._prepare(mine) is made


@needs_pyradplan
@pytest.mark.parametrize("what", ["target", "CT", "position"])
def test_an_engine_that_planned_a_case_before_does_not_take_it_for_the_next(what: str) -> None:
    first = replace(PROBLEM, beams=(beam("A", 30.0),))
    moved = box_structure(2, "PTV", "target", (5.0, -25.0, 25.0), (10.0, 10.0, 10.0))
    air = CtVolume(np.where(np.arange(36) < 18, -1000.0, first.ct.values).astype(np.float32), first.ct.grid)
    changed = {
        "target": replace(first, structures=(BODY, moved, ORGAN)),
        "CT": replace(first, ct=air),
        "position": replace(first, patient_position="FFP"),
    }[what]
    used = PencilBeamEngine(SETTINGS)
    before, after, fresh = (
        engine.optimize(problem, max_iterations=1).dose
        for engine, problem in ((used, first), (used, changed), (PencilBeamEngine(SETTINGS), changed))
    )
    np.testing.assert_array_equal(after.values, fresh.values)
    assert np.abs(after.values - before.values).max() > 1.0


@needs_pyradplan
@pytest.mark.parametrize(
    "others", [(beam("A", 0.0), beam("B", 120.0)), (beam("A", 1.0), beam("B", 120.0), beam("C", 240.0))]
)
def test_a_fluence_of_other_beams_is_refused(engine: PlanningEngine, others: Sequence[PlannedBeam]) -> None:
    fluence = engine.optimize(replace(PROBLEM, beams=tuple(others)), max_iterations=1).fluence
    with pytest.raises(ModelRefusal, match="fluence-of-other-beams"):
        engine.calculate_dose(PROBLEM, fluence)
    with pytest.raises(ModelRefusal, match="fluence-of-other-beams"):
        engine.optimize(PROBLEM, start=fluence)


@pytest.mark.parametrize(
    ("beams", "code"),
    [
        ((), "no-beam"),
        ((beam("A", 0.0, couch_deg=10.0),), "couch-angle"),
        ((beam("A", 0.0, energy="15X"),), "energy"),
    ],
)
def test_beams_that_the_engine_does_not_know_are_refused(beams: tuple[PlannedBeam, ...], code: str) -> None:
    with pytest.raises(BridgeError, match=code):
        PencilBeamEngine(SETTINGS).optimize(replace(PROBLEM, beams=beams))


@needs_pyradplan
def test_jaws_beside_the_target_are_refused(engine: PlanningEngine) -> None:
    with pytest.raises(BridgeError, match="beam-misses"):
        engine.optimize(replace(PROBLEM, beams=(beam("A", 0.0, jaws_mm=(-90.0, -90.0, -80.0, 90.0)),)))


def test_without_pyradplan_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyRadPlan"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyRadPlan", None)
    with pytest.raises(Failure, match=r"fdp-bridge\[planning\]"):
        PencilBeamEngine(SETTINGS).optimize(PROBLEM)
