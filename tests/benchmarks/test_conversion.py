"""The parts of the conversion study whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.dvh import DvhPolicy
from bridge.rt.grid import Grid
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.volume import CtVolume, Dose
from bridge.tps.esapi_port import EsapiPort
from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.beams import ExternalBeamMachineParameters
from esapi_stub.engine.engine import EngineSettings, PencilBeamEngine
from esapi_stub.engine.optimizer import StoppingRule
from esapi_stub.enums import CalculationType, OptimizationConvergenceOption, OptimizationOption
from esapi_stub.options import OptimizationOptionsIMRT
from esapi_stub.planning import PlannedBeam
from esapi_stub.values import DoseValue, VRect, VVector
from objective_extraction.extract import extract_objectives
from objective_extraction.objective_set import CaseReference, ObjectiveSet
from objective_extraction.settings import ExtractionSettings
from tests.benchmarks.conversion import key_of, row_name
from tests.benchmarks.conversion_case import ConversionCase
from tests.benchmarks.conversion_plan import Planner, organ_difference, target_difference
from tests.benchmarks.conversion_table import markdown
from tests.esapi_stub.engine.phantoms import FRAME, box_structure, needs_pyradplan
from tests.objective_extraction.cases import PROVENANCE, ramp_dvh

ISOCENTRE = (10.0, -20.0, 30.0)
ANGLES_DEG = (0.0, 120.0, 240.0)


def a_case() -> ConversionCase:
    """A box of water with a target, an organ that overlaps it, and one that does not; the dose rises along y."""
    structures = (
        box_structure(1, "BODY", "external", ISOCENTRE, (40.0, 40.0, 30.0)),
        box_structure(2, "PTV", "target", (15.0, -15.0, 35.0), (10.0, 10.0, 10.0)),
        box_structure(3, "Parotid_L", "organ", (-10.0, -40.0, 30.0), (5.0, 5.0, 25.0)),
        box_structure(4, "SpinalCord", "organ", (15.0, -30.0, 30.0), (5.0, 10.0, 25.0)),
    )
    grid = Grid.axial((24, 36, 36), (3.0, 3.0, 3.0), (-42.5, -72.5, -4.5), FRAME)
    rise = np.linspace(0.0, 70.0, 36, dtype=np.float32)[None, :, None]
    return ConversionCase(
        "phantom",
        CtVolume(np.zeros(grid.shape, dtype=np.float32), grid),
        structures,
        Prescription((TargetLevel(2, "PTV", 60.0, "target_name"),), 35),
        tuple(PlannedBeam(f"G{angle:.0f}", angle, 0.0, 0.0, ISOCENTRE, "6X") for angle in ANGLES_DEG),
        Dose(np.broadcast_to(rise, grid.shape).copy(), grid),
    )


def its_objectives(case: ConversionCase) -> ObjectiveSet:
    return extract_objectives(
        case.structures, case.prescription, case.dose, [], case=CaseReference("2.25.1", "2.25.2", FRAME),
        dose_source="given", settings=ExtractionSettings(), policy=DvhPolicy(), provenance=PROVENANCE,
    )  # fmt: skip


class TestDifferences:
    def test_misfit_and_sparing_are_the_two_halves_of_a_crossing(self) -> None:
        # at v the one is 40 (1 - v), the other 20: they cross at 50 %
        difference = organ_difference(ramp_dvh(5, "Cord", 0.0, 40.0), ramp_dvh(5, "Cord", 19.999, 20.001))
        assert difference.absolute == pytest.approx(10.0, abs=0.2)
        assert difference.misfit == pytest.approx(5.0, abs=0.1)
        assert difference.sparing == pytest.approx(5.0, abs=0.1)
        assert difference.mean_dose == pytest.approx(0.0, abs=0.01)
        # D0.03cc of 20 cc: 0.06 Gy of 40 below the maximum
        assert difference.near_maximum == pytest.approx(20.0 - 39.94, abs=0.01)

    def test_above_is_misfit_and_below_is_sparing(self) -> None:
        low, high = ramp_dvh(5, "Cord", 10.0, 20.0), ramp_dvh(5, "Cord", 13.0, 23.0)
        above, below = organ_difference(low, high), organ_difference(high, low)
        assert (above.misfit, above.sparing, above.mean_dose) == pytest.approx((3.0, 0.0, 3.0))
        assert (below.misfit, below.sparing, below.mean_dose) == pytest.approx((0.0, 3.0, -3.0))

    def test_targets_are_compared_at_their_own_volumes(self) -> None:
        found = target_difference(ramp_dvh(1, "PTV", 60.0, 70.0), ramp_dvh(1, "PTV", 60.0, 80.0))
        # D_v is low + (1 - v) of the span
        assert found == pytest.approx({"d98": 0.2, "d95": 0.5, "d2": 9.8, "optimized_d95": 61.0}, abs=1e-2)


@needs_pyradplan
def test_the_engine_asked_directly_gives_the_dose_of_a_plan_in_the_stub() -> None:
    case = a_case()
    objectives = its_objectives(case)
    assert {recipe.operation for recipe in objectives.derived_structures} == {"subtract", "ring"}
    settings = EngineSettings(rule=StoppingRule(max_iterations=20))
    planner = Planner(case, PencilBeamEngine(settings))
    direct, _ = planner.optimize(planner.planned(objectives))
    stored = StoredStructureSet("CT", "2.25.1", case.structures, case.ct)
    database = Database({"P": [stored]}, engine=PencilBeamEngine(settings))
    with Application.CreateApplication(database) as application:
        patient = application.OpenPatientById("P")
        assert patient is not None
        patient.BeginModifications()
        plan = patient.AddCourse().AddExternalPlanSetup(patient.StructureSets[0])
        machine = ExternalBeamMachineParameters("Linac", "6X", 600, "STATIC", "")
        for angle in ANGLES_DEG:
            plan.AddStaticBeam(
                machine, VRect[float](-100.0, -100.0, 100.0, 100.0), 0.0, angle, 0.0, VVector(*ISOCENTRE)
            )
        for calculation in (
            CalculationType.PhotonIMRTOptimization,
            CalculationType.PhotonLeafMotions,
            CalculationType.PhotonVolumeDose,
        ):
            plan.SetCalculationModel(calculation, *plan.GetModelsForCalculationType(calculation))
        plan.SetPrescription(35, DoseValue(60.0 / 35, DoseValue.DoseUnit.Gy), 1.0)
        receipt = EsapiPort(plan).hand_over(objectives)
        assert receipt.refused == ()
        plan.Optimize(
            OptimizationOptionsIMRT(
                20, OptimizationOption.RestartOptimization, OptimizationConvergenceOption.TerminateIfConverged, "MLC"
            )
        )
        plan.CalculateLeafMotionsAndDose()
        assert plan.rt_dose is not None
        np.testing.assert_allclose(plan.rt_dose.values, direct.dose.values, atol=0.05)


def row(patient: str, arm: str, absolute: float, d95: float) -> dict[str, object]:
    organ = {"absolute": absolute, "misfit": 0.5, "sparing": absolute - 0.5, "mean_dose": 1.0, "near_maximum": 0.1}
    target = {"d98": 0.1, "d95": d95, "d2": 0.3, "optimized_d95": 69.5, "prescribed": 70.0}
    return {
        "patient": patient, "source": "reference", "arm": arm, "organs": {"A": organ, "B": organ},
        "targets": {"PTV": target}, "objectives": 10, "optimize_s": 3.0,
    }  # fmt: skip


def test_the_table_is_of_the_patients_that_every_arm_has() -> None:
    rows = [row("pt_1", "a", 1.0, 0.2), row("pt_2", "a", 3.0, -0.4), row("pt_3", "a", 9.0, 9.0)]
    rows += [row("pt_1", "b", 2.0, 0.0), row("pt_2", "b", 2.0, 0.0)]
    first, second = markdown(rows, ["reference", "clinical"], ["a", "b"]).splitlines()[2:]
    assert [cell.strip() for cell in first.split("|")[1:-1]] == [
        "reference", "a", "2", "2.00 ± 1.41", "0.50", "1.50", "+1.00", "+0.10",
        "0.30", "0.40", "+0.10", "-0.10", "+0.30", "-0.50", "10", "3",
    ]  # fmt: skip
    assert second.startswith("| reference | b | 2 | 2.00 ± 0.00 |")


def test_a_row_is_known_again_by_its_settings() -> None:
    assert key_of("defaults") != key_of("4 points")
    assert row_name("pt_1", "reference", "margin of 3 %") == "pt_1.reference.margin-of-3-percent.json"
