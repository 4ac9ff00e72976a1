"""OptimizationSetup and what it holds: objectives and parameters, validated as the host does."""

# ruff: noqa: N802, N803 - the names are ESAPI's

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from esapi_stub.enums import OptimizationObjectiveOperator
from esapi_stub.rules import ApplicationException, ArgumentException
from esapi_stub.structure_set import Structure, StructureSet
from esapi_stub.values import DoseValue, DVHPoint

__all__ = [
    "OptimizationEUDObjective",
    "OptimizationLineObjective",
    "OptimizationMeanDoseObjective",
    "OptimizationNormalTissueParameter",
    "OptimizationObjective",
    "OptimizationParameter",
    "OptimizationPointObjective",
    "OptimizationSetup",
]

_UPPER, _LOWER = OptimizationObjectiveOperator.Upper, OptimizationObjectiveOperator.Lower


@dataclass(frozen=True, eq=False)
class OptimizationObjective:
    """What every objective has."""

    Structure: Structure
    Operator: OptimizationObjectiveOperator
    Priority: float

    @property
    def StructureId(self) -> str:
        """Id of its structure."""
        return self.Structure.Id


@dataclass(frozen=True, eq=False)
class OptimizationPointObjective(OptimizationObjective):
    """A dose and the volume in percent that may, or must, get it."""

    Dose: DoseValue
    Volume: float


@dataclass(frozen=True, eq=False)
class OptimizationMeanDoseObjective(OptimizationObjective):
    """A mean dose not to be exceeded."""

    Dose: DoseValue


@dataclass(frozen=True, eq=False)
class OptimizationEUDObjective(OptimizationObjective):
    """A generalized equivalent uniform dose."""

    Dose: DoseValue
    ParameterA: float


@dataclass(frozen=True, eq=False)
class OptimizationLineObjective(OptimizationObjective):
    """A whole curve. It can be read, but no call of ESAPI adds one."""

    CurveData: tuple[DVHPoint, ...]


@dataclass(frozen=True, eq=False)
class OptimizationParameter:
    """A setting of the optimization that is not an objective for a structure."""


@dataclass(frozen=True, eq=False)
class OptimizationNormalTissueParameter(OptimizationParameter):
    """The normal tissue objective (NTO); a plan has one at most."""

    Priority: float
    IsAutomatic: bool
    DistanceFromTargetBorderInMM: float
    StartDosePercentage: float
    EndDosePercentage: float
    FallOff: float


