"""The Python script for research systems, against a host whose doses, operators and exceptions are not the stub's."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.rt.errors import ApprovalRefusal, Refusal
from bridge.rt.structure import Structure
from bridge.tps import pyesapi_script
from bridge.tps.eclipse import EclipseFolder
from bridge.tps.esapi_port import apply_to_esapi
from bridge.tps.pyesapi_script import hand_over
from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.enums import OptimizationObjectiveOperator
from esapi_stub.rules import HostException
from esapi_stub.values import DoseValue as StubDoseValue
from objective_extraction.objective_set import DerivedStructure
from objective_extraction.objectives import NormalTissueObjective
from tests.solids import FRAME, OTHER_FRAME, empty
from tests.tps.objective_sets import SET_UID, asked, geud, line, mean, point, structures

RING = DerivedStructure("Ring_PTV", "ring", ("PTV70", "PTV56"), within="BODY", inner_mm=3.0, outer_mm=20.0)
REST = DerivedStructure("Parotid-PTV", "subtract", ("Parotid links",), minus=("PTV70",), margin_mm=2.0)
OBJECTIVES = asked(
    point(1, "PTV70", 69.5, 98.0, "lower"),
    mean(3, "Parotid links", 26.0),
    geud(4, "Cord", 40.0, 12.0),
    line(4, "Cord", (80.0, 0.0), (0.0, 40.0)),
    point(None, "Ring_PTV", 45.0, 0.0),
    point(None, "Parotid-PTV", 20.0, 30.0),
    derived=[RING, REST],
    normal_tissue=NormalTissueObjective(90.0),
)


@dataclass(frozen=True)
class DoseValue:
    """As .NET has it: a type of its own."""

    Dose: float
    Unit: DoseValue.DoseUnit

    class DoseUnit(Enum):
        Unknown = 0
        Gy = 1
        cGy = 2  # noqa: N815
        Percent = 3


class Status(Enum):
    UnApproved = 1
    PlanningApproved = 3


class Operator(Enum):
    Upper = 0
    Lower = 1
    Exact = 2


TYPES = SimpleNamespace(DoseValue=DoseValue, OptimizationObjectiveOperator=Operator, PlanSetupApprovalStatus=Status)


class ForeignSetup:
    """The stub's OptimizationSetup behind a door that takes foreign doses and operators only."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property
    def Objectives(self) -> Any:  # noqa: N802 - the name is ESAPI's
        return self._inner.Objectives

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                return getattr(self._inner, name)(*map(_inward, arguments))
            except HostException as error:
                raise LookupError(f"System.ArgumentException: {error}") from error  # anything but the stub's own

        return call


def _inward(value: Any) -> Any:
    assert not isinstance(value, StubDoseValue | OptimizationObjectiveOperator)
    if isinstance(value, DoseValue):
        return StubDoseValue(value.Dose, StubDoseValue.DoseUnit[value.Unit.name])
    return OptimizationObjectiveOperator[value.name] if isinstance(value, Operator) else value


@dataclass
class ForeignSet:
    """The stub's structure set on an image of its own."""

    real: Any
    UID: str = SET_UID
    frame: str = FRAME

    @property
    def Image(self) -> Any:  # noqa: N802 - the name is ESAPI's
        return SimpleNamespace(FOR=self.frame)

    @property
    def Structures(self) -> Any:  # noqa: N802
        return self.real.Structures

    def AddStructure(self, dicom_type: str, identifier: str) -> Any:  # noqa: N802
        return self.real.AddStructure(dicom_type, identifier)


@contextmanager
def foreign_world(unit: str = "Gy", drawn: Sequence[Structure] | None = None) -> Iterator[tuple[Any, Any]]:
    """A patient and a plan as PyESAPI gives them."""
    per_gy, stub_unit = (100.0, StubDoseValue.DoseUnit.cGy) if unit == "cGy" else (1.0, StubDoseValue.DoseUnit.Gy)
    stored = StoredStructureSet("CT", SET_UID, structures() if drawn is None else drawn)
    with Application.CreateApplication(Database({"P": [stored]}, stub_unit)) as application:
        opened = application.OpenPatientById("P")
        assert opened is not None
        opened.BeginModifications()
        plan = opened.AddCourse().AddExternalPlanSetup(opened.StructureSets[0])
        plan.SetPrescription(35, StubDoseValue(2.0 * per_gy, stub_unit), 1.0)
        foreign = SimpleNamespace(
            Id="Plan1",
            UID="2.25.7",
            ApprovalStatus=Status.UnApproved,
            NumberOfFractions=35,
            TotalDose=DoseValue(70.0 * per_gy, DoseValue.DoseUnit[unit]),
            OptimizationSetup=ForeignSetup(plan.OptimizationSetup),
            StructureSet=ForeignSet(plan.StructureSet),
        )
        yield SimpleNamespace(StructureSets=[foreign.StructureSet], BeginModifications=lambda: None), foreign


