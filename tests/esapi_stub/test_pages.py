"""The script of the how-to runs, and the reference page says what is so."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from esapi_stub.enums import DoseValuePresentation, VolumePresentation
from esapi_stub.rules import RULES, Basis
from tests.esapi_stub.fake_engine import FakeEngine
from tests.esapi_stub.signature_table import members_of, table
from tests.esapi_stub.worlds import box, water

DOCS = Path(__file__).resolve().parents[2] / "docs"
WORDS = {Basis.DOCUMENTED: "documented", Basis.OBSERVED: "observed", Basis.GUESS: "guess", Basis.LIMIT: "limit"}


def test_the_worked_example_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS / "how-to" / "plan-with-esapi-stub.md").read_text(encoding="utf-8")
    script, surroundings = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    structures = (box(1, "PTV70", (-10.0, 10.0), (-10.0, 10.0)), box(2, "Parotid_L", (20.0, 40.0), (-10.0, 10.0)))
    identity = SimpleNamespace(structure_set_uid="2.25.7", patient_position="HFS")
    case = SimpleNamespace(identity=identity, structures=structures, ct=water())
    monkeypatch.setattr("bridge.dicom.assemble.collect", lambda folder: [folder])
    monkeypatch.setattr("bridge.dicom.assemble.read_case", lambda paths: SimpleNamespace(case=case))
    monkeypatch.setitem(sys.modules, "esapi_stub.engine.engine", SimpleNamespace(PencilBeamEngine=FakeEngine))

    names: dict[str, Any] = {}
    exec(script, names)  # noqa: S102 - it is our own page
    exec(surroundings, names)  # noqa: S102

    plan = names["plan"]
    assert (plan.Course.Id, plan.Id, len(plan.Beams)) == ("Bridge", "IMRT9", 9)
    covered = plan.GetDoseAtVolume(
        plan.StructureSet.Structures[0], 98.0, VolumePresentation.Relative, DoseValuePresentation.Absolute
    )
    assert covered.Dose == pytest.approx(70.0, rel=1e-5), "normalized to D98"
    assert float(names["dose"].values.max()) > 70.0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["PTV70", "Parotid_L", *(f"G{n * 40}" for n in range(9))]
    assert len({line.split(":")[1] for line in printed[2:]}) == 1, "the same for all beams of this engine"


def test_the_reference_page_counts_right() -> None:
    page = (DOCS / "reference" / "esapi-stub.md").read_text(encoding="utf-8")
    tables = table()
    members = [member for entry in tables["classes"].values() for member in members_of(entry)]
    rows = {
        "properties": [facts for kind, _, facts in members if kind == "property"],
        "methods, by overload": [facts for kind, _, facts in members if kind == "method"],
        "constructors": [facts for kind, _, facts in members if kind == "constructor"],
        "enumerations": list(tables["enumerations"].values()),
    }
    for what, facts in rows.items():
        stub, bridge = (sum(fact[flag] for fact in facts) for flag in ("stub", "bridge"))
        assert f"| {what} | {len(facts)} | {stub} | {bridge} |" in page


def test_the_reference_page_lists_every_rule() -> None:
    page = (DOCS / "reference" / "esapi-stub.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (.*) \|$", page, flags=re.MULTILINE)
    assert listed == [(rule.name, WORDS[rule.basis], rule.says) for rule in RULES.values()]
