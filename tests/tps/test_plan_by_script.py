"""The script of docs/how-to/plan-with-esapi-stub.md: it runs as printed, and what it writes is read back."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pydicom
import pytest

from bridge.dicom.phantom import write_head_and_neck_phantom
from bridge.dicom.read_dose import read_dose_object
from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume
from esapi_stub.application import Application, Database, StoredStructureSet
from esapi_stub.engine.engine import EngineSettings, PencilBeamEngine
from esapi_stub.enums import DoseValuePresentation, VolumePresentation
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.planning import PlanningEngine
from tests.esapi_stub.engine.phantoms import FRAME, box_structure, needs_pyradplan
from tests.esapi_stub.fake_engine import FakeEngine
from tests.esapi_stub.worlds import box, water

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "how-to" / "plan_phantom.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plan_phantom", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def require_plan_and_dose(out: Path, structure_set_uid: str) -> None:
    plan = pydicom.dcmread(out / "rtplan.dcm")
    assert plan.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == structure_set_uid
    assert [float(beam.ControlPointSequence[0].GantryAngle) for beam in plan.BeamSequence] == [
        40.0 * n for n in range(9)
    ]
    dose = read_dose_object(out / "rtdose.dcm")
    assert dose.referenced_plan_uid == plan.SOPInstanceUID
    assert 65.0 < dose.dose.maximum_gy < 140.0


def planned(structures: tuple[Structure, ...], ct: CtVolume, engine: PlanningEngine) -> ExternalPlanSetup:
    """Run the script's calls of ESAPI on structures of our own; it asks for PTV_7000 and Parotid_L."""
    stored = StoredStructureSet("CT_1", "2.25.7", structures, ct, "HFS")
    with Application.CreateApplication(Database({"P1": [stored]}, engine=engine)) as application:
        plan = script().plan_patient(application, "P1")
    assert isinstance(plan, ExternalPlanSetup)
    return plan


def covered_gy(plan: ExternalPlanSetup) -> float:
    target = next(structure for structure in plan.StructureSet.Structures if structure.Id == "PTV_7000")
    percent, absolute = VolumePresentation.Relative, DoseValuePresentation.Absolute
    return plan.GetDoseAtVolume(target, 98.0, percent, absolute).Dose


def test_the_calls_of_the_script_make_a_normalized_plan(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = (box(1, "PTV_7000", (-10.0, 10.0), (-10.0, 10.0)), box(2, "Parotid_L", (20.0, 40.0), (-10.0, 10.0)))
    plan = planned(drawn, water(), FakeEngine())
    assert (plan.Course.Id, plan.Id, len(plan.Beams)) == ("Bridge", "IMRT9", 9)
    assert covered_gy(plan) == pytest.approx(70.0, rel=1e-5), "normalized to D98"
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["PTV_7000", "Parotid_L", *(f"G{n * 40}" for n in range(9))]
    assert len({line.split(":")[1] for line in printed[2:]}) == 1, "the same for all beams of this engine"


@needs_pyradplan
def test_the_calls_of_the_script_spare_an_organ_on_the_real_engine() -> None:
    """The organ lies behind the target, where a plan from all sides that spares it can get far below the target."""
    body = box_structure(1, "BODY", "external", (0.0, 0.0, 0.0), (60.0, 60.0, 40.0))
    target = box_structure(2, "PTV_7000", "target", (-15.0, 0.0, 0.0), (12.0, 12.0, 12.0))
    organ = box_structure(3, "Parotid_L", "organ", (30.0, 0.0, 0.0), (10.0, 10.0, 12.0))
    grid = Grid.axial((24, 42, 42), (4.0, 4.0, 4.0), (-82.0, -82.0, -46.0), FRAME)
    ct = CtVolume(np.zeros(grid.shape, dtype=np.float32), grid)
    plan = planned((body, target, organ), ct, PencilBeamEngine())
    assert covered_gy(plan) == pytest.approx(70.0, rel=1e-4)
    absolute, percent = DoseValuePresentation.Absolute, VolumePresentation.Relative
    spared = plan.GetDVHCumulativeData(plan.StructureSet.Structures[2], absolute, percent, 0.1)
    assert spared is not None
    assert 0.0 < spared.MeanDose.Dose < 30.0
    assert spared.MaxDose.Dose < 60.0
    hottest = plan.GetDVHCumulativeData(plan.StructureSet.Structures[1], absolute, percent, 0.1)
    assert hottest is not None
    assert hottest.MaxDose.Dose < 80.0
    assert all(beam.Meterset.Value > 0.0 for beam in plan.Beams)


def test_the_script_writes_plan_and_dose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phantom = write_head_and_neck_phantom(tmp_path / "dicom")
    script().main(tmp_path / "dicom", tmp_path / "out", FakeEngine())
    require_plan_and_dose(tmp_path / "out", phantom.identity.structure_set_uid)
    shown = capsys.readouterr().out
    assert "PTV_7000: mean " in shown
    assert "G320: " in shown


@needs_pyradplan
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_engine_runs_it_and_draws_no_bar(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Coarser than the script's own, for speed."""
    phantom = write_head_and_neck_phantom(tmp_path / "dicom")
    script().main(tmp_path / "dicom", tmp_path / "out", PencilBeamEngine(EngineSettings(10.0, 15.0)))
    require_plan_and_dose(tmp_path / "out", phantom.identity.structure_set_uid)
    assert capfd.readouterr().err == ""


def test_the_guide_shows_the_lines_of_the_script() -> None:
    lines = {line.strip() for line in SCRIPT.read_text(encoding="utf-8").splitlines()}
    guide = (SCRIPT.parent / "plan-with-esapi-stub.md").read_text(encoding="utf-8")
    shown = guide.split("```python\n")[1].split("```")[0].splitlines()
    assert len(shown) > 10
    assert [line for line in shown if line.strip() and line.strip() not in lines] == []
