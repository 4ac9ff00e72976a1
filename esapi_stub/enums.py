"""Enumerations of VMS.TPS.Common.Model.Types, with their values."""

from __future__ import annotations

from enum import Enum

__all__ = [
    "DVHEstimateType",
    "DoseValuePresentation",
    "OptimizationObjectiveOperator",
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
