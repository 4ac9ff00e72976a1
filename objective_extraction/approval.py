"""Approval: who said that exactly these objectives may go to the planning system, and when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from bridge.rt.errors import ApprovalRefusal

__all__ = ["Approval"]

_LONGEST_NAME = 64


@dataclass(frozen=True)
class Approval:
    """The decision of one person about one objective set.

    Attributes
    ----------
    approved_by
        Name of the person who approved, 1 to 64 printable characters.
    approved_utc
        When.
    objectives_sha256
        Hash of the objective set that was approved (:attr:`~objective_extraction.objective_set.ObjectiveSet.sha256`).

    Raises
    ------
    ApprovalRefusal
        Nobody is named, the time has no zone, or the hash is none (``approval-invalid``).
    """

    approved_by: str
    approved_utc: datetime
    objectives_sha256: str

    def __post_init__(self) -> None:
        if not self.approved_by.strip() or len(self.approved_by) > _LONGEST_NAME or not self.approved_by.isprintable():
            raise ApprovalRefusal(
                "approval-invalid", f"An approval names who approved, in 1 to {_LONGEST_NAME} printable characters."
            )
        if self.approved_utc.tzinfo is None:
            raise ApprovalRefusal("approval-invalid", "An approval says when, with the time zone.")
        if not re.fullmatch("[0-9a-f]{64}", self.objectives_sha256):
            raise ApprovalRefusal("approval-invalid", "An approval names the hash of the objectives that it is for.")

    def require_for(self, objectives_sha256: str) -> None:
        """Refuse an approval of other objectives (``approval-of-other-objectives``)."""
        if self.objectives_sha256 != objectives_sha256:
            raise ApprovalRefusal(
                "approval-of-other-objectives",
                f"The approval is for the objectives {self.objectives_sha256[:16]}, these are "
                f"{objectives_sha256[:16]}: look at these, and approve them.",
            )

    def as_dict(self) -> dict[str, str]:
        """Give the JSON form, with the time in UTC."""
        return {
            "approved_by": self.approved_by,
            "approved_utc": self.approved_utc.astimezone(UTC).isoformat(),
            "objectives_sha256": self.objectives_sha256,
        }
