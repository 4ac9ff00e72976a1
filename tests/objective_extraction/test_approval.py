"""An approval names a person, a time and a hash, and goes with exactly the objectives of that hash."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from bridge.rt.errors import ApprovalRefusal, Refusal
from objective_extraction.approval import Approval
from objective_extraction.objective_json import (
    objective_set_from_json,
    objective_set_to_json,
    read_approved,
    write_objective_set,
)
from tests.objective_extraction.cases import changed, objective_set

GIVEN = objective_set()
APPROVAL = Approval("A. Physicist", datetime(2026, 3, 2, 10, tzinfo=UTC), GIVEN.sha256)


def test_an_approval_is_read_back_with_the_objectives(tmp_path: Path) -> None:
    write_objective_set(GIVEN, tmp_path / "objectives.json", APPROVAL)
    assert read_approved(tmp_path / "objectives.json") == (GIVEN, APPROVAL)


def test_the_hash_of_the_objectives_is_that_without_the_approval() -> None:
    with_it, without = (json.loads(objective_set_to_json(GIVEN, one)) for one in (APPROVAL, None))
    assert with_it.pop("approval") == {
        "approved_by": "A. Physicist",
        "approved_utc": "2026-03-02T10:00:00+00:00",
        "objectives_sha256": GIVEN.sha256,
    }
    assert with_it == without


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    cet = datetime(2026, 3, 2, 11, tzinfo=timezone(timedelta(hours=1)))
    assert Approval("A", cet, GIVEN.sha256).as_dict() == Approval("A", APPROVAL.approved_utc, GIVEN.sha256).as_dict()


def test_objectives_that_nobody_approved_have_no_approval(tmp_path: Path) -> None:
    write_objective_set(GIVEN, tmp_path / "objectives.json")
    assert read_approved(tmp_path / "objectives.json") == (GIVEN, None)


def test_an_approval_of_other_objectives_is_neither_written_nor_read() -> None:
    other = changed(GIVEN, dose_source="given")
    with pytest.raises(ApprovalRefusal) as refused:
        objective_set_to_json(other, APPROVAL)
    assert refused.value.code == "approval-of-other-objectives"
    document = json.loads(objective_set_to_json(other)) | {"approval": APPROVAL.as_dict()}
    with pytest.raises(ApprovalRefusal) as refused:
        objective_set_from_json(json.dumps(document))
    assert refused.value.code == "approval-of-other-objectives"


@pytest.mark.parametrize(
    "changes",
    [
        {"approved_by": ""},
        {"approved_by": "x" * 65},
        {"approved_by": 1},
        {"approved_utc": "2026-03-02T10:00:00"},
        {"approved_utc": "2026-13-02T10:00:00+00:00"},
        {"approved_utc": None},
        {"objectives_sha256": "x"},
        {"comment": "trust me"},
    ],
)
def test_half_an_approval_is_refused(changes: dict[str, Any]) -> None:
    document = json.loads(objective_set_to_json(GIVEN, APPROVAL))
    document["approval"] |= changes
    with pytest.raises(Refusal) as refused:
        objective_set_from_json(json.dumps(document))
    assert refused.value.code == "objectives-schema"


@pytest.mark.parametrize("name", [" ", "two\nlines", "x" * 65, ""])
def test_an_approval_names_a_person_on_one_line(name: str) -> None:
    with pytest.raises(ApprovalRefusal) as refused:
        Approval(name, APPROVAL.approved_utc, GIVEN.sha256)
    assert refused.value.code == "approval-invalid"


def test_an_approval_needs_a_zone_and_a_hash() -> None:
    for when, sha256 in ((datetime(2026, 3, 2, 10), GIVEN.sha256), (APPROVAL.approved_utc, "x")):  # noqa: DTZ001
        with pytest.raises(ApprovalRefusal):
            Approval("A", when, sha256)
