"""An objective set, and the receipts that a plug-in could write for it."""

from __future__ import annotations

import json
from typing import Any

from bridge.tps.terms import words
from tests.objective_extraction.cases import objective_set

__all__ = ["GIVEN", "REFUSED", "receipt_json"]

GIVEN = objective_set()
_APPLIED: dict[str, Any] = {
    "version": "1.0",
    "objectives_sha256": GIVEN.sha256,
    "state": "applied",
    "taken_by": "eclipse plug-in 1.0",
    "plan_uid": "2.25.7",
    "created_utc": "2026-03-02T10:00:00Z",
    "made": ["Parotid_L-PTV"],
    "added": [
        {"objective": number, "structure": one.roi_name, "what": words(one)}
        for number, one in enumerate(GIVEN.objectives[:5])
    ],
    "refused": [{"objective": 5, "structure": "Parotid_L-PTV", "what": "upper 20 Gy at 20 %", "reason": "no such"}],
    "notes": [],
}
REFUSED: dict[str, Any] = {
    "state": "refused",
    "reason": "The plan is approved. [plan-approved]",
    "made": [],
    "added": [],
    "refused": [],
}
"""What differs in the receipt of a refusal."""


def receipt_json(**changes: Any) -> bytes:
    """Give a receipt of an applied set with changes; ``...`` leaves a key out."""
    receipt = {key: value for key, value in (_APPLIED | changes).items() if value is not ...}
    return json.dumps(receipt).encode()
