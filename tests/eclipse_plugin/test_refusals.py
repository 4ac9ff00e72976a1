"""What the plug-in refuses: with a message, with a receipt that the bridge reads, and with nothing changed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.rt.errors import ApprovalRefusal, Refusal
from bridge.tps.eclipse import OBJECTIVES_FILE, EclipseFolder
from bridge.tps.receipt import read_receipt
from objective_extraction.approval import Approval
from objective_extraction.objective_json import read_approved
from objective_extraction.objective_set import DerivedStructure, canonical_json
from objective_extraction.objectives import NormalTissueObjective
from tests.eclipse_plugin.plug_in import PLUG_IN, SOURCES, PlugIn, plan, structure_set
from tests.solids import OTHER_FRAME, empty
from tests.tps.objective_sets import SET_UID, asked, mean, point, structures

RING = DerivedStructure("Ring_PTV", "ring", ("PTV70",), within="BODY", inner_mm=3.0, outer_mm=20.0)
OBJECTIVES = asked(
    point(1, "PTV70", 69.5, 98.0, "lower"),
    mean(3, "Parotid links", 26.0),
    point(None, "Ring_PTV", 45.0, 0.0),
    derived=[RING],
    normal_tissue=NormalTissueObjective(100.0),
)
APPROVAL = Approval("A. Physicist", datetime(2026, 3, 2, 10, tzinfo=UTC), OBJECTIVES.sha256)
OTHER_UID = "2.25.1001"
OTHER = {"structure_sets": [structure_set(structures(), OTHER_UID)], "plan": {"structure_set": OTHER_UID}}
UNDRAWN = [structure_set([s for s in structures() if s.number != 3] + [empty(3, "Parotid links")])]


@pytest.fixture
def folder(tmp_path: Path) -> EclipseFolder:
    handed_over = EclipseFolder(tmp_path / "share")
    handed_over.root.mkdir()
    handed_over.hand_over(OBJECTIVES)
    return handed_over


def file_of(folder: EclipseFolder) -> Path:
    return folder.folder_of(OBJECTIVES) / OBJECTIVES_FILE


def without(number: int) -> list[dict[str, Any]]:
    return [structure_set([s for s in structures() if s.number != number])]


def widened(number: int, by_mm: float) -> list[dict[str, Any]]:
    """The structure set with one box that was drawn wider on one side."""
    world = structure_set(structures())
    for drawn in world["structures"]:
        drawn["high"][0] += by_mm if drawn["number"] == number else 0.0
    return [world]


def drawn_as(number: int, name: str) -> list[dict[str, Any]]:
    return [structure_set([replace(s, name=name) if s.number == number else s for s in structures()])]


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("other-patient", OTHER),
        (
            "other-structure-set",
            {
                "structure_sets": [structure_set(structures()), structure_set(structures(), OTHER_UID)],
                "plan": {"structure_set": OTHER_UID},
            },
        ),
        ("other-frame-of-reference", {"structure_sets": [structure_set(structures(), SET_UID, OTHER_FRAME)]}),
        ("plan-approved", {"plan": {"approval": "PlanningApproved"}}),
        ("plan-approved", {"plan": {"approval": "Reviewed"}}),
        ("unknown-unit", {"unit": "Percent"}),
        ("no-prescription", {"plan": {"fractions": None}}),
        ("other-prescription", {"plan": {"dose_per_fraction": 1.8}}),
        ("other-prescription", {"plan": {"dose_per_fraction": 1.9998}}),
        ("other-prescription", {"plan": {"dose_per_fraction": 2.0002}}),
        ("other-prescription", {"plan": {"fractions": 28, "dose_per_fraction": 2.5}}),
        ("other-prescription", {"plan": {"fractions": 70, "dose_per_fraction": 1.0}}),
        ("other-prescription", {"unit": "cGy"}),
        ("structure-missing", {"structure_sets": without(3)}),
        ("structure-missing", {"structure_sets": without(5)}),
        ("structure-renamed", {"structure_sets": drawn_as(3, "Parotis links")}),
        ("structure-empty", {"structure_sets": UNDRAWN}),
        ("structure-changed", {"structure_sets": widened(3, 4.0)}),
        ("structure-changed", {"structure_sets": widened(3, -4.0)}),
        ("structure-changed", {"structure_sets": widened(5, 6.0)}),
        ("derived-name-taken", {"structure_sets": drawn_as(4, "Ring_PTV")}),
        ("derived-name-taken", {"structure_sets": drawn_as(4, "RING_ptv")}),
        ("structure-locked", {"plan": {"dose_beside": True}}),
        ("not-approved", {"require_approval": True}),
        ("no-beams", {"optimize": True}),
    ],
)
def test_a_hand_over_that_does_not_fit_is_refused(
    plug_in: PlugIn, folder: EclipseFolder, code: str, changes: dict[str, Any]
) -> None:
    request = changes | {"plan": plan(**changes.get("plan", {})), "folder": str(folder.folder_of(OBJECTIVES))}
    result = plug_in.run(folder.root, **request)
    _require_refusal(result, folder, code)


def test_a_refusal_of_edited_contours_names_the_structure_and_both_volumes(
    plug_in: PlugIn, folder: EclipseFolder
) -> None:
    """The box of 20 x 20 x 60 mm is 24 mm wide now; commas of the workstation stay out of it."""
    result = plug_in.run(folder.root, structure_sets=widened(3, 4.0), culture="de-DE")
    (told,) = result["runs"][0]["told"]
    assert "ROI 3 (Parotid links) has 28.80 cc in the plan's structure set" in told
    assert "were made for 24.00 cc, give or take 1.69 cc" in told


@pytest.mark.parametrize("changes", [{"structure_sets": widened(3, 1.0)}, {"structure_sets": widened(4, 8.0)}])
def test_what_a_planning_system_may_count_otherwise_and_what_is_not_needed_is_taken(
    plug_in: PlugIn, folder: EclipseFolder, changes: dict[str, Any]
) -> None:
    result = plug_in.run(folder.root, **changes)
    assert len(result["objectives"]) == len(OBJECTIVES.objectives)


def test_a_system_that_takes_no_changes_is_said(plug_in: PlugIn, folder: EclipseFolder) -> None:
    """No licence or no approval: only BeginModifications tells, after the planner's yes."""
    result = plug_in.run(folder.root, writable=False, plan=plan(objectives_present=1))
    (told,) = result["runs"][0]["told"]
    assert told.startswith("Nothing was changed. ")
    assert "[not-writable]" in told
    assert len(result["objectives"]) == 1
    receipt = folder.receipt(OBJECTIVES)
    assert receipt is not None
    assert receipt.state == "refused"


