"""From beams and objectives to a dose, through an engine whose dose has a closed form."""

from __future__ import annotations

import math

import pytest

from esapi_stub.enums import (
    CalculationType,
    DoseValuePresentation,
    DosimeterUnit,
    GantryDirection,
    OptimizationConvergenceOption,
    OptimizationIntermediateDoseOption,
    OptimizationOption,
    VolumePresentation,
)
from esapi_stub.options import OptimizationOptionsIMRT, OptimizationOptionsVMAT
from esapi_stub.planning import (
    GeudObjective,
    MeanObjective,
    NormalTissueObjective,
    PlannedBeam,
    PointObjective,
    Watch,
)
from esapi_stub.values import DoseValue, VVector
from tests.esapi_stub.fake_engine import ATTENUATION_PER_MM, ITERATIONS, FakeEngine
from tests.esapi_stub.plans import JAWS, MLC_ID, WEIGHTS, arc, calculated, machine, objectives, planned, static
from tests.esapi_stub.worlds import water, world

GY, CGY = DoseValue.DoseUnit.Gy, DoseValue.DoseUnit.cGy
ABSOLUTE, RELATIVE = DoseValuePresentation.Absolute, DoseValuePresentation.Relative


def opposed_gy(y_mm: float) -> float:
    """Dose of beams from 0 and 180 degrees that give 70 Gy at y = 0."""
    return 70.0 * math.cosh(ATTENUATION_PER_MM * y_mm)


@pytest.mark.parametrize(("unit", "per_gy"), [(GY, 1.0), (CGY, 100.0)])
def test_a_plan_gets_the_dose_of_its_beams(unit: DoseValue.DoseUnit, per_gy: float) -> None:
    with planned((0.0, 180.0), unit) as (w, _):
        calculated(w)
        dose = w.plan.Dose
        assert dose is not None
        for y in (-30.0, 0.0, 20.0):
            at = dose.GetDoseToPoint(VVector(10.0, y, 5.0))
            assert (at.Unit, at.Dose) == (unit, pytest.approx(per_gy * opposed_gy(y), rel=1e-6))
        # the mean of cosh over the target, from y = -10 to 10 mm; trilinear interpolation adds next to nothing
        mean = 70.0 * math.sinh(10.0 * ATTENUATION_PER_MM) / (10.0 * ATTENUATION_PER_MM)
        data = w.plan.GetDVHCumulativeData(w["PTV"], ABSOLUTE, VolumePresentation.Relative, 0.01 * per_gy)
        assert data is not None
        assert data.MeanDose.Dose == pytest.approx(per_gy * mean, rel=1e-4)
        assert w.plan.IsDoseValid


def test_the_engine_is_asked_in_gray_millimetres_and_degrees() -> None:
    asked = []
    for unit in (GY, CGY):
        with planned((0.0, 200.0), unit) as (w, engine):
            w.plan.Optimize(10, mlcId=MLC_ID)
            asked.append(engine.problems[0])
    for problem in asked:
        assert problem.objectives == (
            PointObjective(1, "lower", 70.0, 98.0, 120.0),
            PointObjective(1, "upper", 74.0, 0.0, 110.0),
            MeanObjective(2, 20.0, 50.0),
            GeudObjective(2, "upper", 30.0, 4.0, 40.0),
        )
        assert problem.normal_tissue == NormalTissueObjective(80.0, False, 5.0, 105.0, 60.0, 0.05)
        assert problem.beams[1] == PlannedBeam(
            "Field 2", 200.0, 0.0, 0.0, (0.0, 0.0, 0.0), "6X", 0.0, (-50.0, -60.0, 50.0, 60.0)
        )
        assert (problem.prescription_gy, problem.fractions, problem.patient_position) == (70.0, 35, "HFS")
        assert [structure.name for structure in problem.structures] == ["PTV", "Organ"], "what has contours"


def test_an_nto_that_is_switched_off_is_not_asked_for() -> None:
    with planned() as (w, engine):
        w.plan.OptimizationSetup.AddAutomaticNormalTissueObjective(0.0)
        w.plan.Optimize(10, mlcId=MLC_ID)
        assert engine.problems[0].normal_tissue is None


