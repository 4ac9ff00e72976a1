"""From a person's approval to what the plug-in did, with nobody calling Python: a served bridge, killed on the way."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.dicom.read_dose import read_dose
from bridge.dicom.write_dose import write_rtdose
from bridge.dicom.write_plan import write_rtplan
from bridge.rt.case import PatientCase
from bridge.rt.volume import Dose
from bridge.workflow.predict import prepared_case
from bridge.workflow.store import Store
from config.load import load_settings
from tests.e2e.bench import GEOMETRIC, Bench, until
from tests.eclipse_plugin.plug_in import PlugIn, plan, structure_set
from tests.phantom import PROVENANCE, write_small_phantom
from tests.tps.objective_sets import asked, mean
from tests.workflow.handed_over import Room

pytestmark = pytest.mark.timeout(180)

PLAN_UID = "2.25.7"
"""Of the plan in the stub."""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(
        tmp_path,
        {
            **GEOMETRIC,
            "prescription": {"fractions": 30},
            "release": {"predicted_dose": "after_approval"},
            "destinations": [],
            "delivery": {"first_retry_s": 1.0},
            "eclipse": {"drop_folder": str(tmp_path / "share")},
        },
    )
    yield bench
    bench.stop()


def world_of(case: PatientCase, **changes: Any) -> dict[str, Any]:
    """The case as it lies in the planning system, with a plan of 30 fractions of 2 Gy."""
    uid, frame = case.identity.structure_set_uid, case.ct.grid.frame_of_reference_uid
    planned = plan(structure_set=uid, fractions=30, dose_per_fraction=2.0, **changes)
    return {"structure_sets": [structure_set(case.structures, uid, frame)], "plan": planned}


def test_what_the_plug_in_answers_to_an_approved_case_stands_in_the_audit_trail(
    plug_in: PlugIn, tmp_path: Path
) -> None:
    store = Store.in_folder(tmp_path / "data")
    room = Room(store, tmp_path, asked(mean(3, "Parotid links", 26.0), mean(4, "Cord", 20.0)))
    room.approve()
    room.courier().run_once()
    plug_in.run(room.folder.root, require_approval=True, plan=plan(approval="PlanningApproved"))
    room.answers.take_in()
    assert "[plan-approved" in room.state()[1]
    result = plug_in.run(room.folder.root, require_approval=True)
    assert "A. Physicist" in result["runs"][0]["asked"][0]
    assert len(result["objectives"]) == 2
    for _ in range(2):
        room.answers.take_in()
    assert room.state() == (
        "delivered",
        "objectives to the folder for Eclipse: applied 2 of 2 objectives to plan 2.25.7",
    )
    said = room.events("eclipse-refused", "eclipse-applied", "receipt-refused")
    assert [event.action for event in said] == ["eclipse-refused", "eclipse-applied"]
    assert said[1].detail["taken_by"].startswith("eclipse plug-in ")
    store.close()


def planned(case: PatientCase, predicted: Path, folder: Path) -> list[Path]:
    """The plan that the plug-in filled and its dose, as Eclipse exports them: the plan names no predecessor."""
    folder.mkdir()
    dose = read_dose(predicted)
    frame = case.ct.grid.frame_of_reference_uid
    write_rtplan(
        case.identity, (), PROVENANCE, label="ECLIPSE", fractions=30, frame_of_reference_uid=frame,
        sop_instance_uid=PLAN_UID, series_instance_uid="2.25.70", path=folder / "RP.dcm",
    )  # fmt: skip
    write_rtdose(
        Dose(0.9 * dose.values, dose.grid), case.identity, PROVENANCE, plan_uid=PLAN_UID, bits=32,
        sop_instance_uid="2.25.8", series_instance_uid="2.25.80", path=folder / "RD.dcm",
    )  # fmt: skip
    return sorted(folder.iterdir())


def test_approved_objectives_reach_a_plan_and_the_receipt_and_the_dose_come_back(
    bench: Bench, plug_in: PlugIn, tmp_path: Path
) -> None:
    patient = sorted(write_small_phantom(tmp_path / "patient").paths)
    share = tmp_path / "share"
    bench.start()
    assert bench.send(*patient).returncode == 0
    case_id = bench.wait_for("review", 60).case_id
    bench.kill()
    (objectives,) = (bench.data / "cases" / case_id).rglob("objectives.json")
    arguments = ["--objectives", str(objectives), "--user", "A. Physicist", "--config", str(bench.config)]
    assert bench.run("approve", case_id, *arguments).returncode == 0
    assert bench.only_case().state == "delivering"

    bench.start()
    until(lambda: bench.only_case().hand_overs[0].attempts > 0, 20, "an attempt while the share is away")
    assert "drop folder for Eclipse is not there" in bench.only_case().reason
    bench.kill()
    share.mkdir()
    bench.start()
    assert bench.wait_for("delivered", 60).reason == "objectives to the folder for Eclipse: no answer yet"
    assert [path.name[:11] for path in share.iterdir()] == ["objectives-"]

    case = prepared_case(patient, load_settings(bench.config))
    plug_in.run(share, require_approval=True, **world_of(case, approval="PlanningApproved"))
    until(lambda: "[plan-approved" in bench.only_case().reason, 20, "the refusal's coming back")
    result = plug_in.run(share, require_approval=True, **world_of(case))
    assert "A. Physicist" in result["runs"][0]["asked"][0]
    until(lambda: "applied" in bench.only_case().reason, 20, "the receipt's coming back")
    taken = len(json.loads(objectives.read_bytes())["objectives"])
    assert len(result["objectives"]) == taken > 0
    assert (
        bench.only_case().reason
        == f"objectives to the folder for Eclipse: applied {taken} of {taken} objectives to plan 2.25.7"
    )
    bench.kill()
    bench.start()
    time.sleep(3.0)  # longer than the folder is left alone
    actions = ("hand-over-written", "eclipse-refused", "eclipse-applied", "receipt-refused")
    assert [bench.audited(action) for action in actions] == [1, 1, 1, 0]
    shown = bench.run("cases", "--config", str(bench.config)).stdout
    assert "receipt.json: refused: " in shown
    assert f"receipt.json: applied {taken} of {taken}" in shown

    assert bench.send(*planned(case, objectives.with_name("rtdose.dcm"), tmp_path / "plan")).returncode == 0
    until(lambda: [back.state for back in bench.only_case().reimports] == ["done"], 30, "a comparison")
    (back,) = bench.only_case().reimports
    report = (bench.data / "cases" / case_id / back.message / "report.html").read_text(encoding="utf-8")
    assert "plan-not-linked" not in report
    assert (bench.only_case().state, bench.audited("job-done")) == ("delivered", 1), "nothing is predicted anew"
