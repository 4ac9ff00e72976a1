"""`fdp-bridge plan` as a program sees it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.workflow.optimize import PLAN_FILES
from tests.esapi_stub.fake_engine import FakeEngine
from tests.phantom import write_small_phantom


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(autouse=True)
def _predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A predicted phantom, and a working folder with nothing else in it."""
    monkeypatch.chdir(tmp_path)
    write_small_phantom(tmp_path / "dicom")
    (tmp_path / "site.yaml").write_text("prescription: {fractions: 30}\nprediction: {model: geometric}\n")
    assert run("predict", "dicom", "--out", "result", "--config", "site.yaml") == 0


def metrics_in(dvh_file: Path, roi_name: str) -> dict[str, float]:
    (found,) = [row for row in json.loads(dvh_file.read_text())["structures"] if row["roi_name"] == roi_name]
    metrics: dict[str, float] = found["metrics"]
    return metrics


def plan(*more: object) -> int:
    return run("plan", "dicom", "--objectives", "result/objectives.json", "--out", "plan", *more)


def with_engine(monkeypatch: pytest.MonkeyPatch, engine: type[FakeEngine]) -> None:
    monkeypatch.setattr("bridge.app.PencilBeamEngine", engine)


def test_it_writes_plan_dose_dvhs_and_receipt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(monkeypatch, FakeEngine)
    assert plan("--config", "site.yaml") == 0
    assert {path.name for path in (tmp_path / "plan").iterdir()} == set(PLAN_FILES.values())
    shown = capsys.readouterr().out
    assert "beams: 9, " in shown
    assert "(guess)" in shown
    assert "Optimized by Closed form in 4 iterations" in shown
    assert "stopped, not converged" in shown
    assert "reading the case" in shown
    assert "optimization: iteration 1, objective value 1\n" in shown
    levels = "PTV_6000 60 Gy (from its name), PTV_5000 50 Gy (from its name)"
    assert f"prescription: {levels} in 30 fractions" in shown
    assert "model: geometric" in shown
    assert "info: The RTPLAN carries " in shown
    said = re.search(
        r"PTV_6000: D95% ([\d.]+) Gy predicted, ([\d.]+) Gy optimized; requested: .*lower 60 Gy at 95 %", shown
    )
    assert said is not None
    doses = [metrics_in(tmp_path / folder / "dvh.json", "PTV_6000")["D95%_gy"] for folder in ("result", "plan")]
    assert [float(dose) for dose in said.groups()] == pytest.approx(doses, abs=0.051)
    assert re.search(r"SpinalCord: mean [\d.]+ Gy predicted, [\d.]+ Gy optimized\n", shown)
    for kind, name in PLAN_FILES.items():
        assert f"{kind}: plan/{name}" in shown


def test_of_objectives_without_the_prediction_beside_them_no_predicted_dose_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(monkeypatch, FakeEngine)
    dvhs = tmp_path / "result" / "dvh.json"
    dvhs.write_text(dvhs.read_text().replace('"model_id": "geometric"', '"model_id": "another"'))
    assert plan("--config", "site.yaml") == 0
    shown = capsys.readouterr().out
    assert re.search(r"PTV_6000: D95% [\d.]+ Gy optimized; requested", shown)


def test_another_case_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_engine(monkeypatch, FakeEngine)
    write_small_phantom(tmp_path / "dicom", patient_id="PHANTOM-2")
    assert plan() == 3
    assert "objectives-of-other-case" in capsys.readouterr().err
    assert not (tmp_path / "plan").exists()


def test_ctrl_c_is_a_failure_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(FakeEngine):
        def optimize(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise KeyboardInterrupt

    with_engine(monkeypatch, Interrupted)
    before = set(tmp_path.iterdir())
    assert plan() == 4
    assert "[cancelled]" in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


def test_without_the_engine_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyRadPlan"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyRadPlan", None)
    assert plan() == 4
    assert "fdp-bridge[planning]" in capsys.readouterr().err