def test_what_the_bridge_took_back_while_the_planner_looked_at_it_is_refused(
    plug_in: PlugIn, folder: EclipseFolder
) -> None:
    result = plug_in.run(
        folder.root, plan=plan(objectives_present=1), removed_while_asked=[str(file_of(folder))], runs=[["Yes"]]
    )
    (told,) = result["runs"][0]["told"]
    assert told.startswith("Nothing was changed. ")
    assert "[withdrawn]" in told
    assert len(result["objectives"]) == 1
    assert len(result["structures"]) == len(structures())


def test_changed_objectives_are_refused(plug_in: PlugIn, folder: EclipseFolder) -> None:
    path = file_of(folder)
    text = path.read_text(encoding="utf-8")
    assert text.count("69.5") == 1
    path.write_text(text.replace("69.5", "68.5"), encoding="utf-8")
    _require_refusal(plug_in.run(folder.root), folder, "objectives-changed")


def test_objectives_written_with_other_digits_are_refused(plug_in: PlugIn, folder: EclipseFolder) -> None:
    """The same number in another form is not what the bridge wrote, and nobody else writes into the folder."""
    path = file_of(folder)
    path.write_text(path.read_text(encoding="utf-8").replace("69.5", "69.50"), encoding="utf-8")
    _require_refusal(plug_in.run(folder.root), folder, "objectives-changed")


