"""A department's template in another patient: found by meaning, never by a name that is another thing there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bridge.rt.errors import Refusal
from objective_extraction.department import Applied, CaseStructure, TemplateRow, apply_rows, row_in_words, rows_of
from objective_extraction.differences import differences
from objective_extraction.edit import ChangedRow, edited, is_edited
from objective_extraction.objective_set import DerivedStructure, ObjectiveSet
from objective_extraction.structure_volume import StructureVolume
from tests.objective_extraction.cases import changed, objective_set, point, prescription

CASE = objective_set()
STRUCTURES = [
    CaseStructure(1, "PTV_70", None),
    CaseStructure(5, "Parotid_L", "Parotid_L"),
    CaseStructure(8, "cord", "SpinalCord"),
]
OTHER = changed(
    CASE,
    prescription=prescription((3, "low", 54.0), (2, "high", 60.0)),
    objectives=(
        point("high", "lower", 59.0, 98.0, number=2),
        point("low", "lower", 53.0, 98.0, number=3),
        point("Lt Par - T", "upper", 11.0, 20.0, number=None),
        point("Shell", "upper", 40.0, 10.0, number=None),
    ),
    structure_volumes=tuple(
        StructureVolume(number, name, 27.25, 1.7)
        for number, name in ((2, "high"), (3, "low"), (4, "Lt Par"), (6, "BODY"), (7, "Myelon"))
    ),
    derived_structures=(
        DerivedStructure("Lt Par - T", "subtract", ("Lt Par",), minus=("high",), margin_mm=0.0),
        DerivedStructure("Shell", "ring", ("high",), within="BODY", inner_mm=3.0, outer_mm=30.0),
    ),
)
OTHER_STRUCTURES = [
    CaseStructure(2, "high", None), CaseStructure(3, "low", None), CaseStructure(4, "Lt Par", "Parotid_L"),
    CaseStructure(7, "Myelon", "SpinalCord"),
]  # fmt: skip


def row(structure: str, **changes: Any) -> TemplateRow:
    values = {
        "structure": structure, "kind": "point", "operator": "upper", "volume_percent": 0.0, "a": None,
        "priority": 50.0, "dose": "gy", "value": 45.0,
    }  # fmt: skip
    return TemplateRow.model_validate(values | changes)


PREDICTED: dict[str, Any] = {"dose": "predicted", "value": None}


def apply(*rows: TemplateRow, levels: int = 2) -> Applied:
    return apply_rows(rows, levels, OTHER, OTHER_STRUCTURES, "t v1")


def numbers(applied: Applied) -> list[tuple[Any, ...]]:
    found = applied.objectives.objectives
    return [(one.roi_number, one.roi_name, one.dose_gy, one.priority) for one in found]  # type: ignore[union-attr]


def test_structures_are_named_by_what_they_mean() -> None:
    rows, left_out = rows_of(CASE)
    assert [one.structure for one in rows] == [
        "target:1", "target:1", "organ:Parotid_L", "organ:Parotid_L", "outside:organ:Parotid_L"
    ]  # fmt: skip
    assert left_out == ("Parotid_L upper line of 2 points",)


def test_what_was_set_by_hand_is_fixed_a_target_in_percent_of_its_level() -> None:
    by_hand, _ = edited(CASE, [ChangedRow(0, dose_gy=68.6), ChangedRow(2, dose_gy=20.0), ChangedRow(3)], {})
    rows, _ = rows_of(by_hand)
    assert [(one.dose, one.value) for one in rows] == [("percent", 98.0), ("gy", 20.0), ("predicted", None)]


def test_a_row_finds_its_structure_under_another_name_and_another_level() -> None:
    applied = apply(
        row("target:1", operator="lower", volume_percent=98.0, dose="percent", value=97.0),
        row("target:2", operator="lower", volume_percent=98.0, **PREDICTED),
        row("organ:SpinalCord"),
        row("organ:Parotid_L", kind="mean", volume_percent=None, value=24.0),
        row("organ:Parotid_L", kind="geud", volume_percent=None, a=2.0, value=22.0),
        row("outside:organ:Parotid_L", volume_percent=20.0, **PREDICTED),
        row("ring", volume_percent=10.0, **PREDICTED),
    )
    assert numbers(applied) == [
        (2, "high", 58.2, 50.0), (3, "low", 53.0, 50.0), (7, "Myelon", 45.0, 50.0), (4, "Lt Par", 24.0, 50.0),
        (4, "Lt Par", 22.0, 50.0), (None, "Lt Par - T", 11.0, 50.0), (None, "Shell", 40.0, 50.0),
    ]  # fmt: skip
    assert [one.standard_name for one in applied.objectives.objectives][2:4] == ["SpinalCord", "Parotid_L"]
    assert applied.left_out == ()
    assert is_edited(applied.objectives), "its plan and dose need UIDs of their own"


def test_what_does_not_fit_is_left_out_and_told() -> None:
    applied = apply(
        row("organ:SpinalCord"),
        row("organ:Brainstem"),
        row("organ:SpinalCord", volume_percent=5.0, **PREDICTED),
        row("target:3", dose="percent", value=107.0),
        levels=3,
    )
    assert numbers(applied) == [(7, "Myelon", 45.0, 50.0)]
    assert applied.left_out == (
        "Brainstem upper 0 % (45 Gy, priority 50)",
        "SpinalCord upper 5 % (as predicted, priority 50)",
        "target 3 upper 0 % (107 % of its level, priority 50)",
    )
    told = {finding.code: (finding.severity, finding.message) for finding in applied.objectives.findings}
    assert told["template-partial"][0] == told["template-levels"][0] == "warning"
    assert "Brainstem" in told["template-partial"][1]
    assert "asks nothing of high, low, Lt Par - T, Shell" in told["template-partial"][1]
    assert "3 target levels, and this case has 2" in told["template-levels"][1]
    assert "hot-spot" in told, "what was found about the dose stays"


def test_a_template_of_which_nothing_fits_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        apply(row("organ:Brainstem"))
    assert refused.value.code == "template-fits-nothing"


def test_applying_it_to_its_own_case_changes_no_number() -> None:
    extracted = changed(CASE, objectives=tuple(one for one in CASE.objectives if one.kind != "line"))
    rows, _ = rows_of(extracted)
    again = apply_rows(rows, 1, extracted, STRUCTURES, "t v1").objectives
    assert differences([extracted, again]) == ()
    assert {one.origin.rule for one in again.objectives} == {"template"}


@pytest.mark.parametrize(
    "changes",
    [
        {"structure": "SpinalCord"}, {"structure": "target:0"}, {"structure": "target:x"}, {"volume_percent": None},
        {"volume_percent": 101.0}, {"priority": 0.0}, {"priority": float("nan")}, {"value": None}, {"a": 2.0},
        {"dose": "predicted"}, {"dose": "percent"}, {"kind": "mean"}, {"kind": "geud"}, {"value": 201.0},
        {"value": "45"}, {"more": 1},
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        row("organ:SpinalCord", **changes) if "structure" not in changes else row(**changes)


def test_a_row_is_said_as_a_planner_would() -> None:
    assert row_in_words(row("outside:target:2", dose="percent", value=105.0)) == (
        "target 2 outside the targets upper 0 % (105 % of its level, priority 50)"
    )
    geud = row("organ:Larynx", kind="geud", volume_percent=None, a=1.0, priority=7.0, **PREDICTED)
    assert row_in_words(geud) == "Larynx upper gEUD a=1 (as predicted, priority 7)"


def test_steps_are_compared_by_what_is_asked() -> None:
    kept, cord = CASE.objectives[0], point("SpinalCord", "upper", 45.0, 0.0, number=8)
    now: ObjectiveSet = changed(CASE, objectives=(*CASE.objectives[1:], cord, cord))
    found = {one.asked: one.numbers for one in differences([CASE, now])}
    assert found["PTV_70 lower 98 %"] == ("70.50 Gy, priority 120", None)
    assert [one.numbers for one in differences([CASE, now]) if one.asked.startswith("Spinal")] == [
        (None, "45.00 Gy, priority 7")
    ] * 2
    assert len(found) == 2
    assert kept not in now.objectives
