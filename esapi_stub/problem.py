"""From a plan of the stub to what an engine is asked, and back from its answer; not part of ESAPI."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.rt.dvh_compute import compute_dvh
from esapi_stub.enums import OptimizationObjectiveOperator, VolumePresentation
from esapi_stub.optimization import (
    OptimizationEUDObjective,
    OptimizationMeanDoseObjective,
    OptimizationNormalTissueParameter,
    OptimizationObjective,
    OptimizationPointObjective,
    OptimizationSetup,
)
from esapi_stub.planning import (
    GeudObjective,
    MeanObjective,
    NormalTissueObjective,
    Operator,
    OptimizedPlan,
    PlannedObjective,
    PointObjective,
)
from esapi_stub.planning_item import curve_of
from esapi_stub.results import OptimizerDVH, OptimizerObjectiveValue, OptimizerResult
from esapi_stub.structure_set import Structure
from esapi_stub.system import System

__all__ = ["normal_tissue_of", "objectives_of", "optimizer_result"]

_OPERATORS: dict[OptimizationObjectiveOperator, Operator] = {
    OptimizationObjectiveOperator.Upper: "upper",
    OptimizationObjectiveOperator.Lower: "lower",
    OptimizationObjectiveOperator.Exact: "exact",
}
_CURVE_STEP_GY = 0.1


def objectives_of(setup: OptimizationSetup, system: System) -> tuple[PlannedObjective, ...]:
    """Give a plan's objectives in Gy."""
    return tuple(_planned(objective, system.per_gray) for objective in setup.Objectives)


def _planned(objective: OptimizationObjective, per_gray: float) -> PlannedObjective:
    number, priority = objective.Structure.ROINumber, objective.Priority
    match objective:
        case OptimizationPointObjective():
            operator = _OPERATORS[objective.Operator]
            return PointObjective(number, operator, objective.Dose.Dose / per_gray, objective.Volume, priority)
        case OptimizationMeanDoseObjective():
            return MeanObjective(number, objective.Dose.Dose / per_gray, priority)
        case OptimizationEUDObjective():
            operator = _OPERATORS[objective.Operator]
            return GeudObjective(number, operator, objective.Dose.Dose / per_gray, objective.ParameterA, priority)
    raise AssertionError(f"no call adds a {type(objective).__name__}")


def normal_tissue_of(setup: OptimizationSetup) -> NormalTissueObjective | None:
    """Give a plan's normal tissue objective, None where there is none or its priority is 0."""
    for parameter in setup.Parameters:
        if isinstance(parameter, OptimizationNormalTissueParameter) and parameter.Priority > 0:
            return NormalTissueObjective(
                priority=parameter.Priority,
                automatic=parameter.IsAutomatic,
                distance_mm=parameter.DistanceFromTargetBorderInMM,
                start_percent=parameter.StartDosePercentage,
                end_percent=parameter.EndDosePercentage,
                fall_off_per_mm=parameter.FallOff,
            )
    return None


def optimizer_result(outcome: OptimizedPlan, structures: Sequence[Structure], system: System) -> OptimizerResult:
    """Give an engine's answer as ESAPI does, with the curves of these structures in percent of their volume."""
    curves = []
    for structure in structures:
        dvh = compute_dvh(structure.rt, outcome.dose)
        if not dvh.is_empty:
            step = _CURVE_STEP_GY * system.per_gray
            curve = curve_of(dvh, step, system.dose_unit, system.per_gray, VolumePresentation.Relative)
            curves.append(OptimizerDVH(structure, curve))
    return OptimizerResult(
        Success=outcome.is_complete,
        StructureDVHs=tuple(curves),
        StructureObjectiveValues=tuple(
            OptimizerObjectiveValue(structure, outcome.objective_values[structure.ROINumber])
            for structure in structures
            if structure.ROINumber in outcome.objective_values
        ),
        TotalObjectiveFunctionValue=outcome.objective_value,
        NumberOfIMRTOptimizerIterations=outcome.iterations,
    )
