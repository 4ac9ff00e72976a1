"""Names and numbers of the enumerations, restated here from the decoded assemblies, and held against the reference."""

from __future__ import annotations

import re
from enum import Enum

import pytest

from esapi_stub import enums
from esapi_stub.values import DoseValue
from tests.shared_data import shared_dir

EXPECTED: dict[str, tuple[type[Enum], dict[str, int]]] = {
    "DoseValue.DoseUnit": (DoseValue.DoseUnit, {"Unknown": 0, "Gy": 1, "cGy": 2, "Percent": 3}),
    "DoseValuePresentation": (enums.DoseValuePresentation, {"Relative": 0, "Absolute": 1}),
    "VolumePresentation": (enums.VolumePresentation, {"Relative": 0, "AbsoluteCm3": 1}),
    "OptimizationObjectiveOperator": (
        enums.OptimizationObjectiveOperator,
        {"Upper": 0, "Lower": 1, "Exact": 2, "None": 99},
    ),
    "DVHEstimateType": (enums.DVHEstimateType, {"Upper": 0, "Lower": 1, "Undefined": 99}),
    "PlanSetupApprovalStatus": (
        enums.PlanSetupApprovalStatus,
        {
            "Rejected": 0,
            "UnApproved": 1,
            "Reviewed": 2,
            "PlanningApproved": 3,
            "TreatmentApproved": 4,
            "CompletedEarly": 5,
            "Completed": 6,
            "Retired": 7,
            "UnPlannedTreatment": 8,
            "ExternallyApproved": 9,
            "Unknown": 999,
        },
    ),
    "CalculationType": (
        enums.CalculationType,
        {
            "PhotonVolumeDose": 0,
            "PhotonSRSDose": 1,
            "PhotonIMRTOptimization": 2,
            "PhotonVMATOptimization": 3,
            "PhotonLeafMotions": 4,
            "ProtonVolumeDose": 5,
            "DVHEstimation": 6,
        },
    ),
    "OptimizationOption": (
        enums.OptimizationOption,
        {"RestartOptimization": 0, "ContinueOptimization": 1, "ContinueOptimizationWithPlanDoseAsIntermediateDose": 2},
    ),
    "OptimizationIntermediateDoseOption": (
        enums.OptimizationIntermediateDoseOption,
        {"NoIntermediateDose": 0, "UseIntermediateDose": 1},
    ),
    "OptimizationConvergenceOption": (
        enums.OptimizationConvergenceOption,
        {"NoEarlyTermination": 0, "TerminateIfConverged": 1},
    ),
    "GantryDirection": (enums.GantryDirection, {"None": 0, "Clockwise": 1, "CounterClockwise": 2}),
    "MLCPlanType": (
        enums.MLCPlanType,
        {"Static": 0, "DoseDynamic": 1, "ArcDynamic": 2, "VMAT": 3, "ProtonLayerStacking": 4, "NotDefined": 999},
    ),
    "DosimeterUnit": (enums.DosimeterUnit, {"Null": 0, "MU": 1, "Minute": 2, "Second": 3}),
    "PlanType": (
        enums.PlanType,
        {"ExternalBeam": 0, "ExternalBeam_IRREG": 1, "ExternalBeam_Proton": 2, "Brachy": 3},
    ),
}


def members(enumeration: type[Enum]) -> dict[str, int]:
    return {name.rstrip("_"): member.value for name, member in enumeration.__members__.items()}


@pytest.mark.parametrize("name", EXPECTED)
def test_members_and_values(name: str) -> None:
    enumeration, expected = EXPECTED[name]
    assert members(enumeration) == expected


def test_every_enumeration_is_in_the_table() -> None:
    covered = {enumeration.__name__ for enumeration, _ in EXPECTED.values()}
    assert {*enums.__all__, "DoseUnit"} == covered


def test_the_reference_sheet_says_the_same() -> None:
    text = (shared_dir() / "reference" / "esapi.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w.]+)(?: 15\.6)? \| (.*) \|$", text, flags=re.MULTILINE))
    for name in EXPECTED.keys() - {"MLCPlanType", "DosimeterUnit"}:  # these are of the interface listing
        enumeration, _ = EXPECTED[name]
        in_sheet = {member: int(value) for member, value in re.findall(r"(\w+) (-?\d+)", rows[name])}
        assert members(enumeration) == in_sheet
