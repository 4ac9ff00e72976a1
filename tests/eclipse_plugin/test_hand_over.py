"""The plug-in puts into a plan what the bridge's own port puts there, and its receipts say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.rt.findings import Finding
from bridge.tps.eclipse import EclipseFolder
from bridge.tps.esapi_port import EsapiPort, apply_to_esapi
from bridge.tps.receipt import Receipt
from objective_extraction.objective_set import DerivedStructure, ObjectiveSet
from objective_extraction.objectives import NormalTissueObjective, Objective
from tests.eclipse_plugin.plug_in import PlugIn, plan, structure_set
from tests.tps.objective_sets import PROVENANCE, asked, extracted, geud, line, mean, point, structures
from tests.tps.worlds import give_dose, plan_on

RING = DerivedStructure("Ring_PTV", "ring", ("PTV70", "PTV56"), within="BODY", inner_mm=3.0, outer_mm=20.0)
REST = DerivedStructure("Parotid-PTV", "subtract", ("Parotid links",), minus=("PTV70", "PTV56"), margin_mm=2.0)


def every_kind(normal_tissue: NormalTissueObjective | None = None) -> ObjectiveSet:
    return asked(
        point(1, "PTV70", 69.3, 98.0, "lower"),
        point(1, "PTV70", 74.9, 0.0),
        mean(3, "Parotid links", 25.7),
        geud(4, "Cord", 39.95, 12.5),
        geud(2, "PTV56", 55.1, -20.0, "lower"),
        line(4, "Cord", (80.0, 0.0), (33.3, 12.1), (0.0, 40.7)),
        point(None, "Ring_PTV", 45.2, 1.5),
        point(None, "Parotid-PTV", 20.4, 30.0),
        derived=[RING, REST],
        normal_tissue=normal_tissue,
    )


def row(objective: Any) -> dict[str, Any]:
    """An objective of the Python stub, as the headless host writes one."""
    kind = {"OptimizationPointObjective": "point", "OptimizationMeanDoseObjective": "mean"}.get(
        type(objective).__name__, "geud"
    )
    return {
        "structure": objective.StructureId,
        "kind": kind,
        "operator": objective.Operator.name.rstrip("_"),
        "dose": objective.Dose.Dose,
        "unit": "Gy",
        "number": getattr(objective, "Volume", getattr(objective, "ParameterA", None)),
        "priority": objective.Priority,
    }


def handed_over(root: Path, objectives: ObjectiveSet) -> EclipseFolder:
    folder = EclipseFolder(root / "share")
    folder.root.mkdir()
    folder.hand_over(objectives)
    return folder


def receipt_of(folder: EclipseFolder, objectives: ObjectiveSet) -> Receipt:
    receipt = folder.receipt(objectives)
    assert receipt is not None
    return receipt


@pytest.mark.parametrize("objectives", [every_kind(), extracted()], ids=["every-kind", "extracted"])
@pytest.mark.parametrize(("unit", "per_gy"), [("Gy", 1.0), ("cGy", 100.0)])
@pytest.mark.parametrize("culture", ["", "de-DE"], ids=["invariant", "german"])
def test_a_plan_gets_what_the_port_of_the_bridge_gives_it(
    plug_in: PlugIn, tmp_path: Path, objectives: ObjectiveSet, unit: str, per_gy: float, culture: str
) -> None:
    folder = handed_over(tmp_path, objectives)
    result = plug_in.run(folder.root, unit=unit, culture=culture, plan=plan(dose_per_fraction=2.0 * per_gy))
    assert result["decimal_mark"] == ("," if culture else ".")
    with plan_on(structures()) as made:
        port = EsapiPort(made).hand_over(objectives)
        rows = [row(objective) for objective in made.OptimizationSetup.Objectives]
    assert port.refused == ()
    assert len(result["objectives"]) == len(rows) > 0
    for landed, wanted in zip(result["objectives"], rows, strict=True):
        expected = wanted | {"unit": unit, "dose": pytest.approx(per_gy * wanted["dose"], rel=1e-12)}
        expected["priority"] = pytest.approx(wanted["priority"], rel=1e-12)
        assert landed == expected
    receipt = receipt_of(folder, objectives)
    assert (receipt.state, receipt.plan_uid, receipt.refused) == ("applied", "2.25.7", ())
    assert (receipt.made, receipt.added) == (port.made, port.added)
    assert receipt.added == apply_to_esapi(objectives, structures()).added


def test_derived_structures_have_the_volumes_of_the_python_stub(plug_in: PlugIn, tmp_path: Path) -> None:
    result = plug_in.run(handed_over(tmp_path, every_kind()).root)
    volumes = {structure["id"]: structure["volume_cc"] for structure in result["structures"]}
    with plan_on(structures()) as made:
        EsapiPort(made).hand_over(every_kind())
        for structure in made.StructureSet.Structures:
            assert volumes[structure.Id] == pytest.approx(structure.Volume, rel=0.02), structure.Id
    assert volumes["Parotid-PTV"] == pytest.approx(8.0 * 20.0 * 60.0 / 1000.0, rel=1e-9)
    assert {s["type"] for s in result["structures"] if s["id"] in ("Ring_PTV", "Parotid-PTV")} == {"CONTROL"}


@pytest.mark.parametrize(
    ("normal_tissue", "numbers"),
    [
        (NormalTissueObjective(100.0), (True, 0, 0, 0, 0)),
        (NormalTissueObjective(90.0, 5.5, 105.0, 60.0, 0.05), (False, 5.5, 105, 60, 0.05)),
    ],
    ids=["automatic", "manual"],
)
def test_the_normal_tissue_objective_arrives(
    plug_in: PlugIn, tmp_path: Path, normal_tissue: NormalTissueObjective, numbers: tuple[float, ...]
) -> None:
    objectives = every_kind(normal_tissue)
    folder = handed_over(tmp_path, objectives)
    (landed,) = plug_in.run(folder.root, culture="de-DE")["normal_tissue"]
    names = ("automatic", "distance_mm", "start_percent", "end_percent", "fall_off")
    assert landed == dict(zip(names, numbers, strict=True)) | {"priority": normal_tissue.priority}
    assert receipt_of(folder, objectives).added[-1].what == "normal tissue objective"


def test_nothing_changes_before_the_planner_says_yes_to_the_preview(plug_in: PlugIn, tmp_path: Path) -> None:
    objectives = replace(
        every_kind(NormalTissueObjective(100.0)),
        findings=(
            Finding("organ-low-dose", "info", "'Lens' has no objectives.", {}),
            Finding("hot-spot", "warning", "D0.03cc is 81 Gy.", {}),
        ),
    )
    folder = handed_over(tmp_path, objectives)
    result = plug_in.run(folder.root, runs=[["Cancel"]], plan=plan(objectives_present=2), culture="de-DE")
    (run,) = result["runs"]
    (preview,) = run["asked"]
    lines = preview.splitlines()
    assert lines[0] == "NOT FOR CLINICAL USE"
    assert objectives.sha256[:16] in lines[1]
    assert lines[2] == "NOT APPROVED by a person"
    assert "70 Gy in 35 fractions" in lines[3]
    assert lines[4] == "Will remove the 2 objectives that are in the plan"
    assert [f"Will make {recipe}" in lines for recipe in (RING, REST)] == [True, True]
    assert "  PTV70: lower 69.3 Gy at 98 % (80); upper 74.9 Gy at 0 % (80)" in lines
    assert "  Cord: gEUD (a = 12.5) upper 39.95 Gy (60); upper line of 3 points, sampled (70)" in lines
    assert "  normal tissue objective, automatic (100)" in lines
    assert lines.index("WARNING: D0.03cc is 81 Gy.") + 1 == lines.index("Note: 'Lens' has no objectives.")
    assert [objective["dose"] for objective in result["objectives"]] == [1, 2]
    assert len(result["structures"]) == len(structures())
    assert folder.receipt(objectives) is None


def test_the_preview_says_which_structures_it_would_replace(plug_in: PlugIn, tmp_path: Path) -> None:
    """A planner may have drawn a ring of that name: structures that help an optimizer are of the same type as ours."""
    folder = handed_over(tmp_path, every_kind())
    drawn = structure_set([*structures(), replace(structures()[3], number=9, name="Ring_PTV")])
    drawn["structures"][-1]["type"] = "CONTROL"
    result = plug_in.run(folder.root, structure_sets=[drawn], runs=[["Cancel"]])
    lines = result["runs"][0]["asked"][0].splitlines()
    assert f"Will replace the contours of {RING}" in lines
    assert f"Will make {REST}" in lines


def test_objectives_that_were_in_the_plan_are_replaced(plug_in: PlugIn, tmp_path: Path) -> None:
    objectives = asked(mean(3, "Parotid links", 26.0))
    folder = handed_over(tmp_path, objectives)
    result = plug_in.run(folder.root, plan=plan(objectives_present=3))
    assert [(o["structure"], o["dose"]) for o in result["objectives"]] == [("Parotid links", 26)]
    assert receipt_of(folder, objectives).notes == ("3 objectives that were in the plan were removed.",)


NAMES = {3: "Parotid gland superficial left", 4: "Parotid gland superficial right"}


def test_structures_of_long_names_are_found_under_their_short_ids(plug_in: PlugIn, tmp_path: Path) -> None:
    objectives = asked(
        mean(3, NAMES[3], 26.0),
        mean(4, NAMES[4], 24.0),
        point(None, "Left-PTV", 20.0, 30.0),
        derived=[DerivedStructure("Left-PTV", "subtract", (NAMES[3],), minus=("PTV70",), margin_mm=0.0)],
    )
    ids = objectives.shortened_names
    drawn = [replace(s, name=ids[NAMES[s.number]]) if s.number in NAMES else s for s in structures()]
    folder = handed_over(tmp_path, objectives)
    result = plug_in.run(folder.root, structure_sets=[structure_set(drawn)])
    assert [(o["structure"][-2:], o["dose"]) for o in result["objectives"]] == [("_L", 26), ("_R", 24), ("TV", 20)]
    assert f"{NAMES[3]} is called {ids[NAMES[3]]} here" in result["runs"][0]["asked"][0]
    receipt = receipt_of(folder, objectives)
    assert (receipt.refused, receipt.short_ids) == ((), ids)
    assert [outcome.structure for outcome in receipt.added] == [NAMES[3], NAMES[4], "Left-PTV"]
    again = plug_in.run(folder.root, structure_sets=[structure_set(drawn)], runs=[["Yes"], []])
    assert "[already-applied]" in again["runs"][1]["told"][0]


def test_a_dose_is_discarded_before_structures_are_shaped_and_the_receipt_says_what_python_says(
    plug_in: PlugIn, tmp_path: Path
) -> None:
    """The model of the dose is set again with the options that the planner had chosen."""
    objectives = every_kind()
    folder = handed_over(tmp_path, objectives)
    result = plug_in.run(folder.root, plan=plan(has_dose=True, grid_cm="0.125"))
    assert "Will discard the dose of the plan" in result["runs"][0]["asked"][0]
    assert (result["has_dose"], result["dose_model"]) == (False, "AAA")
    assert result["dose_options"] == {"CalculationGridSizeInCM": "0.125"}
    receipt = receipt_of(folder, objectives)
    assert (receipt.made, receipt.refused) == (("Ring_PTV", "Parotid-PTV"), ())
    with plan_on(structures()) as made:
        give_dose(made)
        assert EsapiPort(made).hand_over(objectives).notes == receipt.notes


def test_a_dose_stays_where_no_structure_has_to_be_made(plug_in: PlugIn, tmp_path: Path) -> None:
    objectives = asked(mean(3, "Parotid links", 26.0))
    folder = handed_over(tmp_path, objectives)
    result = plug_in.run(folder.root, plan=plan(has_dose=True))
    assert "discard" not in result["runs"][0]["asked"][0]
    assert result["has_dose"] is True
    assert receipt_of(folder, objectives).notes == ()


def test_the_newest_hand_over_is_offered_first_and_others_on_request(plug_in: PlugIn, tmp_path: Path) -> None:
    older = asked(mean(3, "Parotid links", 26.0))
    newer = replace(
        asked(mean(3, "Parotid links", 20.0)),
        provenance=replace(PROVENANCE, created_utc=datetime(2026, 2, 1, tzinfo=UTC)),
    )
    folder = handed_over(tmp_path, older)
    folder.hand_over(newer)
    result = plug_in.run(folder.root, runs=[["No", "Yes"]])
    first, second = result["runs"][0]["asked"]
    assert newer.sha256[:16] in first
    assert older.sha256[:16] in second
    assert [objective["dose"] for objective in result["objectives"]] == [26]
    assert folder.receipt(newer) is None
    assert receipt_of(folder, older).state == "applied"


@pytest.mark.parametrize(
    "newer",
    [
        point(3, "Parotid links", 26.02, 50.0),
        point(3, "Parotid links", 26.0, 50.1),
        point(3, "Parotid links", 26.0, 50.0, "lower"),
        point(2, "PTV56", 26.0, 50.0),
        mean(3, "Parotid links", 26.0),
        replace(point(3, "Parotid links", 26.0, 50.0), priority=81.0),
    ],
)
def test_other_objectives_are_no_second_run(plug_in: PlugIn, tmp_path: Path, newer: Objective) -> None:
    first, second = asked(point(3, "Parotid links", 26.0, 50.0)), asked(newer)
    second = replace(second, provenance=replace(PROVENANCE, created_utc=datetime(2026, 2, 1, tzinfo=UTC)))
    folder = handed_over(tmp_path, first)
    folder.hand_over(second)
    plug_in.run(folder.root, runs=[["No", "Yes"], ["Yes"]])
    assert receipt_of(folder, second).state == "applied"


SETUP = {"id": "kV", "setup": True, "arc": False}


@pytest.mark.parametrize(
    ("arc", "calls"),
    [
        (True, ["OptimizeVMAT", "CalculateDose"]),
        (False, ["Optimize", "CalculateLeafMotions", "CalculateDose"]),
    ],
    ids=["arcs", "fixed-beams"],
)
def test_the_plan_is_optimized_and_calculated_if_the_site_wants_it(
    plug_in: PlugIn, tmp_path: Path, arc: bool, calls: list[str]
) -> None:
    objectives = asked(mean(3, "Parotid links", 26.0))
    folder = handed_over(tmp_path, objectives)
    beams = plan(beams=[SETUP, {"id": "1", "setup": False, "arc": arc}])
    result = plug_in.run(folder.root, plan=beams, optimize=True, calculate_dose=True)
    assert (result["calls"], result["has_dose"]) == (calls, True)
    notes = receipt_of(folder, objectives).notes
    assert len(notes) == len(calls)
    assert all(note.endswith(": done.") for note in notes)


def test_text_and_numbers_of_every_form_have_the_hash_that_python_gives_them(plug_in: PlugIn, tmp_path: Path) -> None:
    """Sorted keys beyond the basic plane, escapes, and floats that other languages print otherwise."""
    strange = Finding(
        "odd", "info", 'a "b" \\ c/d \b\f\n\r\t\x01\x7f é ß 漢 😀', {"ﬁ": "1", "😀": "2", "é": "3", "A": "4"}
    )
    numbers = {"a": 0.1 + 0.2, "b": 1e-7, "c": 5e-324, "d": 70.0, "e": -0.0, "f": 1 / 3, "g": 123456789012345.0}
    objectives = replace(
        asked(mean(3, "Parotid links", 26.0)),
        findings=(strange,),
        provenance=replace(PROVENANCE, preference=numbers),
    )
    folder = handed_over(tmp_path, objectives)
    plug_in.run(folder.root, culture="de-DE")
    assert receipt_of(folder, objectives).state == "applied"