@pytest.mark.parametrize(("unit", "per_gy"), [(GY, 1.0), (CGY, 100.0)])
def test_the_result_of_an_optimization(unit: DoseValue.DoseUnit, per_gy: float) -> None:
    with planned(unit=unit) as (w, _):
        result = w.plan.Optimize(10, mlcId=MLC_ID)
        assert (result.Success, result.NumberOfIMRTOptimizerIterations) == (True, 10)
        assert result.TotalObjectiveFunctionValue == pytest.approx(0.1)
        values = {value.Structure.Id: value.Value for value in result.StructureObjectiveValues}
        assert values == {"PTV": 110.0, "Organ": 40.0}
        curves = {curve.Structure.Id: curve.CurveData for curve in result.StructureDVHs}
        assert set(curves) == {"PTV", "Organ"}
        below, above = (
            [point.Volume for point in curves["PTV"] if abs(point.DoseValue.Dose - per_gy * dose_gy) < 0.04 * per_gy]
            for dose_gy in (69.9, 70.2)
        )
        assert below == [100.0]
        assert above != [100.0]
        assert not w.plan.IsDoseValid, "the dose comes from CalculateDose"


def test_progress_is_reported_and_cancelling_ends_without_success() -> None:
    seen: list[int] = []
    with planned(watch=Watch(lambda done, _: seen.append(done), lambda: len(seen) >= 2)) as (w, _):
        result = w.plan.Optimize(10, mlcId=MLC_ID)
        assert seen == [1, 2]
        assert not result.Success
        assert w.plan.fluence, "the best up to there is kept"


def test_optimization_goes_on_from_the_last_fluence_if_asked_to() -> None:
    go_on = OptimizationOption.ContinueOptimization
    with planned() as (w, engine):
        w.plan.Optimize(10, go_on, MLC_ID)
        first = w.plan.fluence
        w.plan.Optimize(10, go_on, MLC_ID)
        w.plan.Optimize(10, OptimizationOption.RestartOptimization, MLC_ID)
        w.plan.CalculateLeafMotionsAndDose()
        last = w.plan.fluence
        from_dose = OptimizationOption.ContinueOptimizationWithPlanDoseAsIntermediateDose
        never = OptimizationConvergenceOption.NoEarlyTermination
        w.plan.Optimize(OptimizationOptionsIMRT(7, from_dose, never, MLC_ID))
        static(w, 90.0)
        w.plan.Optimize(10, go_on, MLC_ID)
        assert engine.starts == [None, first, None, last, None], "another beam, another plan"


def test_normalization_scales_dose_and_monitor_units_until_the_next_optimization() -> None:
    with planned((0.0, 180.0)) as (w, _):
        assert math.isnan(w.plan.PlanNormalizationValue)
        assert math.isnan(w.plan.Beams[0].Meterset.Value)
        calculated(w)
        per_beam = 35.0 / 35 * 100.0
        meterset = w.plan.Beams[0].Meterset
        assert (meterset.Value, meterset.Unit) == (pytest.approx(per_beam), DosimeterUnit.MU)
        assert w.plan.PlanNormalizationValue == 100.0
        method = w.plan.PlanNormalizationMethod
        w.plan.PlanNormalizationValue = 95.0
        assert w.plan.PlanNormalizationMethod != method
        assert w.plan.Beams[0].Meterset.Value == pytest.approx(per_beam / 0.95)
        dose = w.plan.Dose
        assert dose is not None
        assert dose.GetDoseToPoint(VVector(0, 0, 0)).Dose == pytest.approx(70.0 / 0.95)
        calculated(w)
        assert (w.plan.PlanNormalizationValue, w.plan.PlanNormalizationMethod) == (100.0, method)


def test_another_plan_has_no_dose() -> None:
    with planned() as (w, _):
        for change in (
            lambda: w.plan.RemoveBeam(w.plan.Beams[-1]),
            lambda: static(w, 180.0),
            lambda: w.plan.SetPrescription(30, w.dose(2.0), 1.0),
            lambda: setattr(w.plan.Beams[0], "Id", "A new name"),
        ):
            calculated(w)
            change()
            assert (w.plan.IsDoseValid, w.plan.fluence) == (False, ())


