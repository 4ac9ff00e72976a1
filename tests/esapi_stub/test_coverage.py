"""How much of ESAPI the stub has: the counts, the page that shows them, and that no script uses more."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from esapi_stub.coverage import coverage_table, lacking, main, members, signatures
from tests.esapi_stub.signature_table import Table, table

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ["esapi_port", "plan_check", "plan_content", "discard_dose", "preview", "pyesapi_script"]
NOT_OF_THE_HOST = {"Key", "Value", "ArgumentParser", "RawDescriptionHelpFormatter"}
"""Of .NET's own pairs, and of Python."""


def small() -> Table:
    """Two of each, of which one is needed and lacking."""
    here, gone = {"stub": True, "bridge": True}, {"stub": False, "bridge": True}
    return {
        "classes": {
            "Plan": {
                "constructors": [{**gone, "parameters": ["string id", "int number"]}, here],
                "properties": {"Id": here, "Dose": gone},
                "methods": {"Add": [{**gone, "parameters": []}, {"stub": False, "bridge": False}]},
            },
            "Empty": {"properties": None},
        },
        "enumerations": {"Unit": gone, "Kind": {"stub": True, "bridge": False}},
    }


def test_members_are_counted_by_kind() -> None:
    assert coverage_table(small()).splitlines()[2:] == [
        "| properties | 2 | 1 | 2 | 1 |",
        "| methods, by overload | 2 | 0 | 1 | 1 |",
        "| constructors | 2 | 1 | 2 | 1 |",
        "| enumerations | 2 | 1 | 1 | 1 |",
        "| all | 8 | 3 | 6 | 4 |",
    ]


def test_what_is_lacking_is_named_with_its_parameters() -> None:
    assert lacking(small()) == ["Plan(string id, int number)", "Plan.Dose", "Plan.Add()", "Unit"]


def test_nothing_that_a_bridge_script_needs_is_lacking() -> None:
    assert lacking(table()) == []


def test_the_command_and_the_page_show_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    page = (ROOT / "docs" / "reference" / "esapi-stub.md").read_text(encoding="utf-8")
    assert coverage_table(signatures()) in printed
    assert coverage_table(signatures()) in page
    assert printed.endswith("the stub lacks: nothing.\n")
    assert printed.startswith("48 classes\n")


def needed() -> set[str]:
    return {word for _, name, facts in members(table()) if facts["bridge"] for word in name.split(".")}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_of_the_bridge_uses_only_what_the_table_says_it_needs(script: str) -> None:
    tree = ast.parse((ROOT / "bridge" / "tps" / f"{script}.py").read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    hosted = {name for name in used if re.match("[A-Z]", name)} - NOT_OF_THE_HOST
    values = {value for entry in table()["enumerations"].values() for value in entry["values"]}
    assert hosted - needed() - values == set()
