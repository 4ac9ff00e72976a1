"""Unique identifiers: which are valid, and how new ones are made from what they identify."""

from __future__ import annotations

import hashlib
import re

__all__ = ["derived_uid", "is_valid_uid"]

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*", re.ASCII)
_LONGEST_UID = 64


def is_valid_uid(value: str) -> bool:
    """Say whether a string is a UID by PS3.5 section 9.1: digits and dots, no leading zeros, at most 64 characters."""
    return len(value) <= _LONGEST_UID and _UID.fullmatch(value) is not None


def derived_uid(*parts: str) -> str:
    """Make a UID that depends on nothing but its parts, so that the same result always gets the same UID.

    The SHA-256 of the parts becomes a version 8 UUID (RFC 9562), written as a UID below 2.25 (PS3.5 B.2).

    Parameters
    ----------
    parts
        What the UID stands for, such as a structure set UID, a model hash and the word ``"dose"``. The division
        into parts counts: ``("ab", "c")`` and ``("a", "bc")`` give different UIDs.
    """
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & ~(0xF << 76) | (8 << 76)  # version 8
    number = number & ~(0x3 << 62) | (2 << 62)  # variant
    return f"2.25.{number}"