def test_objectives_whose_hash_was_made_anew_are_refused_by_plug_in_and_bridge(
    plug_in: PlugIn, folder: EclipseFolder
) -> None:
    path = file_of(folder)
    forged = asked(mean(3, "Parotid links", 66.0)).document()
    path.write_bytes(canonical_json(forged))
    result = plug_in.run(folder.root)
    (run,) = result["runs"]
    assert run["asked"] == []
    assert "[not-handed-over]" in run["told"][0]
    assert result["objectives"] == []
    with pytest.raises(ApprovalRefusal) as refused:
        folder.receipt(OBJECTIVES)
    assert refused.value.code == "receipt-of-other-objectives"


def test_another_version_is_refused(plug_in: PlugIn, folder: EclipseFolder) -> None:
    path = file_of(folder)
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(document | {"version": "1.0"}), encoding="utf-8")
    _require_refusal(plug_in.run(folder.root), folder, "objectives-version")


def test_objectives_that_the_plan_holds_already_are_refused(plug_in: PlugIn, folder: EclipseFolder) -> None:
    result = plug_in.run(folder.root, runs=[["Yes"], ["Yes"]])
    first, second = result["runs"]
    assert len(first["asked"]) == 1
    assert second["asked"] == []
    assert "[already-applied]" in second["told"][0]
    assert len(result["objectives"]) == len(OBJECTIVES.objectives)
    assert len(result["structures"]) == len(structures()) + 1
    kept = folder.receipt(OBJECTIVES)
    assert kept is not None
    assert kept.state == "applied"
    assert "A later run was refused" in kept.notes[-1]
    assert "[already-applied]" in kept.notes[-1]
    refusal = read_receipt(folder.folder_of(OBJECTIVES) / "refusal.json", OBJECTIVES)
    assert refusal.state == "refused"


def test_an_approval_of_other_objectives_is_refused(plug_in: PlugIn, folder: EclipseFolder) -> None:
    path = file_of(folder)
    document = json.loads(path.read_bytes())
    said = replace(APPROVAL, objectives_sha256="0" * 64).as_dict()
    path.write_text(json.dumps(document | {"approval": said}), encoding="utf-8")
    _require_refusal(plug_in.run(folder.root), folder, "approval-of-other-objectives")


@pytest.mark.parametrize("missing", ["approved_by", "approved_utc", "objectives_sha256"])
def test_half_an_approval_is_refused(plug_in: PlugIn, folder: EclipseFolder, missing: str) -> None:
    path = file_of(folder)
    document = json.loads(path.read_bytes())
    said = APPROVAL.as_dict()
    del said[missing]
    path.write_text(json.dumps(document | {"approval": said}), encoding="utf-8")
    _require_refusal(plug_in.run(folder.root), folder, "objectives-json")


@pytest.mark.parametrize(
    "said",
    [{"approved_by": " "}, {"approved_by": "A\nB"}, {"approved_utc": "yesterday"}],
    ids=["nobody", "two lines", "no time"],
)
def test_an_approval_of_nobody_or_at_no_time_is_refused_by_plug_in_and_bridge(
    plug_in: PlugIn, folder: EclipseFolder, said: dict[str, str]
) -> None:
    path = file_of(folder)
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps(document | {"approval": APPROVAL.as_dict() | said}), encoding="utf-8")
    _require_refusal(plug_in.run(folder.root, require_approval=True), folder, "objectives-json")
    with pytest.raises(Refusal):
        read_approved(path)


def test_what_another_workstation_is_writing_is_left_alone(plug_in: PlugIn, folder: EclipseFolder) -> None:
    half = folder.folder_of(OBJECTIVES) / "receipt.json.part"
    half.write_text("{", encoding="utf-8")
    plug_in.run(folder.root)
    assert half.read_text(encoding="utf-8") == "{"
    receipt = folder.receipt(OBJECTIVES)
    assert receipt is not None
    assert receipt.state == "applied"
    left = {path.name for path in folder.folder_of(OBJECTIVES).iterdir()}
    assert left == {"objectives.json", "objectives.xml", "receipt.json", half.name}


def test_approved_objectives_are_taken_where_approval_is_required(plug_in: PlugIn, folder: EclipseFolder) -> None:
    folder.hand_over(OBJECTIVES, APPROVAL)
    result = plug_in.run(folder.root, require_approval=True)
    assert len(result["objectives"]) == len(OBJECTIVES.objectives)
    assert "Approved by A. Physicist at 2026-03-02T10:00:00+00:00" in result["runs"][0]["asked"][0]


