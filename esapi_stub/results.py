"""What optimizations and calculations give back."""

from __future__ import annotations

from dataclasses import dataclass

from esapi_stub.structure_set import Structure
from esapi_stub.values import DVHPoint

__all__ = ["CalculationResult", "OptimizerDVH", "OptimizerObjectiveValue", "OptimizerResult"]


@dataclass(frozen=True, eq=False)
class CalculationResult:
    """Whether it went to its end."""

    Success: bool


@dataclass(frozen=True, eq=False)
class OptimizerDVH:
    """A structure's cumulative DVH in the optimizer's own dose."""

    Structure: Structure
    CurveData: tuple[DVHPoint, ...]


@dataclass(frozen=True, eq=False)
class OptimizerObjectiveValue:
    """A structure's part of the objective value."""

    Structure: Structure
    Value: float


@dataclass(frozen=True, eq=False)
class OptimizerResult(CalculationResult):
    """What an optimization reached."""

    StructureDVHs: tuple[OptimizerDVH, ...]
    StructureObjectiveValues: tuple[OptimizerObjectiveValue, ...]
    TotalObjectiveFunctionValue: float
    NumberOfIMRTOptimizerIterations: int
