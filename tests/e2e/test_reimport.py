"""The loop closed with a real sender: DCMTK brings the optimized plan and dose back to a served bridge."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.workflow import jobs
from bridge.workflow.instances import paths_of
from bridge.workflow.optimize import plan_files
from config.load import load_settings
from tests.e2e.bench import GEOMETRIC, Bench, tps, until
from tests.esapi_stub.fake_engine import FakeEngine
from tests.phantom import write_small_phantom

pytestmark = pytest.mark.timeout(180)


def test_an_optimized_dose_finds_its_case_and_is_compared(tmp_path: Path) -> None:
    bench = Bench(tmp_path, {**GEOMETRIC, "prescription": {"fractions": 30}})
    patient = sorted(write_small_phantom(tmp_path / "patient").paths)
    with tps(bench):
        try:
            bench.start()
            assert bench.send(*patient).returncode == 0
            case = bench.wait_for("delivered", 60)
            optimize(bench, tmp_path / "plan")
            assert bench.send(*sorted((tmp_path / "plan").glob("rt*.dcm"))).returncode == 0
            until(lambda: [back.state for back in bench.only_case().reimports] == ["done"], 30, "a comparison")
            assert bench.only_case().state == "delivered"
            (back,) = bench.only_case().reimports
            report = bench.data / "cases" / case.case_id / back.message / "report.html"
            assert "optimized</title>" in report.read_text()
            assert "plan-not-linked" not in report.read_text()
            # and once more: nothing new
            assert bench.send(*sorted((tmp_path / "plan").glob("rt*.dcm"))).returncode == 0
            assert bench.run("cases", "--config", str(bench.config)).stdout.count("comparison done") == 1
        finally:
            bench.stop()
    assert (bench.audited("job-done"), bench.audited("comparison-done")) == (1, 1)


def optimize(bench: Bench, out: Path) -> None:
    """Plan from the bridge's own copies of the files, for the objectives that it extracted."""
    with bench.store.transaction() as session:
        done = jobs.last_done(session, bench.only_case().case_id)
        assert done is not None
        paths = paths_of(session, done[0].inputs)
    (results,) = (bench.data / "cases" / bench.only_case().case_id).iterdir()
    plan_files(paths, results / "objectives.json", FakeEngine(), out, load_settings(bench.config))
