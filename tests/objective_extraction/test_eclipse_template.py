"""The template against the published structure of the format: node order, codes, units, and a round trip."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest

from bridge.rt.errors import DicomRefusal, StorageFailure
from bridge.rt.short_ids import short_id
from objective_extraction.eclipse_template import TemplateObjective, read_template, template_xml, write_template
from objective_extraction.objectives import NormalTissueObjective
from tests.objective_extraction.cases import changed, objective_set, point, prescription

NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
ORDER = {
    "ObjectiveTemplate": ["Preview", "Type", "Helios", "ObjectivesAllStructures"],
    "Helios": [
        "DefaultSmoothingX", "DefaultSmoothingY", "DefaultMinimizeDose", "DefaultOptimizationType", "MaxIterations",
        "MaxTime", "NormalTissueObjective", "Geos", "Imat",
    ],
    "NormalTissueObjective": [
        "Use", "Priority", "DistanceFromTargetBorder", "StartDose", "EndDose", "FallOff", "Auto",
    ],
    "Geos": [
        "InitialFieldDistribution", "MinimumNumberOfFields", "MaximumNumberOfFields",
        "MaximumElevationAngleForNonCoplanarFields", "MaximumCollimatorVariation", "LocalGeometricOptimizationMode",
    ],
    "Imat": ["MUWeight", "MinMU", "MaxMU"],
    "ObjectivesOneStructure": ["StructureTarget", "Distance", "SamplePoints", "Color", "StructureObjectives"],
    "StructureTarget": ["VolumeID", "VolumeCode", "VolumeType", "VolumeCodeTable"],
    "Objective": ["Type", "Operator", "Dose", "Volume", "Priority", "ParameterA", "Group"],
}  # fmt: skip
ATTRIBUTES = {
    "ObjectiveTemplate": ["Version"],
    "Preview": [
        "ID", "Type", "ApprovalStatus", "Diagnosis", "TreatmentSite", "AssignedUsers", "Description", "LastModified",
        "ApprovalHistory",
    ],
    "Helios": ["DefaultFixedJaws", "Interpolate", "UseColors"],
    "Imat": ["UseMU", "JawTracking"],
    "ObjectivesOneStructure": ["ID", "NAME", "SurfaceOnly"],
}  # fmt: skip


def root_of(**changes: Any) -> Element:
    text = template_xml(changed(objective_set(), **changes))
    return ElementTree.fromstring(text)  # noqa: S314 - written two lines above


def rows(node: Element) -> list[dict[str, str | None]]:
    return [{child.tag: child.text for child in objective} for objective in node.iter("Objective")]


def test_nodes_and_attributes_are_in_the_order_of_the_format() -> None:
    root = root_of()
    for tag, children in ORDER.items():
        found = list(root.iter(tag))
        assert found, tag
        assert all([child.tag for child in node] == children for node in found), tag
    for tag, names in ATTRIBUTES.items():
        assert all(list(node.attrib) == names for node in root.iter(tag)), tag
    assert root.attrib["Version"] == "1.7"
    assert root.findtext("Type") == "Helios"


def test_kinds_operators_and_groups_have_their_codes() -> None:
    point_98, point_0, mean, geud, line_80, line_10, derived = rows(root_of())
    assert point_98 == {
        "Type": "0", "Operator": "1", "Dose": "70.5", "Volume": "98", "Priority": "120", "ParameterA": None,
        "Group": "0",
    }  # fmt: skip
    assert (point_0["Operator"], point_0["Dose"], point_0["Volume"]) == ("0", "73.5", "0")
    assert (mean["Type"], mean["Operator"], mean["Dose"], mean["Volume"]) == ("2", "99", "23.4", None)
    assert (geud["Type"], geud["Operator"], geud["ParameterA"], geud["Group"]) == ("3", "0", "1", "0")
    assert (line_80["Type"], line_80["Volume"], line_80["Dose"], line_80["Group"]) == ("1", "80", "8.1", "1")
    assert (line_10["Volume"], line_10["Dose"], line_10["Group"], line_10["Priority"]) == ("10", "41.7", "1", "40")
    assert derived["Dose"] == "20"


def test_what_has_no_value_is_nil() -> None:
    nodes = list(root_of().iter("Objective"))
    assert [node.find("Volume").attrib for node in nodes[1:3]] == [{}, {NIL: "true"}]  # type: ignore[union-attr]
    assert nodes[0].find("ParameterA").attrib == {NIL: "true"}  # type: ignore[union-attr]


def test_each_structure_is_there_once_with_its_type_and_colour() -> None:
    found = [
        (node.attrib["ID"], node.findtext("StructureTarget/VolumeType"), node.findtext("Color"))
        for node in root_of().iter("ObjectivesOneStructure")
    ]
    assert found == [("PTV_70", "PTV", "255"), ("Parotid_L", "Organ", "65280"), ("Parotid_L-PTV", "Organ", "65280")]


def test_a_part_of_a_target_is_a_target() -> None:
    given = objective_set()
    recipe = type(given.derived_structures[0])(
        "PTV_70-PTV", "subtract", ("PTV_70",), minus=("Parotid_L",), margin_mm=0.0
    )
    root = root_of(objectives=(point("PTV_70-PTV", "upper", 73.5, 5.0, number=None),), derived_structures=(recipe,))
    assert root.findtext(".//VolumeType") == "PTV"


def test_two_lines_are_two_groups() -> None:
    line = objective_set().objectives[4]
    assert [row["Group"] for row in rows(root_of(objectives=(line, line)))] == ["1", "1", "2", "2"]


def test_the_preview_says_what_it_is_and_when_in_english() -> None:
    preview = root_of().find("Preview")
    assert preview is not None
    assert preview.attrib["Description"] == (
        f"PREDICTED DOSE - NOT FOR CLINICAL USE - {objective_set().sha256[:12]}. Make first: Parotid_L-PTV, Ring_PTV."
    )
    assert preview.attrib["LastModified"] == " March 02 2026 09:30:00:000"
    assert preview.attrib["ApprovalHistory"] == "fdp-bridge Created [ March 02 2026 09:30:00:000 ]"
    assert preview.attrib["ApprovalStatus"] == "Unapproved"


def test_a_long_list_of_derived_structures_is_counted() -> None:
    given = objective_set()
    kind = type(given.derived_structures[0])
    many = tuple(
        kind(f"Constrictor_-{n:03}", "subtract", ("PTV_70",), minus=("Parotid_L",), margin_mm=0.0) for n in range(40)
    )
    preview = root_of(derived_structures=(*given.derived_structures, *many)).find("Preview")
    assert preview is not None
    assert preview.attrib["Description"].endswith("Make first: the 42 derived structures of objectives.json.")


def test_the_normal_tissue_objective_is_automatic_or_off() -> None:
    def values(root: Element) -> tuple[str | None, ...]:
        return tuple(root.findtext(f"Helios/NormalTissueObjective/{tag}") for tag in ("Use", "Auto", "Priority"))

    assert values(root_of()) == ("true", "true", "80")
    assert values(root_of(normal_tissue=None)) == ("false", "false", "0")
    # in mm or in cm is not known, so a manual one is not written at all
    assert values(root_of(normal_tissue=NormalTissueObjective(80.0, 3.0, 100.0, 50.0, 0.15))) == ("false", "false", "0")


def test_a_name_longer_than_eclipse_takes_is_shortened_and_16_characters_are_not() -> None:
    def identifier(name: str) -> str:
        (node,) = root_of(objectives=(point(name, "upper", 20.0, 20.0),)).iter("ObjectivesOneStructure")
        return node.attrib["ID"]

    assert identifier("x" * 16) == "x" * 16
    assert identifier("x" * 17) == short_id("x" * 17)


def test_a_template_without_short_names_has_no_table() -> None:
    assert b"<!--" not in template_xml(objective_set())


@pytest.mark.parametrize(
    "table", ['["x"]', "{", '{"A": "B", "C": "B"}', '{"A": {}}', "{} --><!-- fdp-bridge structure ids {}"]
)
def test_a_table_that_cannot_be_trusted_is_refused(table: str, tmp_path: Path) -> None:
    path = tmp_path / "objectives.xml"
    text = template_xml(objective_set()).decode()
    comment = f"<!-- fdp-bridge structure ids {table} -->"
    path.write_text(text.replace("</ObjectiveTemplate>", f"{comment}</ObjectiveTemplate>"), encoding="utf-8")
    with pytest.raises(DicomRefusal) as refused:
        read_template(path)
    assert refused.value.code == "template-invalid"


def test_a_comment_within_a_number_does_not_cut_it(tmp_path: Path) -> None:
    path = tmp_path / "objectives.xml"
    text = template_xml(objective_set()).decode()
    path.write_text(text.replace("<Dose>70.5</Dose>", "<Dose>70<!-- and -->.5</Dose>"), encoding="utf-8")
    assert read_template(path)[0].dose_gy == 70.5


@pytest.mark.parametrize(
    ("dose_gy", "text"), [(70.0, "70"), (0.001, "0.001"), (1e-5, "0.00001"), (33.333333, "33.333333"), (100.0, "100")]
)
def test_numbers_have_a_point_and_no_exponent(dose_gy: float, text: str) -> None:
    assert rows(root_of(objectives=(point("Cord", "upper", dose_gy, 20.0),)))[0]["Dose"] == text


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "objectives.xml"
    write_template(objective_set(), path)
    assert read_template(path) == (
        TemplateObjective("PTV_70", "0", "1", 70.5, 98.0, 120.0, None, 0),
        TemplateObjective("PTV_70", "0", "0", 73.5, 0.0, 120.0, None, 0),
        TemplateObjective("Parotid_L", "2", "99", 23.4, None, 60.0, None, 0),
        TemplateObjective("Parotid_L", "3", "0", 25.0, None, 50.0, 1.0, 0),
        TemplateObjective("Parotid_L", "1", "0", 8.1, 80.0, 40.0, None, 1),
        TemplateObjective("Parotid_L", "1", "0", 41.7, 10.0, 40.0, None, 1),
        TemplateObjective("Parotid_L-PTV", "0", "0", 20.0, 20.0, 7.0, None, 0),
    )
    assert [file.name for file in tmp_path.iterdir()] == ["objectives.xml"]


@pytest.mark.parametrize("name", ['<R&D "x">', "Öso'phag", "]]>"])
def test_names_are_escaped(name: str, tmp_path: Path) -> None:
    path = tmp_path / "objectives.xml"
    write_template(
        changed(objective_set([point(name, "upper", 20.0, 20.0)]), prescription=prescription((1, "<PTV>", 70.0))), path
    )
    assert [row.structure for row in read_template(path)] == [name]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<ObjectiveTemplate>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><ObjectiveTemplate>&a;</ObjectiveTemplate>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><ObjectiveTemplate/>'.encode("utf-16"),
    ],
)
def test_what_is_no_template_is_refused(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "objectives.xml"
    path.write_bytes(text)
    with pytest.raises(DicomRefusal) as refused:
        read_template(path)
    assert refused.value.code == "template-invalid"


@pytest.mark.parametrize(
    ("old", "new"), [("<Dose>70.5</Dose>", "<Dose>x</Dose>"), ("<Group>0</Group>", ""), (' ID="PTV_70"', "")]
)
def test_a_damaged_objective_is_refused(old: str, new: str, tmp_path: Path) -> None:
    text = template_xml(objective_set()).decode()
    assert old in text
    path = tmp_path / "objectives.xml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DicomRefusal):
        read_template(path)


def test_trouble_with_the_disk_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure):
        write_template(objective_set(), tmp_path / "none" / "objectives.xml")