def test_a_long_name_that_was_cut_otherwise_is_refused_with_the_id_that_is_expected(
    plug_in: PlugIn, tmp_path: Path
) -> None:
    name = "Parotid gland superficial left"
    wanted = asked(mean(3, name, 26.0))
    folder = EclipseFolder(tmp_path / "share")
    folder.root.mkdir()
    folder.hand_over(wanted)
    result = plug_in.run(folder.root, structure_sets=drawn_as(3, name[:16]))
    (told,) = result["runs"][0]["told"]
    assert f"rename it to {wanted.shortened_names[name]}" in told
    assert "[structure-renamed]" in told


def test_what_is_not_for_the_open_structure_set_is_not_offered(plug_in: PlugIn, folder: EclipseFolder) -> None:
    request = {"structure_sets": [structure_set(structures(), OTHER_UID)], "plan": plan(structure_set=OTHER_UID)}
    result = plug_in.run(folder.root, **request)
    assert result["runs"] == [{"asked": [], "told": [result["runs"][0]["told"][0]]}]
    (told,) = result["runs"][0]["told"]
    assert "There are no objectives for the structure set CT (2.25.1001)" in told
    assert "1 there for other structure sets, none for this one." in told
    assert folder.receipt(OBJECTIVES) is None


def test_a_folder_that_is_not_the_bridges_is_told_from_the_wrong_patient(
    plug_in: PlugIn, folder: EclipseFolder, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (told,) = plug_in.run(tmp_path / "elsewhere")["runs"][0]["told"]
    assert "no hand-overs at all are there" in told


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        b'{"a": 1} x',
        b'{"a": 1, "a": 1}',
        b"[" * 10_000,
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": 01}',
        b'{"a": "\\x"}',
        b'{"a": "\n"}',
        b'{"a": "\\u00g0"}',
    ],
)
def test_what_is_no_json_is_named_and_harms_nothing(plug_in: PlugIn, folder: EclipseFolder, content: bytes) -> None:
    file_of(folder).write_bytes(content)
    result = plug_in.run(folder.root)
    (told,) = result["runs"][0]["told"]
    assert f"These cannot be read: {folder.folder_of(OBJECTIVES).name}." in told
    assert result["objectives"] == []
    assert folder.receipt(OBJECTIVES) is None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"calculate_dose": True}, "[settings]"),
        ({"optimize": "yes"}, "[settings]"),
        ({"require_approval": None}, "[settings]"),
        ({"drop_folder": None}, "[settings]"),
        ({"drop_folder": "nowhere"}, "The drop folder cannot be read"),
    ],
)
def test_settings_that_cannot_be_meant_are_told(
    plug_in: PlugIn, folder: EclipseFolder, settings: dict[str, Any], says: str
) -> None:
    result = plug_in.run(folder.root, **settings)
    (told,) = result["runs"][0]["told"]
    assert says in told
    assert result["objectives"] == []
    assert folder.receipt(OBJECTIVES) is None


def test_the_settings_that_come_with_the_plug_in_are_understood(plug_in: PlugIn, folder: EclipseFolder) -> None:
    shipped = json.loads((SOURCES / PLUG_IN).with_suffix(".json").read_text(encoding="utf-8"))
    assert shipped.pop("drop_folder").startswith("\\\\server\\share")
    assert shipped["require_approval"] is True
    folder.hand_over(OBJECTIVES, APPROVAL)
    result = plug_in.run(folder.root, **shipped)
    assert len(result["objectives"]) == len(OBJECTIVES.objectives)


def _require_refusal(result: dict[str, Any], folder: EclipseFolder, code: str) -> None:
    (run,) = result["runs"]
    assert run["asked"] == []
    (told,) = run["told"]
    assert told.startswith("Nothing was changed. ")
    assert f"[{code}]" in told
    assert result["objectives"] == []
    assert "Ring_PTV" not in [s["id"] for s in result["structures"] if s["type"] == "CONTROL"]
    receipt = folder.receipt(OBJECTIVES)
    assert receipt is not None
    assert (receipt.state, receipt.plan_uid, receipt.added) == ("refused", "2.25.7", ())
    assert receipt.reason.endswith(f"[{code}]")
