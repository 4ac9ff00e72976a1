"""One table from what went wrong to the status that a C-STORE is answered with (PS3.4 table B.2-1, PS3.7 annex C)."""

from __future__ import annotations

from bridge.node.instances import RecordOutcome
from bridge.rt.errors import DicomRefusal, IdentityRefusal, StorageFailure

__all__ = [
    "CANNOT_UNDERSTAND",
    "DUPLICATE_WITH_OTHER_CONTENT",
    "MISMATCH",
    "NOT_AUTHORISED",
    "OUT_OF_RESOURCES",
    "REFUSAL_STATUS",
    "SOP_CLASS_NOT_SUPPORTED",
    "SUCCESS",
    "status_of_error",
    "status_of_outcome",
]

SUCCESS = 0x0000
DUPLICATE_WITH_OTHER_CONTENT = 0x0111
SOP_CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
_IDENTITY = 0xC010
_INTERNAL = 0xC0FF

REFUSAL_STATUS = {
    "uid-mismatch": MISMATCH,
    "class-mismatch": MISMATCH,
    "sop-class-unsupported": SOP_CLASS_NOT_SUPPORTED,
    "sop-class-not-negotiated": SOP_CLASS_NOT_SUPPORTED,
    "not-authorised": NOT_AUTHORISED,
    "not-dicom": 0xC001,
    "file-meta-invalid": 0xC001,
    "transfer-syntax": 0xC002,
    "truncated": 0xC003,
    "encoding-invalid": 0xC004,
    "uid-invalid": 0xC005,
    "attribute-missing": 0xC006,
    "attribute-empty": 0xC007,
    "attribute-invalid": 0xC008,
}
"""Refusal code to status: one of the 0xC0xx ("cannot understand") for each cause, so that a sender's log names it."""


def status_of_error(error: Exception) -> int:
    """Give the status for an instance that was not kept."""
    if isinstance(error, StorageFailure | OSError):
        return OUT_OF_RESOURCES
    if isinstance(error, DicomRefusal):
        return REFUSAL_STATUS.get(error.code, CANNOT_UNDERSTAND)
    if isinstance(error, IdentityRefusal):
        return REFUSAL_STATUS.get(error.code, _IDENTITY)
    return _INTERNAL


def status_of_outcome(outcome: RecordOutcome) -> int:
    """Give the status for an instance that is on disk: other content under a known UID is kept, but not a success."""
    return DUPLICATE_WITH_OTHER_CONTENT if outcome is RecordOutcome.CONFLICT else SUCCESS