@pytest.mark.parametrize(("unit", "per_gy"), [("Gy", 1.0), ("cGy", 100.0)])
def test_the_plan_gets_what_the_port_gives_it(unit: str, per_gy: float) -> None:
    rehearsed = apply_to_esapi(OBJECTIVES, structures())
    with foreign_world(unit) as (patient, plan):
        receipt = hand_over(OBJECTIVES, patient, plan, TYPES)
        landed = plan.OptimizationSetup.Objectives
    assert (receipt.made, receipt.added, receipt.refused) == (rehearsed.made, rehearsed.added, ())
    assert receipt.taken_by.startswith("pyesapi script ")
    assert [one.StructureId for one in landed[:3]] == ["PTV70", "Parotid links", "Cord"]
    assert [one.StructureId for one in landed[-2:]] == ["Ring_PTV", "Parotid-PTV"]
    doses_gy = [one.Dose.Dose / per_gy for one in (*landed[:3], *landed[-2:])]
    assert doses_gy == pytest.approx([69.5, 26.0, 40.0, 45.0, 20.0])


def test_what_the_host_throws_is_in_the_receipt() -> None:
    wanted = asked(mean(3, "Parotid links", 26.0), mean(9, "Undrawn", 10.0))
    with foreign_world(drawn=[*structures(), empty(9, "Undrawn")]) as (patient, plan):
        receipt = hand_over(wanted, patient, plan, TYPES)
    assert [outcome.objective for outcome in receipt.added] == [0]
    assert [outcome.objective for outcome in receipt.refused] == [1]
    assert "System.ArgumentException" in receipt.refused[0].reason


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("other-patient", {"StructureSet.UID": "2.25.9"}),
        ("other-frame-of-reference", {"StructureSet.frame": OTHER_FRAME}),
        ("plan-approved", {"ApprovalStatus": Status.PlanningApproved}),
        ("no-prescription", {"NumberOfFractions": None}),
        ("other-prescription", {"NumberOfFractions": 30}),
        ("other-prescription", {"TotalDose": DoseValue(66.0, DoseValue.DoseUnit.Gy)}),
        ("unknown-unit", {"TotalDose": DoseValue(100.0, DoseValue.DoseUnit.Percent)}),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(code: str, change: dict[str, Any]) -> None:
    with foreign_world() as (patient, plan):
        for path, value in change.items():
            *parents, name = path.split(".")
            setattr(getattr(plan, parents[0]) if parents else plan, name, value)
        with pytest.raises(Refusal) as refused:
            hand_over(OBJECTIVES, patient, plan, TYPES)
        assert plan.OptimizationSetup.Objectives == ()
    assert refused.value.code == code


def test_a_plan_on_another_structure_set_of_the_patient_is_refused() -> None:
    with foreign_world() as (patient, plan):
        plan.StructureSet = ForeignSet(plan.StructureSet, UID="2.25.9")
        with pytest.raises(Refusal) as refused:
            hand_over(OBJECTIVES, patient, plan, TYPES)
    assert refused.value.code == "other-structure-set"


def test_the_script_reads_the_folder_and_answers_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = EclipseFolder(tmp_path)
    folder.hand_over(OBJECTIVES)
    arguments = [str(folder.folder_of(OBJECTIVES)), "--patient", "P", "--course", "C1", "--plan", "Plan1"]
    with foreign_world() as (patient, plan):
        patient.Courses = [SimpleNamespace(Id="C1", ExternalPlanSetups=[plan])]
        calls: list[str] = []
        application = SimpleNamespace(
            OpenPatientById={"P": patient}.get,
            SaveModifications=lambda: calls.append("save"),
            ClosePatient=lambda: calls.append("close"),
            Dispose=lambda: calls.append("dispose"),
        )
        executable = SimpleNamespace(CreateApplication=lambda _: application)
        monkeypatch.setitem(sys.modules, "pyesapi", SimpleNamespace(CustomScriptExecutable=executable))
        monkeypatch.setitem(sys.modules, "VMS.TPS.Common.Model.Types", TYPES)
        monkeypatch.setattr("builtins.input", lambda: "no")
        assert pyesapi_script.main(arguments) == 0
        assert plan.OptimizationSetup.Objectives == ()
        assert folder.receipt(OBJECTIVES) is None
        monkeypatch.setattr("builtins.input", lambda: "yes")
        assert pyesapi_script.main(arguments) == 0
        receipt = folder.receipt(OBJECTIVES)
        assert receipt is not None
        assert (receipt.state, len(receipt.added)) == ("applied", len(OBJECTIVES.objectives) + 1)
        assert calls == ["close", "dispose", "save", "close", "dispose"]
        with pytest.raises(ApprovalRefusal) as refused:
            pyesapi_script.main(arguments)
        assert refused.value.code == "already-applied"
