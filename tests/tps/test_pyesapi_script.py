"""The Python script for research systems, against a host whose doses, operators and exceptions are not the stub's."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.rt.errors import StorageFailure
from bridge.rt.findings import Finding
from bridge.tps import pyesapi_script
from bridge.tps.eclipse import OBJECTIVES_FILE, REFUSAL_FILE, EclipseFolder
from bridge.tps.esapi_port import apply_to_esapi
from bridge.tps.preview import preview
from bridge.tps.pyesapi_script import hand_over
from bridge.tps.receipt import Receipt, read_receipt
from esapi_stub.enums import PlanSetupApprovalStatus
from esapi_stub.plan import ExternalPlanSetup, set_approval_status
from esapi_stub.values import DoseValue
from objective_extraction.approval import Approval
from objective_extraction.objective_set import DerivedStructure
from objective_extraction.objectives import NormalTissueObjective
from tests.tps.objective_sets import asked, geud, line, mean, point, structures
from tests.tps.worlds import CGY, GY, TYPES, Foreign, plan_on

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
APPROVAL = Approval("A. Physicist", datetime(2026, 3, 2, 10, tzinfo=UTC), OBJECTIVES.sha256)


@pytest.mark.parametrize(("unit", "per_gy"), [(GY, 1.0), (CGY, 100.0)])
def test_the_plan_gets_what_the_port_gives_it(unit: DoseValue.DoseUnit, per_gy: float) -> None:
    rehearsed = apply_to_esapi(OBJECTIVES, structures())
    with plan_on(structures(), unit) as plan:
        receipt = hand_over(OBJECTIVES, Foreign(plan), TYPES)
        landed = plan.OptimizationSetup.Objectives
    assert (receipt.made, receipt.added, receipt.refused) == (rehearsed.made, rehearsed.added, ())
    assert receipt.taken_by.startswith("pyesapi script ")
    assert [one.StructureId for one in landed[:3]] == ["PTV70", "Parotid links", "Cord"]
    assert [one.StructureId for one in landed[-2:]] == ["Ring_PTV", "Parotid-PTV"]
    doses_gy = [one.Dose.Dose / per_gy for one in (*landed[:3], *landed[-2:])]  # type: ignore[attr-defined]
    assert doses_gy == pytest.approx([69.5, 26.0, 40.0, 45.0, 20.0])


def test_what_the_host_throws_is_in_the_receipt() -> None:
    """The ring around a target at the edge of a body that is all target has no contours."""
    nowhere = DerivedStructure("Ring_PTV", "ring", ("BODY",), within="PTV70", inner_mm=3.0, outer_mm=20.0)
    wanted = asked(mean(3, "Parotid links", 26.0), mean(None, "Ring_PTV", 10.0), derived=[nowhere])
    with plan_on(structures()) as plan:
        receipt = hand_over(wanted, Foreign(plan), TYPES)
    assert [outcome.objective for outcome in receipt.added] == [0]
    assert [outcome.objective for outcome in receipt.refused] == [1]
    assert "System.ArgumentException" in receipt.refused[0].reason


def test_the_preview_says_which_structures_it_would_replace() -> None:
    """Ring_PTV may be the planner's own: structures that help an optimizer are of the same type as ours."""
    with plan_on(structures()) as plan:
        before = preview(OBJECTIVES, None, plan).splitlines()
        hand_over(asked(point(None, "Ring_PTV", 45.0, 0.0), derived=[RING]), Foreign(plan), TYPES)
        after = preview(OBJECTIVES, None, plan).splitlines()
    assert f"Will make {RING}" in before
    assert f"Will replace the contours of {RING}" in after
    assert f"Will make {REST}" in after


def test_the_preview_says_warnings_before_notes() -> None:
    told = (Finding("organ-low-dose", "info", "'Lens' has no objectives.", {}), Finding("x", "warning", "Hot.", {}))
    with plan_on(structures()) as plan:
        lines = preview(replace(OBJECTIVES, findings=told), None, plan).splitlines()
    assert lines[-2:] == ["WARNING: Hot.", "Note: 'Lens' has no objectives."]


