from __future__ import annotations

import pytest

from bridge.rt.errors import IdentityRefusal, Refusal
from objective_extraction.objective_set import CaseReference, DerivedStructure, canonical_json
from tests.objective_extraction.cases import changed, objective_set, point


def test_canonical_json_has_one_form() -> None:
    assert canonical_json({"b": 70.0, "a": [1.5, None, "µ", True], "c": {"z": 0.1, "y": -2.0}}) == (
        '{"a":[1.5,null,"µ",true],"b":70,"c":{"y":-2,"z":0.1}}'.encode()
    )


def test_canonical_json_refuses_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": float("nan")})


def test_the_hash_is_of_the_content_and_of_all_of_it() -> None:
    given = objective_set()
    assert given.sha256 == objective_set().sha256
    others = [
        changed(given, dose_source="given"),
        changed(given, normal_tissue=None),
        changed(given, findings=()),
        changed(given, objectives=given.objectives[::-1]),
    ]
    assert len({given.sha256, *(other.sha256 for other in others)}) == 5


def test_the_document_names_no_patient_and_says_what_it_is_not_for() -> None:
    document = objective_set().document()
    assert document["notice"] == "NOT FOR CLINICAL USE"
    assert document["case"] == {
        "structure_set_uid": "2.25.100", "study_instance_uid": "2.25.200", "frame_of_reference_uid": "2.25.1",
    }  # fmt: skip


def test_an_objective_needs_a_structure_or_its_recipe() -> None:
    with pytest.raises(Refusal) as refused:
        objective_set([point("Larynx-PTV", "upper", 30.0, 20.0, number=None)])
    assert refused.value.code == "derived-unknown"


def test_one_roi_has_one_name() -> None:
    with pytest.raises(Refusal) as refused:
        objective_set([point("Larynx", "upper", 30.0, 20.0), point("Pharynx", "upper", 30.0, 20.0)])
    assert refused.value.code == "roi-name-conflict"


def test_a_derived_structure_does_not_take_a_name_of_the_structure_set() -> None:
    given = objective_set()
    recipe = DerivedStructure("PTV_70", "ring", ("PTV_70",), within="BODY", inner_mm=3.0, outer_mm=30.0)
    with pytest.raises(Refusal) as refused:
        changed(given, derived_structures=(*given.derived_structures, recipe))
    assert refused.value.code == "derived-repeated"


@pytest.mark.parametrize(
    "values",
    [
        {"operation": "subtract", "of": ("A", "B"), "minus": ("C",), "margin_mm": 0.0},
        {"operation": "subtract", "of": ("A",), "margin_mm": 0.0},
        {"operation": "subtract", "of": ("A",), "minus": ("C",)},
        {"operation": "subtract", "of": ("A",), "minus": ("C",), "margin_mm": 51.0},
        {"operation": "subtract", "of": ("A",), "minus": ("C",), "margin_mm": float("nan")},
        {"operation": "ring", "of": ("A",), "inner_mm": 3.0, "outer_mm": 30.0},
        {"operation": "ring", "of": ("A",), "within": "B", "inner_mm": 30.0, "outer_mm": 3.0},
        {"operation": "ring", "of": (), "within": "B", "inner_mm": 3.0, "outer_mm": 30.0},
        {"operation": "union", "of": ("A",), "within": "B", "inner_mm": 3.0, "outer_mm": 30.0},
    ],
)
def test_a_recipe_that_nobody_could_follow_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(Refusal) as refused:
        DerivedStructure("Ring", **values)  # type: ignore[arg-type]
    assert refused.value.code == "derived-recipe"


def test_a_derived_name_fits_eclipse() -> None:
    with pytest.raises(Refusal, match="1 to 16"):
        DerivedStructure("x" * 17, "subtract", ("A",), minus=("B",), margin_mm=0.0)


def test_a_recipe_reads_as_a_planner_says_it() -> None:
    subtract, ring = objective_set().derived_structures
    assert str(subtract) == "Parotid_L-PTV = Parotid_L - (PTV_70) + 3 mm"
    assert str(ring) == "Ring_PTV = 3 to 30 mm around PTV_70 in BODY"


@pytest.mark.parametrize("uid", ["", "../etc", "1.2.3a", "1" * 65, "1.2\n"])
def test_a_case_is_named_by_uids_only(uid: str) -> None:
    with pytest.raises(IdentityRefusal):
        CaseReference(uid, "1.2", "1.2")
