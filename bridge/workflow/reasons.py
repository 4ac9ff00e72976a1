"""The reason that a person gives for a decision; it is kept in the audit trail and shown with the case."""

from __future__ import annotations

from bridge.rt.errors import ApprovalRefusal

__all__ = ["LONGEST_REASON", "require_reason"]

LONGEST_REASON = 500


def require_reason(reason: str) -> str:
    """Give a reason without the spaces around it.

    Raises
    ------
    ApprovalRefusal
        There is none, or it is no single line (``reason``).
    """
    if not reason.strip() or len(reason) > LONGEST_REASON or not reason.isprintable():
        raise ApprovalRefusal("reason", f"Say why, in 1 to {LONGEST_REASON} characters on one line, without names.")
    return reason.strip()
