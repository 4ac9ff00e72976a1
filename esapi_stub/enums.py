"""Enumerations of VMS.TPS.Common.Model.Types, with their values."""

from __future__ import annotations

from enum import Enum

__all__ = [
    "CalculationType",
    "DVHEstimateType",
    "DoseValuePresentation",
    "DosimeterUnit",
    "GantryDirection",
    "MLCPlanType",
    "OptimizationConvergenceOption",
    "OptimizationIntermediateDoseOption",
    "OptimizationObjectiveOperator",
    "OptimizationOption",
    "PlanSetupApprovalStatus",
    "PlanType",
    "VolumePresentation",
]


class DoseValuePresentation(Enum):
    """In percent of the prescription, or in the system's unit."""

    Relative = 0
    Absolute = 1


class VolumePresentation(Enum):
    """In percent of the structure, or in cc."""

    Relative = 0
    AbsoluteCm3 = 1


class OptimizationObjectiveOperator(Enum):
    """What an objective asks. ``None_`` is ``None`` in .NET, which Python cannot spell."""

    Upper = 0
    Lower = 1
    Exact = 2
    None_ = 99


class DVHEstimateType(Enum):
    """Which side of an estimate a curve is."""

    Upper = 0
    Lower = 1
    Undefined = 99


class PlanType(Enum):
    """Kind of plan."""

    ExternalBeam = 0
    ExternalBeam_IRREG = 1
    ExternalBeam_Proton = 2
    Brachy = 3


class PlanSetupApprovalStatus(Enum):
    """How far a plan's approval has come."""

    Rejected = 0
    UnApproved = 1
    Reviewed = 2
    PlanningApproved = 3
    TreatmentApproved = 4
    CompletedEarly = 5
    Completed = 6
    Retired = 7
    UnPlannedTreatment = 8
    ExternallyApproved = 9
    Unknown = 999


class CalculationType(Enum):
    """What a model calculates. Numbers are those of 15.6; they moved in 16.1, so only names are compared."""

    PhotonVolumeDose = 0
    PhotonSRSDose = 1
    PhotonIMRTOptimization = 2
    PhotonVMATOptimization = 3
    PhotonLeafMotions = 4
    ProtonVolumeDose = 5
    DVHEstimation = 6


class OptimizationOption(Enum):
    """Where an optimization starts."""

    RestartOptimization = 0
    ContinueOptimization = 1
    ContinueOptimizationWithPlanDoseAsIntermediateDose = 2


class OptimizationIntermediateDoseOption(Enum):
    """Whether the dose is calculated in the course of an optimization."""

    NoIntermediateDose = 0
    UseIntermediateDose = 1


class OptimizationConvergenceOption(Enum):
    """Whether an optimization stops early."""

    NoEarlyTermination = 0
    TerminateIfConverged = 1


class GantryDirection(Enum):
    """How the gantry turns. ``None_`` is ``None`` in .NET."""

    None_ = 0
    Clockwise = 1
    CounterClockwise = 2


class MLCPlanType(Enum):
    """What the leaves do during a beam."""

    Static = 0
    DoseDynamic = 1
    ArcDynamic = 2
    VMAT = 3
    ProtonLayerStacking = 4
    NotDefined = 999


class DosimeterUnit(Enum):
    """Unit of a meterset."""

    Null = 0
    MU = 1
    Minute = 2
    Second = 3
