"""The demonstration end to end: with an engine in closed form, and with the real one."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pydicom
import pytest

from bridge.cli import main
from bridge.rt.errors import Failure
from bridge.workflow.demo import require_planning, run_demo
from bridge.workflow.export import sha256_of
from config.load import load_settings
from esapi_stub.engine.engine import EngineSettings, PencilBeamEngine
from objective_extraction.objective_json import read_objective_set
from tests.esapi_stub.engine.phantoms import needs_pyradplan
from tests.esapi_stub.fake_engine import FakeEngine

pytestmark = pytest.mark.timeout(240)

SETTINGS = load_settings(None, {"prescription": {"fractions": 35}, "prediction": {"model": "geometric"}})


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """The folder after a demonstration, its report, and what was said."""
    out = tmp_path_factory.mktemp("demo") / "out"
    said: list[str] = []
    return out, run_demo(out, SETTINGS, FakeEngine(), said.append), said


def test_the_loop_closes_by_references(demonstrated: tuple[Path, Path, list[str]]) -> None:
    out, report, said = demonstrated
    assert {path.name for path in out.iterdir()} == {"dicom", "result", "plan", "comparison"}
    text = "\n".join(said)
    for step in ("C-STORE", "predicted by geometric", "approved", "planned in esapi_stub", "linked to its case"):
        assert step in text
    steps = [line for line in said if re.match(r" *\d+\.\d s  ", line)]
    assert len(steps) == 8
    assert re.search(r"PTV_7000: D95% \d+\.\d Gy predicted, \d+\.\d Gy optimized; requested: lower 70 Gy", text)
    assert said[-1] == str(report.resolve())
    words = "no planning system named; see its training"
    assert f"the model was trained for: {words}" in said
    predicted = (out / "result" / "report.html").read_text()
    assert f"<dt>Model trained for</dt><dd>{words}</dd>" in predicted
    result = json.loads((out / "result" / "result.json").read_text())
    (finding,) = [one for one in result["findings"] if one["code"] == "model-trained-for"]
    assert finding["message"] == f"Model 'geometric' was trained for: {words}."
    html = report.read_text()
    assert html.count(", optimized</title>") == 7
    assert "plan-not-linked" not in html
    plan = pydicom.dcmread(out / "plan" / "rtplan.dcm")
    given = pydicom.dcmread(out / "result" / "rtplan.dcm")
    assert plan.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == given.SOPInstanceUID
    dose = pydicom.dcmread(out / "plan" / "rtdose.dcm")
    assert str(dose.SOPInstanceUID) in html
    objectives = read_objective_set(out / "result" / "objectives.json")
    sent = {sha256_of(path) for path in (out / "dicom").iterdir()}
    assert set(objectives.provenance.input_uids.values()) == sent, "they can be planned again from this folder"


@needs_pyradplan
def test_the_real_engine_plans_the_phantom_in_the_folder_of_an_earlier_demonstration(
    demonstrated: tuple[Path, Path, list[str]], tmp_path: Path
) -> None:
    """Coarser than the command's own, for speed."""
    out = shutil.copytree(demonstrated[0], tmp_path / "out")
    said: list[str] = []
    run_demo(out, SETTINGS, PencilBeamEngine(EngineSettings(dose_grid_mm=6.0, beamlet_mm=10.0)), said.append)
    found = dict(re.findall(r"(\w+): (?:D95%|mean) [\d.]+ Gy predicted, ([\d.]+) Gy optimized", "\n".join(said)))
    assert 66.0 < float(found["PTV_7000"]) < 74.0
    assert 52.0 < float(found["PTV_5600"]) < 62.0
    assert float(found["Brainstem"]) < 40.0


def test_without_the_engine_it_refuses_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pyRadPlan", None)
    with pytest.raises(Failure, match=r"pyRadPlan is not installed: .*fdp-bridge\[planning\]"):
        require_planning()
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--out", str(tmp_path / "out")])
    assert ended.value.code == 4
    assert "pyRadPlan" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