def test_models_are_those_of_the_engine() -> None:
    photons, leaves = CalculationType.PhotonVolumeDose, CalculationType.PhotonLeafMotions
    with planned() as (w, engine):
        assert tuple(w.plan.GetModelsForCalculationType(photons)) == (engine.name,)
        assert tuple(w.plan.GetModelsForCalculationType(CalculationType.ProtonVolumeDose)) == ()
        assert w.plan.GetCalculationModel(photons) == engine.name
        assert not w.plan.SetCalculationOption(engine.name, "/Some/@Option", "1"), "unknown options give False"
        assert w.plan.GetCalculationOptions(engine.name) == {}
        calculated(w)
        w.plan.ClearCalculationModel(leaves)
        assert w.plan.IsDoseValid
        w.plan.ClearCalculationModel(photons)
        assert (w.plan.IsDoseValid, w.plan.GetCalculationModel(photons)) == (False, "")
        w["Organ"].SegmentVolume = w["Organ"].Margin(1.0)
        for model in (photons, leaves):
            w.plan.SetCalculationModel(model, engine.name)
        calculated(w)
    with world() as w:
        assert tuple(w.plan.GetModelsForCalculationType(photons)) == ()


@pytest.mark.parametrize(
    "options",
    [
        "",
        MLC_ID,
        OptimizationOptionsVMAT(OptimizationOption.RestartOptimization, MLC_ID),
        OptimizationOptionsVMAT(OptimizationIntermediateDoseOption.UseIntermediateDose, ""),
        OptimizationOptionsVMAT(2, ""),
    ],
)
def test_arcs_are_optimized_without_leaf_motions(options: str | OptimizationOptionsVMAT) -> None:
    engine = FakeEngine()
    with world(engine=engine, ct=water()) as w:
        arc(w)
        arc(w, 179.0, 181.0, GantryDirection.CounterClockwise)
        objectives(w)
        result = w.plan.OptimizeVMAT(options)
        assert (result.Success, result.NumberOfIMRTOptimizerIterations) == (True, ITERATIONS)
        assert [beam.arc_deg for beam in engine.problems[0].beams] == [358.0, -358.0]
        w.plan.CalculateDose()
        dose = w.plan.Dose
        assert dose is not None
        assert dose.GetDoseToPoint(VVector(0, 0, 0)).Dose == pytest.approx(70.0, rel=1e-6)
        first = sum(part.monitor_units for part in w.plan.fluence if part.beam == "Field 1")
        assert w.plan.Beams[0].Meterset.Value == pytest.approx(first)


def test_options_say_what_they_are() -> None:
    cycles = OptimizationOptionsVMAT(3, "A")
    assert (cycles.NumberOfOptimizationCycles, cycles.MLC) == (3, "A")
    assert cycles.IntermediateDoseOption is OptimizationIntermediateDoseOption.UseIntermediateDose, "documented"
    assert cycles.StartOption is OptimizationOption.RestartOptimization
    go_on = OptimizationOptionsVMAT(OptimizationOption.ContinueOptimization, "")
    assert go_on.StartOption is OptimizationOption.ContinueOptimization
    assert go_on.IntermediateDoseOption is OptimizationIntermediateDoseOption.NoIntermediateDose


@pytest.mark.parametrize(
    ("start", "stop", "direction", "arc_deg"),
    [
        (181.0, 179.0, GantryDirection.Clockwise, 358.0),
        (179.0, 181.0, GantryDirection.CounterClockwise, -358.0),
        (350.0, 10.0, GantryDirection.Clockwise, 20.0),
        (350.0, 10.0, GantryDirection.CounterClockwise, -340.0),
        (10.0, 350.0, GantryDirection.CounterClockwise, -20.0),
    ],
)
def test_which_way_an_arc_goes(start: float, stop: float, direction: GantryDirection, arc_deg: float) -> None:
    with world() as w:
        beam = arc(w, start, stop, direction)
        assert beam.planned().arc_deg == arc_deg
        assert beam.ArcLength == abs(arc_deg)
        points = beam.ControlPoints
        assert (points.Count, len(points), points[0].GantryAngle) == (13, 13, start)
        assert points[-1].GantryAngle == pytest.approx(stop)
        assert (points[6].GantryAngle - start) % 360.0 == pytest.approx(arc_deg / 2.0 % 360.0)
        assert tuple(point.MetersetWeight for point in points) == WEIGHTS
        assert (points[3].Index, points[3].CollimatorAngle, points[3].Beam) == (3, 30.0, beam)


