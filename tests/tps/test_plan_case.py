"""A case through the calls of a planning script. The engine's closed form says what must come out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import BridgeError, Failure, PrescriptionRefusal, Refusal
from bridge.tps.plan_case import NINE_BEAMS_DEG, plan_case
from esapi_stub.engine.engine import EngineSettings, PencilBeamEngine
from esapi_stub.planning import Watch
from objective_extraction.objectives import NormalTissueObjective
from tests.esapi_stub.engine.phantoms import needs_pyradplan
from tests.esapi_stub.fake_engine import FakeEngine
from tests.solids import empty
from tests.tps.objective_sets import asked, extracted, line, point, prescription, structures
from tests.tps.planning_case import boxes_in_water, objectives

ISOCENTRE_MM = (20.0 / 3.0, 0.0, 0.0)
"""PTV70 lies around 0 mm, PTV56 around 10 mm and is twice as large."""


def test_the_dose_is_what_the_engine_makes_of_the_objectives() -> None:
    planned = plan_case(boxes_in_water(), objectives(), FakeEngine())
    assert planned.dose.at(np.array([ISOCENTRE_MM]))[0] == pytest.approx(70.0, rel=1e-3)
    assert planned.engine == "Closed form"
    assert (planned.iterations, planned.objective_value) == (4, 0.25)
    assert planned.receipt.refused == ()
    assert [outcome.objective for outcome in planned.receipt.added] == [0, 1, 2]
    assert planned.receipt.objectives_sha256 == objectives().sha256


def test_nine_beams_stand_around_the_middle_of_the_targets() -> None:
    beams = plan_case(boxes_in_water(), objectives(), FakeEngine()).beams
    assert [beam.gantry_deg for beam in beams] == list(NINE_BEAMS_DEG) == [0, 40, 80, 120, 160, 200, 240, 280, 320]
    assert [(beam.number, beam.name) for beam in beams[:2]] == [(1, "G0"), (2, "G40")]
    for beam in beams:
        assert beam.isocentre_mm == pytest.approx(ISOCENTRE_MM)
        assert (beam.collimator_deg, beam.couch_deg, beam.energy_mv) == (0.0, 0.0, 6.0)
        # the engine asks 100 MU for a gray, and shares 70 Gy in 35 fractions among nine beams
        assert beam.monitor_units == pytest.approx(100.0 * 2.0 / 9.0)


def test_the_engine_sees_the_derived_structures_and_the_whole_prescription() -> None:
    engine = FakeEngine()
    wanted = extracted()
    planned = plan_case(boxes_in_water(), wanted, engine, gantry_angles_deg=(10.0, 200.5))
    problem = engine.problems[0]
    assert {structure.name for structure in problem.structures} == {s.name for s in structures()} | {
        recipe.name for recipe in wanted.derived_structures
    }
    assert len(problem.objectives) == len(wanted.objectives) == len(planned.receipt.added)
    assert (problem.prescription_gy, problem.fractions) == (pytest.approx(70.0), 35)
    assert [beam.gantry_deg for beam in problem.beams] == [10.0, 200.5]


def test_the_same_case_can_be_planned_again() -> None:
    case, wanted, engine = boxes_in_water(), objectives(), FakeEngine()
    first, second = (plan_case(case, wanted, engine) for _ in range(2))
    assert np.array_equal(first.dose.values, second.dose.values)
    assert first.receipt.added == second.receipt.added


def test_an_objective_that_is_not_taken_is_named_and_the_others_are_planned() -> None:
    nothing = line(4, "Cord", (100.0, 0.0), (0.0, 0.0))
    receipt = plan_case(boxes_in_water(), asked(point(1, "PTV70", 70.0, 95.0, "lower"), nothing), FakeEngine()).receipt
    assert [outcome.structure for outcome in receipt.added] == ["PTV70"]
    (refused,) = receipt.refused
    assert (refused.objective, refused.structure) == (1, "Cord")
    assert "0 Gy" in refused.reason


def test_a_plan_for_no_objective_is_refused() -> None:
    without_cord = [structure for structure in structures() if structure.name != "Cord"]
    with pytest.raises(Refusal, match="no ROI 4") as raised:
        plan_case(boxes_in_water(without_cord), asked(point(4, "Cord", 40.0, 5.0)), FakeEngine())
    assert raised.value.code == "objectives-refused"


def test_a_plan_for_normal_tissue_alone_is_refused() -> None:
    nothing = line(4, "Cord", (100.0, 0.0), (0.0, 0.0))
    with pytest.raises(Refusal, match="0 Gy") as raised:
        plan_case(boxes_in_water(), asked(nothing, normal_tissue=NormalTissueObjective(90.0)), FakeEngine())
    assert raised.value.code == "objectives-refused"


def test_monitor_units_need_a_number_of_fractions() -> None:
    unknown = objectives(fractions=None)
    assert plan_case(boxes_in_water(), unknown, FakeEngine()).fractions == 35, "of the case"
    for nowhere in (None, prescription(None)):
        with pytest.raises(PrescriptionRefusal) as raised:
            plan_case(replace(boxes_in_water(), prescription=nowhere), unknown, FakeEngine())
        assert raised.value.code == "fractions-unknown"


def test_the_fractions_of_the_objectives_come_before_those_of_the_case() -> None:
    case = replace(boxes_in_water(), prescription=prescription(33))
    assert plan_case(case, objectives(fractions=35), FakeEngine()).fractions == 35


def test_targets_without_contours_are_refused() -> None:
    drawn = [empty(s.number, s.name) if s.kind == "target" else s for s in structures()]
    with pytest.raises(BridgeError) as raised:
        plan_case(boxes_in_water(drawn), objectives(), FakeEngine())
    assert raised.value.code == "no-target"


@pytest.mark.parametrize(("angles", "rule"), [((0.0, 360.0), "beam-angle"), ((40.0, 40.0), "id-unique")])
def test_what_the_host_refuses_is_a_refusal_that_names_the_rule(angles: tuple[float, ...], rule: str) -> None:
    with pytest.raises(Refusal, match=rule) as raised:
        plan_case(boxes_in_water(), objectives(), FakeEngine(), angles)
    assert raised.value.code == "planning-refused"


def test_somebody_follows_and_the_steps_are_timed() -> None:
    seen: list[tuple[int, float]] = []
    planned = plan_case(boxes_in_water(), objectives(), FakeEngine(), watch=Watch(lambda *report: seen.append(report)))
    assert seen == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3)), (4, 0.25)]
    assert list(planned.seconds) == ["hand-over", "influence", "optimization", "dose"]
    assert min(planned.seconds.values()) >= 0.0


def test_a_cancelled_optimization_gives_no_plan() -> None:
    with pytest.raises(Failure) as raised:
        plan_case(boxes_in_water(), objectives(), FakeEngine(), watch=Watch(is_cancelled=lambda: True))
    assert raised.value.code == "planning-cancelled"


@needs_pyradplan
def test_the_real_engine_covers_the_target_and_spares_the_organ() -> None:
    """Coarse beamlets; the parotid lies half in PTV56, which no objective here asks for."""
    engine = PencilBeamEngine(EngineSettings(dose_grid_mm=6.0, beamlet_mm=10.0))
    case = boxes_in_water()
    planned = plan_case(case, replace(objectives(), normal_tissue=None), engine, NINE_BEAMS_DEG[::2])
    target, cord = (compute_dvh(case.structures[number], planned.dose) for number in (0, 3))
    assert target.dose_at_percent(95) > 63.0
    assert target.max_gy < 85.0
    assert cord.mean_gy < 0.7 * target.mean_gy
    corners = np.stack(case.structures[4].bounds_mm())
    index = planned.dose.grid.indices(corners)
    assert (index >= -1e-6).all()
    assert (index <= np.array(planned.dose.grid.shape) - 1 + 1e-6).all(), "the dose grid covers the body"
    for beam in planned.beams:
        x1, y1, x2, y2 = beam.outline_mm
        assert x1 <= -10.0 < 10.0 <= x2 or x1 <= -10.0 < 0.0 <= x2
        assert y1 <= -25.0 < 25.0 <= y2
        assert 10.0 < beam.monitor_units < 2000.0
