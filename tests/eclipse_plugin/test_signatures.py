"""The C# stub has no public member that ESAPI, as the signature table lists it, has not in the same form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.eclipse_plugin.plug_in import API, TYPES, PlugIn

TABLE = yaml.safe_load((Path(__file__).parents[2] / "esapi_stub" / "signatures.yaml").read_text(encoding="utf-8"))
NAMESPACES = {TYPES: "VMS.TPS.Common.Model.Types", API: "VMS.TPS.Common.Model.API"}
NOT_IN_TABLE = {"ESAPIScriptAttribute"}
"""Facts sheet 5 names it as the mark of a script that writes; the table holds what a script calls."""


@pytest.fixture(scope="module")
def stub(plug_in: PlugIn) -> dict[str, Any]:
    """All public types of both assemblies."""
    types: dict[str, Any] = {}
    for assembly, namespace in NAMESPACES.items():
        members = plug_in.members(assembly)
        assert {one["namespace"] for one in members.values()} == {namespace}
        types |= members
    return types


def family(name: str) -> Iterator[dict[str, Any]]:
    """A class of the table and its bases."""
    while name in TABLE["classes"]:
        yield TABLE["classes"][name]
        name = TABLE["classes"][name].get("base", "")


def test_every_type_is_in_the_table(stub: dict[str, Any]) -> None:
    assert len(stub) > 20
    assert set(stub) - NOT_IN_TABLE - set(TABLE["classes"]) - set(TABLE["enumerations"]) == set()


def test_enumerations_have_the_values_of_the_table(stub: dict[str, Any]) -> None:
    enumerations = {name: one["values"] for name, one in stub.items() if "values" in one}
    assert enumerations == {name: TABLE["enumerations"][name]["values"] for name in enumerations}
    assert {"DoseValue.DoseUnit", "OptimizationObjectiveOperator", "PlanSetupApprovalStatus"} <= set(enumerations)


def test_classes_have_the_bases_of_the_table(stub: dict[str, Any]) -> None:
    for name, one in stub.items():
        wanted = TABLE["classes"].get(name, {}).get("base")
        if wanted in TABLE["classes"]:
            assert one["base"] == wanted, name


def test_every_property_has_the_type_of_the_table_and_is_set_only_where_it_can_be(stub: dict[str, Any]) -> None:
    checked = 0
    for name, one in stub.items():
        for member, found in one.get("properties", {}).items():
            if name in NOT_IN_TABLE:
                continue
            wanted = next(c["properties"][member] for c in family(name) if member in c.get("properties", {}))
            assert found["type"] == wanted["type"], (name, member)
            assert not found["set"] or wanted.get("set"), (name, member)
            checked += 1
    assert checked > 40


def test_every_method_is_an_overload_of_the_table(stub: dict[str, Any]) -> None:
    checked = 0
    for name, one in stub.items():
        for found in one.get("methods", []):
            overloads = next(c["methods"][found["name"]] for c in family(name) if found["name"] in c.get("methods", {}))
            forms = [(o["returns"], o["parameters"], o.get("static", False)) for o in overloads]
            assert (found["returns"], found["parameters"], found["static"]) in forms, (name, found["name"])
            checked += 1
    assert checked > 20


def test_constructors_are_those_of_the_table(stub: dict[str, Any]) -> None:
    for name, one in stub.items():
        if name in NOT_IN_TABLE:
            continue
        wanted = [c["parameters"] for c in TABLE["classes"].get(name, {}).get("constructors", [])]
        assert [c for c in one.get("constructors", []) if c not in wanted] == [], name
