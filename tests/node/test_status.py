from __future__ import annotations

import pytest

from bridge.node.instances import RecordOutcome
from bridge.node.status import REFUSAL_STATUS, status_of_error, status_of_outcome
from bridge.rt.errors import DicomRefusal, StorageFailure


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageFailure("storage", ""), 0xA700),
        (OSError(28, "No space left on device"), 0xA700),
        (DicomRefusal("uid-mismatch", ""), 0xA900),
        (DicomRefusal("class-mismatch", ""), 0xA900),
        (DicomRefusal("sop-class-unsupported", ""), 0x0122),
        (DicomRefusal("not-authorised", ""), 0x0124),
        (DicomRefusal("truncated", ""), 0xC003),
        (DicomRefusal("uid-invalid", ""), 0xC005),
        (DicomRefusal("something-new", ""), 0xC000),
        (RuntimeError("a bug"), 0xC0FF),
    ],
)
def test_each_cause_has_its_status(error: Exception, status: int) -> None:
    assert status_of_error(error) == status


def test_causes_that_cannot_be_understood_are_told_apart() -> None:
    statuses = [REFUSAL_STATUS[code] for code in ("not-dicom", "truncated", "encoding-invalid", "uid-invalid")]
    assert len(set(statuses)) == 4
    assert all(0xC000 <= status <= 0xCFFF for status in statuses)


def test_outcomes() -> None:
    assert [status_of_outcome(outcome) for outcome in RecordOutcome] == [0x0000, 0x0000, 0x0111]
