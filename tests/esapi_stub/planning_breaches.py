"""The rules of beams, optimization and doses, broken on purpose; :mod:`test_rules` runs them with all others."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from esapi_stub.enums import CalculationType, GantryDirection, OptimizationOption, PlanSetupApprovalStatus
from esapi_stub.plan import attach_dose, set_approval_status
from esapi_stub.values import VVector
from tests.esapi_stub.plans import (
    JAWS,
    MLC_ID,
    ORIGIN,
    WEIGHTS,
    arc,
    calculated,
    machine,
    objectives,
    planned,
    static,
)
from tests.esapi_stub.worlds import World, water, world
from tests.solids import grid_around, uniform_dose

Breach = Callable[[World], object]

PHOTONS = CalculationType.PhotonVolumeDose


def in_plan(act: Breach) -> Breach:
    """Do it to a plan with fixed beams, objectives, an image and an engine."""

    def breach(_: World) -> None:
        with planned() as (w, _engine):
            act(w)

    return breach


def on_water(act: Breach) -> Breach:
    """Do it to a plan without beams on an image, without an engine."""

    def breach(_: World) -> None:
        with world(ct=water()) as w:
            act(w)

    return breach


def in_turn(*acts: Breach) -> Breach:
    def breach(w: World) -> None:
        for act in acts:
            act(w)

    return breach


def close(w: World) -> None:
    w.application.ClosePatient()


def optimize(w: World) -> None:
    w.plan.Optimize(10, mlcId=MLC_ID)


def without_image(_: World) -> None:
    with planned() as (rich, engine), world(engine=engine) as w:
        assert rich.structure_set.Image is not None
        static(w)
        objectives(w)
        optimize(w)


def dose_without_leaf_motions(w: World) -> None:
    optimize(w)
    w.plan.CalculateDose()


def cleared(model: CalculationType, act: Breach) -> Breach:
    def breach(w: World) -> None:
        optimize(w)
        w.plan.ClearCalculationModel(model)
        act(w)

    return in_plan(breach)


def renamed(w: World, name: str) -> None:
    static(w).Id = name


def two_of_one_name(w: World) -> None:
    static(w).Id = "AP"
    static(w).Id = "AP"


def vmat(w: World, collimator: float, gantry: float, stop: float, couch: float) -> None:
    w.plan.AddVMATBeam(
        machine("ARC"), WEIGHTS, collimator, gantry, stop, GantryDirection.Clockwise, couch, VVector(0, 0, 0)
    )


def weighted(*weights: float) -> Breach:
    return lambda w: w.plan.AddSlidingWindowBeam(machine(), weights, 0.0, 0.0, 0.0, ORIGIN)


def leaves(shape: tuple[int, ...], value: float) -> Breach:
    positions = np.full(shape, value, dtype=np.float32)
    return lambda w: w.plan.AddMLCBeam(machine(), positions, JAWS, 0.0, 0.0, 0.0, ORIGIN)


def removed_beam_twice(w: World) -> None:
    beam = static(w)
    w.plan.RemoveBeam(beam)
    w.plan.RemoveBeam(beam)


def removed_course_twice(w: World) -> None:
    w.patient.RemoveCourse(w.course)
    w.patient.RemoveCourse(w.course)


def removed_plan_twice(w: World) -> None:
    w.course.RemovePlanSetup(w.plan)
    w.course.RemovePlanSetup(w.plan)


def approved(act: Breach) -> Breach:
    def breach(w: World) -> None:
        set_approval_status(w.plan, PlanSetupApprovalStatus.Reviewed)
        act(w)

    return breach


def at_80_percent(w: World) -> None:
    w.plan.SetPrescription(35, w.dose(2.0), 0.8)
    optimize(w)


def without_objectives(w: World) -> None:
    for objective in w.plan.OptimizationSetup.Objectives:
        w.plan.OptimizationSetup.RemoveObjective(objective)
    optimize(w)


def without_beams(w: World) -> None:
    for beam in w.plan.Beams:
        w.plan.RemoveBeam(beam)
    optimize(w)


def reshaped_under_a_dose(w: World) -> None:
    attach_dose(w.plan, uniform_dose(grid_around(48.0, (3.0, 3.0, 3.0)), 1.0))
    w["Organ"].SegmentVolume = w["PTV"].SegmentVolume


def grown(w: World) -> None:
    w["PTV"].SegmentVolume = w["PTV"].Margin(1.0)


def normalized(w: World, value: float) -> None:
    w.plan.PlanNormalizationValue = value


def evaluation_dose_with_beams(w: World) -> None:
    static(w)
    w.plan.CreateEvaluationDose()


def unset_evaluation_dose_saved(w: World) -> None:
    w.plan.CreateEvaluationDose()
    w.application.SaveModifications()


def read(shape: tuple[int, int], plane: int = 0, kind: type = np.int32) -> Breach:
    """The image is of 21 x 21 x 21 voxels."""

    def breach(w: World) -> None:
        image = w.structure_set.Image
        assert image is not None
        image.GetVoxels(plane, np.zeros(shape, dtype=kind))

    return on_water(breach)


def negative_voxels(w: World) -> None:
    w.plan.CreateEvaluationDose().SetVoxels(0, np.full((21, 21), -1))


def late_voxels(w: World) -> None:
    dose = w.plan.CreateEvaluationDose()
    set_approval_status(w.plan, PlanSetupApprovalStatus.PlanningApproved)
    dose.SetVoxels(0, np.ones((21, 21), dtype=np.int32))


PLANNING_BREACHES: list[tuple[str, Breach]] = [
    ("arc-angles", lambda w: arc(w, 181.0, 179.0, GantryDirection.None_)),
    ("arc-angles", lambda w: arc(w, 181.0, 181.0)),
    ("beam-angle", lambda w: static(w, 360.0)),
    ("beam-angle", lambda w: static(w, -0.1)),
    ("beam-angle", lambda w: vmat(w, 360.0, 0.0, 10.0, 0.0)),
    ("beam-angle", lambda w: vmat(w, 0.0, 0.0, 360.0, 0.0)),
    ("beam-angle", lambda w: vmat(w, 0.0, 0.0, 10.0, math.nan)),
    ("beam-id-length", lambda w: renamed(w, "B" * 17)),
    ("beam-id-length", lambda w: renamed(w, "")),
    ("beam-kind", in_plan(lambda w: w.plan.OptimizeVMAT())),
    ("beam-kind", in_plan(in_turn(arc, optimize))),
    ("begin-modifications", in_turn(close, static)),
    ("begin-modifications", in_plan(in_turn(close, optimize))),
    ("begin-modifications", in_turn(close, lambda w: setattr(w.structure_set, "Id", "New"))),
    ("begin-modifications", in_turn(close, removed_course_twice)),
    ("calculation-model", in_plan(lambda w: w.plan.SetCalculationModel(PHOTONS, "AAA_15606"))),
    ("calculation-model", lambda w: w.plan.SetCalculationModel(PHOTONS, "Closed form")),
    ("calculation-model-set", cleared(CalculationType.PhotonIMRTOptimization, optimize)),
    ("calculation-model-set", cleared(CalculationType.PhotonLeafMotions, lambda w: w.plan.CalculateLeafMotions())),
    ("calculation-model-set", cleared(PHOTONS, lambda w: w.plan.CalculateLeafMotionsAndDose())),
    ("control-points", weighted(0.0)),
    ("control-points", weighted()),
    ("control-points", weighted(0.0, 0.6, 0.5, 1.0)),
    ("control-points", weighted(0.0, 0.5)),
    ("evaluation-dose-beams", on_water(evaluation_dose_with_beams)),
    ("evaluation-dose-voxels", on_water(unset_evaluation_dose_saved)),
    ("fluence-mode", lambda w: w.plan.AddStaticBeam(machine(mode="fff"), JAWS, 0.0, 0.0, 0.0, ORIGIN)),
    ("id-unique", two_of_one_name),
    ("image-missing", without_image),
    ("image-missing", lambda w: w.plan.CreateEvaluationDose()),
    (
        "intermediate-dose",
        in_plan(
            lambda w: w.plan.Optimize(10, OptimizationOption.ContinueOptimizationWithPlanDoseAsIntermediateDose, MLC_ID)
        ),
    ),
    ("leaf-motions-first", in_plan(dose_without_leaf_motions)),
    ("leaf-positions", leaves((1, 60), 0.0)),
    ("leaf-positions", leaves((120,), 0.0)),
    ("leaf-positions", leaves((2, 60), math.nan)),
    ("normalization-range", lambda w: normalized(w, 0.0)),
    ("normalization-range", lambda w: normalized(w, math.nan)),
    ("objective-missing", in_plan(without_objectives)),
    ("one-mlc", in_plan(lambda w: w.plan.Optimize())),
    ("optimize-first", in_plan(lambda w: w.plan.CalculateDose())),
    ("optimize-first", in_plan(lambda w: w.plan.CalculateLeafMotions())),
    ("plan-approved", in_plan(approved(optimize))),
    ("plan-approved", approved(static)),
    ("plan-approved", approved(lambda w: normalized(w, 95.0))),
    ("plan-approved", on_water(late_voxels)),
    ("planning-engine", in_turn(static, optimize)),
    ("planning-engine", lambda w: w.plan.CalculateDose()),
    ("prescription-first", lambda _: unprescribed_optimization()),
    ("removal-approved", approved(lambda w: w.course.RemovePlanSetup(w.plan))),
    ("removal-approved", approved(lambda w: w.patient.RemoveCourse(w.course))),
    ("structure-locked", reshaped_under_a_dose),
    ("structure-locked", in_plan(in_turn(calculated, grown))),
    ("technique", lambda w: w.plan.AddStaticBeam(machine("ARC"), JAWS, 0.0, 0.0, 0.0, ORIGIN)),
    ("technique", lambda w: w.plan.AddStaticBeam(machine(""), JAWS, 0.0, 0.0, 0.0, ORIGIN)),
    ("treatment-beams", in_plan(without_beams)),
    ("treatment-beams", lambda _: calculation_of_nothing()),
    ("treatment-percentage", in_plan(at_80_percent)),
    ("unknown-item", removed_beam_twice),
    ("unknown-item", removed_course_twice),
    ("unknown-item", removed_plan_twice),
    ("voxel-buffer", read((21, 20))),
    ("voxel-buffer", read((21, 21), plane=21)),
    ("voxel-buffer", read((21, 21), plane=-1)),
    ("voxel-buffer", read((21, 21), kind=np.float64)),
    ("voxel-buffer", on_water(negative_voxels)),
]


def calculation_of_nothing() -> None:
    with planned(()) as (w, _):
        w.plan.OptimizeVMAT()


def unprescribed_optimization() -> None:
    with planned() as (_, engine), world(fractions=None, engine=engine, ct=water()) as w:
        static(w)
        optimize(w)
