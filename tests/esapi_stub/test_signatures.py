"""The stub has the members that the signature table says it has, with their parameters, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.esapi_stub.signature_table import Table, differences, members_of, stub_classes, table
from tests.shared_data import shared_dir


def test_stub_and_table_agree() -> None:
    assert differences(table(), stub_classes()) == []


def a_renamed_parameter(t: Table) -> None:
    t["classes"]["OptimizationSetup"]["methods"]["AddMeanDoseObjective"][0]["parameters"][1] = "DoseValue limit"


def parameters_in_another_order(t: Table) -> None:
    t["classes"]["PlanSetup"]["methods"]["SetPrescription"][0]["parameters"].reverse()


def a_parameter_more(t: Table) -> None:
    t["classes"]["Patient"]["methods"]["AddCourse"][0]["parameters"].append("string id")


def a_parameter_less(t: Table) -> None:
    t["classes"]["StructureSet"]["methods"]["AddStructure"][0]["parameters"].pop()


def a_renamed_constructor_parameter(t: Table) -> None:
    t["classes"]["VVector"]["constructors"][0]["parameters"][0] = "double x"


def a_method_that_the_table_lacks(t: Table) -> None:
    del t["classes"]["ExternalPlanSetup"]["methods"]["RemoveBeam"]


def a_property_that_the_table_lacks(t: Table) -> None:
    del t["classes"]["Dose"]["properties"]["XRes"]


def a_field_that_the_table_lacks(t: Table) -> None:
    del t["classes"]["DVHData"]["properties"]["Coverage"]


def a_class_that_the_table_lacks(t: Table) -> None:
    del t["classes"]["ControlPoint"]


def a_member_said_to_be_missing(t: Table) -> None:
    t["classes"]["Structure"]["properties"]["Volume"]["stub"] = False


def a_member_said_to_be_there(t: Table) -> None:
    t["classes"]["Structure"]["methods"]["Xor"][0]["stub"] = True


def a_class_said_to_be_there(t: Table) -> None:
    t["classes"]["EstimatedDVH"]["properties"]["Structure"]["stub"] = True


def an_inherited_member_said_to_be_missing(t: Table) -> None:
    t["classes"]["ApiDataObject"]["properties"]["Id"]["stub"] = False


def a_property_said_to_be_read_only(t: Table) -> None:
    del t["classes"]["PlanSetup"]["properties"]["PlanNormalizationValue"]["set"]


def a_property_said_to_be_settable(t: Table) -> None:
    t["classes"]["PlanSetup"]["properties"]["ApprovalStatus"]["set"] = True


def a_method_said_to_be_static(t: Table) -> None:
    t["classes"]["VVector"]["methods"]["ScalarProduct"][0]["static"] = True


def a_base_that_is_none(t: Table) -> None:
    t["classes"]["Structure"]["base"] = "Dose"


def another_value(t: Table) -> None:
    t["enumerations"]["OptimizationObjectiveOperator"]["values"]["None"] = 3


def an_enumeration_said_to_be_missing(t: Table) -> None:
    t["enumerations"]["PlanType"]["stub"] = False


CHANGES: list[Callable[[Table], None]] = [
    a_renamed_parameter,
    parameters_in_another_order,
    a_parameter_more,
    a_parameter_less,
    a_renamed_constructor_parameter,
    a_method_that_the_table_lacks,
    a_property_that_the_table_lacks,
    a_field_that_the_table_lacks,
    a_class_that_the_table_lacks,
    a_member_said_to_be_missing,
    a_member_said_to_be_there,
    a_class_said_to_be_there,
    an_inherited_member_said_to_be_missing,
    a_property_said_to_be_read_only,
    a_property_said_to_be_settable,
    a_method_said_to_be_static,
    a_base_that_is_none,
    another_value,
    an_enumeration_said_to_be_missing,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_difference_is_found(change: Callable[[Table], None]) -> None:
    changed = table()
    change(changed)
    assert differences(changed, stub_classes()) != []


def all_members() -> list[tuple[str, str, str, Table]]:
    return [(owner, *member) for owner, entry in table()["classes"].items() for member in members_of(entry)]


def test_every_member_has_its_facts_and_no_others() -> None:
    tables = table()
    versions, sources = tables["versions"], tables["sources"]
    entries = [*tables["classes"].values(), *tables["enumerations"].values()]
    assert all(set(entry["source"]) <= set(sources) for entry in entries)
    allowed = {
        "constructor": {"parameters"},
        "property": {"type", "set"},
        "method": {"parameters", "returns", "static"},
    }
    common = {"stub", "bridge", "since", "until", "source", "python"}
    for owner, kind, name, facts in all_members():
        label = f"{owner}.{name}"
        assert set(facts) <= allowed[kind] | common, label
        assert isinstance(facts["stub"], bool), label
        assert isinstance(facts["bridge"], bool), label
        assert {facts.get("since", "16.1"), facts.get("until", "16.1")} <= set(versions), label
        assert set(facts.get("source", [])) <= set(sources), label
        for parameter in facts.get("parameters", []):
            assert re.fullmatch(r"(out )?[\w.<>,\[\]?]+ \w+", parameter), (label, parameter)
        if kind != "constructor":
            assert facts["type" if kind == "property" else "returns"], label


def test_the_reference_sheet_names_every_member_but_those_of_another_source() -> None:
    text = (shared_dir() / "reference" / "esapi.md").read_text(encoding="utf-8")
    sheet = text[text.index("### 1.1") : text.index("### 1.2")]
    words = set(re.findall(r"\w+", sheet))
    classes = table()["classes"]
    for owner, kind, name, facts in all_members():
        source = facts.get("source", classes[owner]["source"])
        if source != ["STUB"] and kind != "constructor":
            assert name in words, f"{owner}.{name}"
