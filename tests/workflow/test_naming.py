from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bridge.dicom.assemble import read_case
from bridge.dicom.phantom import PhantomStructure, write_phantom
from bridge.dicom.phantom_shapes import HEAD_AND_NECK
from bridge.rt.errors import StructureRefusal
from bridge.rt.structure import Structure
from bridge.workflow.naming import name_structures
from config.structure_names import StructureNames
from tests.solids import circle, empty, structure

NAMES = StructureNames.load()
LEFT_MM, RIGHT_MM = 40.0, -40.0


def organ(number: int, name: str, x_mm: float = 0.0) -> Structure:
    return structure({0.0: [circle(5.0, (x_mm, 0.0))]}, number=number, name=name)


def test_organs_get_their_standard_name_and_keep_their_own() -> None:
    given = (organ(1, "Myelon"), organ(2, "left parotid", LEFT_MM), organ(3, "Parotis re", RIGHT_MM), organ(4, "xyz"))
    named, findings = name_structures(given, StructureNames.load({"Parotis re": "Parotid_R"}, {}))
    assert [s.standard_name for s in named] == ["SpinalCord", "Parotid_L", "Parotid_R", None]
    assert [(s.number, s.name, s.planes) for s in named] == [(s.number, s.name, s.planes) for s in given]
    assert [(finding.code, finding.where["roi"]) for finding in findings] == [("names-unknown", "xyz")]


def test_only_organs_with_contours_are_named() -> None:
    target = structure({0.0: [circle(5.0)]}, number=1, name="Larynx", kind="target")
    named, findings = name_structures((target, empty(2, "SpinalCord")), NAMES)
    assert [s.standard_name for s in named] == [None, None]
    assert findings == ()


def test_an_organ_without_type_is_known_by_its_name_and_said_so() -> None:
    """Many exports leave the type empty; a swapped pair must be found in them too."""
    cord, helper = (structure({0.0: [circle(5.0)]}, number=n, name=name, kind="other") for n, name in
                    ((1, "SpinalCord"), (2, "zHelp")))  # fmt: skip
    named, findings = name_structures((cord, helper), NAMES)
    assert [(s.standard_name, s.kind) for s in named] == [("SpinalCord", "organ"), (None, "other")]
    assert [(finding.code, finding.where["roi"]) for finding in findings] == [("organ-without-type", "SpinalCord")]


def test_an_ambiguous_name_is_asked_about_and_not_used() -> None:
    named, (finding,) = name_structures((organ(7, "Parotid"),), NAMES)
    assert named[0].standard_name is None
    assert (finding.code, finding.severity, finding.where) == ("name-ambiguous", "warning", {"roi": "Parotid"})
    assert "Parotid_L" in finding.message
    assert "Parotid_R" in finding.message


def test_a_name_claimed_twice_is_given_to_nobody() -> None:
    given = (organ(1, "Cord"), organ(2, "Myelon"), organ(3, "SpinalCord"), organ(4, "Brainstem"))
    named, (finding,) = name_structures(given, NAMES)
    assert [s.standard_name for s in named] == [None, None, None, "Brainstem"]
    assert (finding.code, finding.where) == ("name-claimed-twice", {"roi": "SpinalCord"})
    assert all(repr(s.name) in finding.message for s in given[:3])


def test_an_empty_structure_claims_nothing() -> None:
    named, findings = name_structures((organ(1, "Myelon"), empty(2, "SpinalCord")), NAMES)
    assert [s.standard_name for s in named] == ["SpinalCord", None]
    assert findings == ()


def test_sides_that_are_swapped_are_refused() -> None:
    swapped = (organ(1, "Parotid_L", RIGHT_MM), organ(2, "Parotid_R", LEFT_MM))
    with pytest.raises(StructureRefusal, match="names swapped") as raised:
        name_structures(swapped, NAMES)
    assert (raised.value.code, raised.value.where) == ("laterality", {"left": "Parotid_L", "right": "Parotid_R"})


def mirrored(what: PhantomStructure) -> PhantomStructure:
    x, y, z = what.centre_mm
    return replace(what, centre_mm=(-x, y, z))


@pytest.mark.parametrize("position", ["HFS", "FFP"])
def test_a_mirrored_patient_is_refused_in_every_position(tmp_path: Path, position: str) -> None:
    """Left is +x in patient coordinates, however the patient lay in the scanner."""
    small = {"patient_position": position, "shape": (12, 24, 24), "spacing_mm": (12.5, 9.0, 9.0)}
    for folder, structures in (("right", HEAD_AND_NECK), ("wrong", tuple(map(mirrored, HEAD_AND_NECK)))):
        (tmp_path / folder).mkdir()
        phantom = write_phantom(tmp_path / folder, structures, **small)  # type: ignore[arg-type]
        case = read_case(phantom.paths).case
        if folder == "wrong":
            with pytest.raises(StructureRefusal, match="lies at x"):
                name_structures(case.structures, NAMES)
        else:
            named, _ = name_structures(case.structures, NAMES)
            assert {"Parotid_L", "Parotid_R"} <= {s.standard_name for s in named}