def test_every_kind_of_beam() -> None:
    leaves = [[-10.0] * 60, [10.0] * 60]
    around = (10.0, 350.0, GantryDirection.CounterClockwise, 0.0, VVector(1.0, 2.0, 3.0))
    at = (90.0, 10.0, VVector(1.0, 2.0, 3.0))
    with world() as w:
        plan = w.plan
        beams = [
            plan.AddStaticBeam(machine(), JAWS, 5.0, *at),
            plan.AddMLCBeam(machine(), leaves, JAWS, 5.0, *at),  # type: ignore[arg-type]
            plan.AddSlidingWindowBeam(machine(), WEIGHTS, 5.0, *at),
            plan.AddMultipleStaticSegmentBeam(machine("SRS STATIC", "SRS"), WEIGHTS, 5.0, *at),
            plan.AddArcBeam(machine("ARC"), JAWS, 5.0, *around),
            plan.AddMLCArcBeam(machine("ARC"), leaves, JAWS, 5.0, *around),  # type: ignore[arg-type]
            plan.AddConformalArcBeam(machine("ARC"), 5.0, 11, *around),
            plan.AddVMATBeam(machine("ARC", "FFF"), WEIGHTS, 5.0, *around),
        ]
        assert plan.Beams == tuple(beams)
        assert [beam.BeamNumber for beam in beams] == list(range(1, 9))
        assert len({beam.Id for beam in beams}) == 8
        kinds = [beam.MLCPlanType.name for beam in beams]
        assert kinds == [
            "NotDefined",
            "Static",
            "DoseDynamic",
            "DoseDynamic",
            "NotDefined",
            "Static",
            "ArcDynamic",
            "VMAT",
        ]
        assert [beam.MLC is None for beam in beams] == [True, False, False, False, True, False, False, False]
        assert [beam.is_arc for beam in beams] == [False] * 4 + [True] * 4
        assert beams[7].EnergyModeDisplayName == "6X-FFF"
        assert beams[6].ControlPoints.Count == 11
        assert beams[1].ControlPoints[0].LeafPositions.shape == (2, 60)
        assert beams[0].ControlPoints[0].JawPositions == JAWS
        for beam in beams:
            assert (beam.IsocenterPosition, beam.DoseRate, beam.IsSetupField) == (VVector(1.0, 2.0, 3.0), 600, False)
            assert (beam.ControlPoints[0].CollimatorAngle, beam.Plan) == (5.0, plan)
        plan.RemoveBeam(beams[2])
        assert beams[2] not in plan.Beams
        beams[0].Id = "AP"
        assert [beam.Id for beam in plan.Beams][:2] == ["AP", "Field 2"]
        beams[1].Id = "Field 9"
        assert (static(w).BeamNumber, plan.Beams[-1].Id) == (10, "Field 10"), "no id twice"


@pytest.mark.parametrize(
    ("arc_deg", "spacing", "expected"),
    [
        (0.0, 10.0, (350.0,)),
        (40.0, 20.0, (0.0, 20.0)),
        (-40.0, 20.0, (340.0, 320.0)),
        (45.0, 20.0, (357.5, 12.5, 27.5)),
    ],
)
def test_an_arc_is_sampled_in_the_middle_of_equal_parts(
    arc_deg: float, spacing: float, expected: tuple[float, ...]
) -> None:
    beam = PlannedBeam("A", 350.0, 0.0, 0.0, (0.0, 0.0, 0.0), "6X", arc_deg)
    assert beam.angles_deg(spacing) == pytest.approx(expected)
