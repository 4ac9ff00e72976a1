"""The script of the how-to runs, and the reference page says what is so."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bridge.rt.grid import Grid
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume
from esapi_stub.enums import DoseValuePresentation, VolumePresentation
from esapi_stub.plan import ExternalPlanSetup
from esapi_stub.rules import RULES, Basis
from tests.esapi_stub.engine.phantoms import FRAME, box_structure, needs_pyradplan
from tests.esapi_stub.fake_engine import FakeEngine
from tests.esapi_stub.worlds import box, water

DOCS = Path(__file__).resolve().parents[2] / "docs"
WORDS = {Basis.DOCUMENTED: "documented", Basis.OBSERVED: "observed", Basis.GUESS: "guess", Basis.LIMIT: "limit"}


def run_the_page(structures: tuple[Structure, ...], ct: CtVolume, patch: pytest.MonkeyPatch) -> ExternalPlanSetup:
    """Run both blocks of the how-to on a case; the script asks for PTV70 and Parotid_L."""
    page = (DOCS / "how-to" / "plan-with-esapi-stub.md").read_text(encoding="utf-8")
    script, surroundings = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    identity = SimpleNamespace(structure_set_uid="2.25.7", patient_position="HFS")
    case = SimpleNamespace(identity=identity, structures=structures, ct=ct)
    patch.setattr("bridge.dicom.assemble.collect", lambda folder: [folder])
    patch.setattr("bridge.dicom.assemble.read_case", lambda paths: SimpleNamespace(case=case))
    names: dict[str, Any] = {}
    exec(script, names)  # noqa: S102 - it is our own page
    exec(surroundings, names)  # noqa: S102
    plan = names["plan"]
    assert isinstance(plan, ExternalPlanSetup)
    assert names["dose"] is not None
    return plan


def covered_gy(plan: ExternalPlanSetup) -> float:
    target = next(structure for structure in plan.StructureSet.Structures if structure.Id == "PTV70")
    percent, absolute = VolumePresentation.Relative, DoseValuePresentation.Absolute
    return plan.GetDoseAtVolume(target, 98.0, percent, absolute).Dose


def test_the_worked_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "esapi_stub.engine.engine", SimpleNamespace(PencilBeamEngine=FakeEngine))
    drawn = (box(1, "PTV70", (-10.0, 10.0), (-10.0, 10.0)), box(2, "Parotid_L", (20.0, 40.0), (-10.0, 10.0)))
    plan = run_the_page(drawn, water(), monkeypatch)
    assert (plan.Course.Id, plan.Id, len(plan.Beams)) == ("Bridge", "IMRT9", 9)
    assert covered_gy(plan) == pytest.approx(70.0, rel=1e-5), "normalized to D98"
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["PTV70", "Parotid_L", *(f"G{n * 40}" for n in range(9))]
    assert len({line.split(":")[1] for line in printed[2:]}) == 1, "the same for all beams of this engine"


@needs_pyradplan
def test_the_worked_example_runs_on_the_real_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The organ lies behind the target, where a plan from all sides that spares it can get far below the target."""
    body = box_structure(1, "BODY", "external", (0.0, 0.0, 0.0), (60.0, 60.0, 40.0))
    target = box_structure(2, "PTV70", "target", (-15.0, 0.0, 0.0), (12.0, 12.0, 12.0))
    organ = box_structure(3, "Parotid_L", "organ", (30.0, 0.0, 0.0), (10.0, 10.0, 12.0))
    grid = Grid.axial((24, 42, 42), (4.0, 4.0, 4.0), (-82.0, -82.0, -46.0), FRAME)
    ct = CtVolume(np.zeros(grid.shape, dtype=np.float32), grid)
    plan = run_the_page((body, target, organ), ct, monkeypatch)
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


def test_the_reference_page_lists_every_rule() -> None:
    page = (DOCS / "reference" / "esapi-stub.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.*) \|$", page, flags=re.MULTILINE)
    assert listed == [(rule.name, WORDS[rule.basis], rule.says) for rule in RULES.values()]