class Clinic:
    """A drop folder, a plan in a foreign host, and a planner who answers."""

    def __init__(self, root: Path, plan: ExternalPlanSetup, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.plan, self.patch = EclipseFolder(root), plan, patch
        self.calls: list[str] = []
        patient = Foreign(plan.Course.Patient)
        application = SimpleNamespace(
            OpenPatientById={"P": patient}.get,
            SaveModifications=lambda: self.calls.append("save"),
            ClosePatient=lambda: self.calls.append("close"),
            Dispose=lambda: self.calls.append("dispose"),
        )
        executable = SimpleNamespace(CreateApplication=lambda _: application)
        patch.setitem(sys.modules, "pyesapi", SimpleNamespace(CustomScriptExecutable=executable))
        patch.setitem(sys.modules, "VMS.TPS.Common.Model.Types", TYPES)

    @property
    def path(self) -> Path:
        return self.folder.folder_of(OBJECTIVES)

    def run(self, answer: str = "yes", *options: str, plan: str = "Plan1") -> int:
        self.patch.setattr("builtins.input", lambda: answer)
        return pyesapi_script.main([str(self.path), "--patient", "P", "--course", "C1", "--plan", plan, *options])

    def receipt(self) -> Receipt:
        receipt = self.folder.receipt(OBJECTIVES)
        assert receipt is not None
        return receipt


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    with plan_on(structures()) as plan:
        made = Clinic(tmp_path, plan, monkeypatch)
        made.folder.hand_over(OBJECTIVES, APPROVAL)
        yield made


def test_the_script_reads_the_folder_and_answers_there(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    assert clinic.run("no") == 0
    assert clinic.plan.OptimizationSetup.Objectives == ()
    assert clinic.folder.receipt(OBJECTIVES) is None
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "NOT FOR CLINICAL USE"
    assert OBJECTIVES.sha256[:16] in shown[1]
    assert shown[2] == "Approved by A. Physicist at 2026-03-02T10:00:00+00:00"
    assert shown[3] == "Plan Plan1 on structure set CT: 70 Gy in 35 fractions"
    assert "  PTV70: lower 69.5 Gy at 98 % (80)" in shown
    assert "  Cord: gEUD (a = 12) upper 40 Gy (60); upper line of 2 points, sampled (70)" in shown
    assert clinic.run("yes") == 0
    assert (clinic.receipt().state, len(clinic.receipt().added)) == ("applied", len(OBJECTIVES.objectives) + 1)
    assert clinic.calls == ["close", "dispose", "save", "close", "dispose"]


def test_a_second_run_is_refused_and_the_first_receipt_stays(clinic: Clinic) -> None:
    clinic.run()
    assert clinic.run() == 3
    assert clinic.calls.count("save") == 1
    receipt = clinic.receipt()
    assert receipt.state == "applied"
    assert "was refused" in receipt.notes[-1]
    assert "[already-applied]" in receipt.notes[-1]
    assert read_receipt(clinic.path / REFUSAL_FILE, OBJECTIVES).state == "refused"


def test_an_approved_plan_is_refused_without_a_question(clinic: Clinic) -> None:
    set_approval_status(clinic.plan, PlanSetupApprovalStatus.TreatmentApproved)
    clinic.patch.setattr("builtins.input", lambda: pytest.fail("it asked"))
    assert clinic.run() == 3
    assert clinic.receipt().reason == (
        "The plan Plan1 is TreatmentApproved; only an unapproved plan is changed. [plan-approved]"
    )


def test_what_the_bridge_took_back_while_the_planner_looked_at_it_is_refused(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    def withdrawn() -> str:
        assert clinic.folder.withdraw(OBJECTIVES.sha256, APPROVAL)
        return "yes"

    clinic.patch.setattr("builtins.input", withdrawn)
    assert pyesapi_script.main([str(clinic.path), "--patient", "P", "--course", "C1", "--plan", "Plan1"]) == 3
    assert "[withdrawn]" in capsys.readouterr().out
    assert clinic.plan.OptimizationSetup.Objectives == ()
    assert clinic.calls == ["close", "dispose"]


def test_what_lost_its_approval_while_the_planner_looked_at_it_is_refused(clinic: Clinic) -> None:
    def unapproved() -> str:
        clinic.folder.withdraw(OBJECTIVES.sha256, APPROVAL)
        clinic.folder.hand_over(OBJECTIVES)
        return "yes"

    clinic.patch.setattr("builtins.input", unapproved)
    assert pyesapi_script.main([str(clinic.path), "--patient", "P", "--course", "C1", "--plan", "Plan1"]) == 3
    assert clinic.receipt().reason.endswith("[withdrawn]")
    assert clinic.plan.OptimizationSetup.Objectives == ()


def test_a_property_that_the_host_refuses_leaves_a_receipt(clinic: Clinic) -> None:
    """As a .NET property does: with any exception of its own."""

    def refuse(_: object) -> object:
        raise RuntimeError("System.InvalidOperationException: no beams")

    clinic.patch.setattr(type(clinic.plan), "ApprovalStatus", property(refuse))
    assert clinic.run() == 3
    assert clinic.receipt().reason.endswith("System.InvalidOperationException: no beams [host-refused]")
    assert clinic.calls == ["close", "dispose"]


def test_without_pyesapi_it_says_what_is_missing(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    clinic.patch.setitem(sys.modules, "pyesapi", None)
    assert clinic.run() == 4
    assert "pip install pyesapi" in capsys.readouterr().out
    assert clinic.folder.receipt(OBJECTIVES) is None


def test_the_drop_folder_itself_is_no_hand_over(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(clinic.folder.root), "--patient", "P", "--course", "C1", "--plan", "Plan1"]
    assert pyesapi_script.main(arguments) == 3
    assert f"{clinic.folder.root} is not the folder of a hand-over; 1 lie in it." in capsys.readouterr().out


def no_answer(folder: Path, _: Receipt) -> None:
    raise StorageFailure("receipt-write", "The receipt cannot be written: Permission denied.", folder=folder.name)


def test_a_folder_that_takes_no_receipt_is_refused_before_the_plan_is_changed(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    clinic.patch.setattr(Path, "touch", denied)
    clinic.patch.setattr(pyesapi_script, "answer", no_answer)
    assert clinic.run() == 3
    assert (clinic.plan.OptimizationSetup.Objectives, clinic.calls) == ((), ["close", "dispose"])
    assert "[receipt-not-writable]" in capsys.readouterr().out


def test_a_plan_whose_receipt_could_not_be_written_is_said(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    clinic.patch.setattr(pyesapi_script, "answer", no_answer)
    assert clinic.run() == 4
    assert clinic.calls == ["save", "close", "dispose"]
    said = capsys.readouterr().out
    assert '"state": "applied"' in said
    assert "The receipt cannot be written: Permission denied." in said


@pytest.mark.parametrize("plan", ["Plan2", ""])
def test_a_plan_that_is_not_there_is_refused(clinic: Clinic, plan: str) -> None:
    assert clinic.run(plan=plan) == 3
    assert clinic.receipt().reason.endswith("[no-plan]")
    assert clinic.calls == ["close", "dispose"]


def test_changed_objectives_are_refused_with_a_receipt(clinic: Clinic) -> None:
    path = clinic.path / OBJECTIVES_FILE
    path.write_text(path.read_text(encoding="utf-8").replace("69.5", "68.5"), encoding="utf-8")
    assert clinic.run() == 3
    assert clinic.plan.OptimizationSetup.Objectives == ()
    receipt = clinic.receipt()
    assert receipt.state == "refused"
    assert "[objectives-changed" in receipt.reason


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"sha256": 1}', b"\xff"])
def test_what_is_no_json_is_refused_without_a_receipt(clinic: Clinic, content: bytes) -> None:
    (clinic.path / OBJECTIVES_FILE).write_bytes(content)
    assert clinic.run() == 3
    assert sorted(path.name for path in clinic.path.iterdir()) == ["objectives.json", "objectives.xml"]


def test_objectives_under_another_name_are_refused(clinic: Clinic) -> None:
    clinic.path.rename(clinic.path.with_name("objectives-0123456789abcdef"))
    other = clinic.path.with_name("objectives-0123456789abcdef")
    arguments = [str(other), "--patient", "P", "--course", "C1", "--plan", "Plan1"]
    assert pyesapi_script.main(arguments) == 3
    assert read_receipt(other / "receipt.json", OBJECTIVES).reason.endswith("[not-handed-over]")


def test_objectives_that_nobody_approved_need_the_planners_word(clinic: Clinic) -> None:
    path = clinic.path / OBJECTIVES_FILE
    document = json.loads(path.read_bytes())
    del document["approval"]
    path.write_text(json.dumps(document), encoding="utf-8")
    assert clinic.run() == 3
    assert clinic.receipt().reason.endswith("[not-approved]")
    assert clinic.run("yes", "--unapproved") == 0
    assert clinic.receipt().state == "applied"
