from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bridge.rt.errors import ApprovalRefusal, Refusal, StorageFailure
from objective_extraction.objective_json import (
    objective_set_from_json,
    objective_set_schema,
    objective_set_to_json,
    read_objective_set,
    write_objective_set,
)
from tests.objective_extraction.cases import changed, objective_set, point, prescription

DOCUMENT: dict[str, Any] = json.loads(objective_set_to_json(objective_set()))


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(objective_set_schema())


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_objective_set(objective_set(), tmp_path / "objectives.json")
    back = read_objective_set(tmp_path / "objectives.json")
    assert back == objective_set()
    assert back.sha256 == objective_set().sha256
    assert [path.name for path in tmp_path.iterdir()] == ["objectives.json"]


def test_anyone_can_recompute_the_hash() -> None:
    def whole(text: str) -> float:
        return int(float(text)) if float(text) == int(float(text)) else float(text)

    document = json.loads(objective_set_to_json(objective_set()), parse_float=whole)
    said = document.pop("sha256")
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == said


def test_layout_is_not_content() -> None:
    assert objective_set_from_json(json.dumps(DOCUMENT, sort_keys=True)) == objective_set()


@given(
    dose=st.floats(0.01, 200.0), volume=st.floats(0.0, 100.0), priority=st.floats(0.01, 1000.0),
    name=st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=64),
)  # fmt: skip
def test_any_objective_comes_back_exactly(dose: float, volume: float, priority: float, name: str) -> None:
    one = changed(
        objective_set([point(name, "upper", dose, volume, number=8, priority=priority)]),
        prescription=prescription((1, "PTV 70 + 3 mm margin, all of it", 70.0), fractions=None),
        derived_structures=(),
    )
    assert objective_set_from_json(objective_set_to_json(one)) == one


def _set(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        at: Any = document
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("objectives", 0, "dose_gy", to=60.5),
        _set("objectives", 0, "priority", to=1),
        _set("objectives", 0, "roi_name", to="PTV_71"),
        _set("objectives", 0, "origin", "sentence", to="trust me"),
        _set("objectives", 2, "dose_gy", to=23.5),
        _set("prescription", "fractions", to=30),
        _set("case", "structure_set_uid", to="2.25.101"),
        _set("dose_source", to="given"),
        _set("findings", to=[]),
        _set("derived_structures", 0, "margin_mm", to=2),
        _set("provenance", "model_sha256", to="d" * 64),
        _set("structure_volumes", 0, "volume_cc", to=27.5),
        _set("structure_volumes", 0, "tolerance_cc", to=17),
        _set("sha256", to="0" * 64),
    ],
)
def test_any_change_after_writing_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    if document["objectives"][0]["roi_name"] == "PTV_71":
        document["objectives"][1]["roi_name"] = document["prescription"]["levels"][0]["roi_name"] = "PTV_71"
        document["structure_volumes"][0]["roi_name"] = "PTV_71"
        document["derived_structures"] = []
        document["objectives"].pop()
    with pytest.raises(ApprovalRefusal) as refused:
        objective_set_from_json(json.dumps(document))
    assert refused.value.code == "objectives-changed"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_set("patient_name", to="x"), "patient_name"),
        (_set("case", "patient_id", to="x"), "patient_id"),
        (_set("objectives", 0, "colour", to="red"), "colour"),
        (_set("objectives", 0, "dose_gy", to="70"), "'70'"),
        (_set("objectives", 0, "dose_gy", to=7000), "7000"),
        (_set("objectives", 0, "volume_percent", to=101), "101"),
        (_set("objectives", 0, "operator", to="exact"), "exact"),
        (_set("objectives", 0, "kind", to="exactly"), "exactly"),
        (_set("objectives", 0, "roi_number", to=1.5), "1.5"),
        (_set("notice", to="FOR CLINICAL USE"), "NOT FOR CLINICAL USE"),
        (_set("provenance", "created_utc", to="2026-03-02T09:30:00"), "2026"),
        (_set("provenance", "created_utc", to="2026-13-02T09:30:00+00:00"), "2026-13"),
        (_set("prescription", "levels", to=[]), "[]"),
        (_set("sha256", to="abc"), "abc"),
    ],
)
def test_what_the_schema_does_not_know_is_refused_by_name(change: Callable[[dict[str, Any]], None], says: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    with pytest.raises(Refusal) as refused:
        objective_set_from_json(json.dumps(document))
    assert refused.value.code == "objectives-schema"
    assert says in refused.value.message


def test_a_missing_key_is_named() -> None:
    document = {key: value for key, value in DOCUMENT.items() if key != "dvh_policy"}
    with pytest.raises(Refusal, match="dvh_policy"):
        objective_set_from_json(json.dumps(document))


def test_another_file_of_the_bridge_is_no_objective_set() -> None:
    """It has a version too, which says nothing about objectives."""
    with pytest.raises(Refusal, match=r"'fdp-bridge-result'\. Name the objectives\.json") as refused:
        objective_set_from_json(json.dumps({"format": "fdp-bridge-result", "version": 1}))
    assert refused.value.code == "objectives-json"


def test_another_version_is_not_guessed_at() -> None:
    with pytest.raises(Refusal) as refused:
        objective_set_from_json(json.dumps(DOCUMENT | {"version": "2.0"}))
    assert refused.value.code == "objectives-version"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "\x00",
        '{"version": "1.0", "version": "1.0"}',
        '{"dose": NaN}',
        '{"dose": Infinity}',
        '{"dose": 1e999}',
        "[" * 100_000,
        b"\xff\xfe\xff",
    ],
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(Refusal) as refused:
        objective_set_from_json(text)
    assert refused.value.code == "objectives-json"


@pytest.mark.parametrize("text", ["null", "[]", '"x"', "3"])
def test_json_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        objective_set_from_json(text)
    assert refused.value.code == "objectives-schema"


def test_trouble_with_the_disk_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure):
        read_objective_set(tmp_path / "none.json")
    with pytest.raises(StorageFailure):
        write_objective_set(objective_set(), tmp_path / "none" / "objectives.json")


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "objectives.json"
    path.write_text("{}")
    with pytest.raises(Refusal) as refused:
        read_objective_set(path)
    assert refused.value.where["file"] == str(path)