class OptimizationSetup:
    """The objectives and parameters of one plan.

    Parameters
    ----------
    structure_set
        The plan's.
    dose_unit
        What the system is set to.
    require_change
        Raises unless the plan may be changed.
    has_prescription
        Whether SetPrescription was called.
    """

    def __init__(
        self,
        structure_set: StructureSet,
        dose_unit: DoseValue.DoseUnit,
        require_change: Callable[[], None],
        has_prescription: Callable[[], bool],
    ) -> None:
        self._structure_set = structure_set
        self._dose_unit = dose_unit
        self._require_change = require_change
        self._has_prescription = has_prescription
        self._objectives: list[OptimizationObjective] = []
        self._normal_tissue: OptimizationNormalTissueParameter | None = None
        self._jaw_tracking = False

    @property
    def Objectives(self) -> tuple[OptimizationObjective, ...]:
        """All objectives, in the order in which they were added."""
        return tuple(self._objectives)

    @property
    def Parameters(self) -> tuple[OptimizationParameter, ...]:
        """All parameters."""
        return () if self._normal_tissue is None else (self._normal_tissue,)

    @property
    def UseJawTracking(self) -> bool:
        """Whether the jaws follow the leaves."""
        return self._jaw_tracking

    @UseJawTracking.setter
    def UseJawTracking(self, value: bool) -> None:
        self._require_change()
        self._jaw_tracking = value

    def AddPointObjective(
        self,
        structure: Structure,
        objectiveOperator: OptimizationObjectiveOperator,
        dose: DoseValue,
        volume: float,
        priority: float,
    ) -> OptimizationPointObjective:
        """Ask that at most (Upper) or at least (Lower) ``volume`` percent of a structure gets ``dose``."""
        self._require_objective(structure, dose, priority)
        if objectiveOperator not in (_UPPER, _LOWER):
            raise ArgumentException("point-operator", f"got {objectiveOperator.name}")
        if not 0.0 <= volume <= 100.0:
            raise ArgumentException("volume-range", f"got {volume!r}")
        objective = OptimizationPointObjective(structure, objectiveOperator, priority, dose, volume)
        self._objectives.append(objective)
        return objective

    def AddMeanDoseObjective(
        self, structure: Structure, dose: DoseValue, priority: float
    ) -> OptimizationMeanDoseObjective:
        """Ask that the mean dose of a structure does not exceed ``dose``."""
        self._require_objective(structure, dose, priority)
        objective = OptimizationMeanDoseObjective(structure, OptimizationObjectiveOperator.None_, priority, dose)
        self._objectives.append(objective)
        return objective

    def AddEUDObjective(
        self,
        structure: Structure,
        objectiveOperator: OptimizationObjectiveOperator,
        dose: DoseValue,
        parameterA: float,
        priority: float,
    ) -> OptimizationEUDObjective:
        """Ask for a generalized equivalent uniform dose."""
        self._require_objective(structure, dose, priority)
        if objectiveOperator not in (_UPPER, _LOWER, OptimizationObjectiveOperator.Exact):
            raise ArgumentException("eud-operator", f"got {objectiveOperator.name}")
        if not math.isfinite(parameterA) or parameterA == 0:
            raise ArgumentException("eud-parameter", f"got {parameterA!r}")
        objective = OptimizationEUDObjective(structure, objectiveOperator, priority, dose, parameterA)
        self._objectives.append(objective)
        return objective

    def AddNormalTissueObjective(
        self,
        priority: float,
        distanceFromTargetBorderInMM: float,
        startDosePercentage: float,
        endDosePercentage: float,
        fallOff: float,
    ) -> OptimizationNormalTissueParameter:
        """Ask for a fall-off outside the targets. A second call replaces the first, automatic or not (documented)."""
        self._require_change()
        _require_priority(priority)
        numbers = (distanceFromTargetBorderInMM, startDosePercentage, endDosePercentage, fallOff)
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ArgumentException("normal-tissue-range", f"got {numbers}")
        self._normal_tissue = OptimizationNormalTissueParameter(priority, False, *numbers)
        return self._normal_tissue

    def AddAutomaticNormalTissueObjective(self, priority: float) -> OptimizationNormalTissueParameter:
        """Ask for a fall-off that the host chooses. Scripts switch it off with priority 0 (observed)."""
        self._require_change()
        if priority != 0:
            _require_priority(priority)
        self._normal_tissue = OptimizationNormalTissueParameter(priority, True, 0.0, 0.0, 0.0, 0.0)
        return self._normal_tissue

    def RemoveObjective(self, objective: OptimizationObjective) -> None:
        """Take an objective out."""
        self._require_change()
        if objective not in self._objectives:
            raise ArgumentException("unknown-item", "got an objective that is not of this plan")
        self._objectives.remove(objective)

    def RemoveParameter(self, parameter: OptimizationParameter) -> None:
        """Take a parameter out."""
        self._require_change()
        if parameter is not self._normal_tissue:
            raise ArgumentException("unknown-item", "got a parameter that is not of this plan")
        self._normal_tissue = None

    def _require_objective(self, structure: Structure, dose: DoseValue, priority: float) -> None:
        self._require_change()
        if not self._has_prescription():
            raise ApplicationException("prescription-first", "the plan has no prescription")
        if structure not in self._structure_set.Structures:
            raise ArgumentException("structure-of-plan", f"got {structure.Id!r}")
        if structure.IsEmpty:
            raise ArgumentException("structure-empty", f"{structure.Id!r} has none")
        if dose.Unit is not self._dose_unit:
            raise ArgumentException("dose-unit", f"it is set to {self._dose_unit.name}, got {dose}")
        if not 0.0 < dose.Dose < math.inf:
            raise ArgumentException("dose-positive", f"got {dose}")
        _require_priority(priority)


def _require_priority(priority: float) -> None:
    if not 0.0 < priority < math.inf:
        raise ArgumentException("priority-positive", f"got {priority!r}")
