"""Names of the structures that objectives need made: like no other name of the case, and short enough for Eclipse."""

from __future__ import annotations

import re
from collections.abc import Collection

from bridge.rt.short_ids import LONGEST_STRUCTURE_ID, short_id, side_of

__all__ = ["free_name", "shortened"]

_NUMBER = re.compile("[0-9]+")


def free_name(name: str, taken: Collection[str]) -> str:
    """Give a name that no structure has yet and that the planning system takes, with the side of the name.

    Parameters
    ----------
    name
        What the structure should be called.
    taken
        Names that there are already, as ``str.casefold`` gives them: planning systems compare without regard to case.
    """
    candidate, number = shortened(name), 1
    while candidate.casefold() in taken:
        number += 1
        candidate = short_id(f"{name}_{number}")
    return candidate


def shortened(name: str) -> str:
    """Cut the middle of a derived name to 16 characters, if neither its side nor a number is lost by that."""
    if len(name) <= LONGEST_STRUCTURE_ID:
        return name
    base, _, suffix = name.rpartition("-")
    side = side_of(base)
    ending = f"_{side}-{suffix}" if side else f"-{suffix}"
    cut = base[: LONGEST_STRUCTURE_ID - len(ending)] + ending
    return cut if _NUMBER.findall(cut) == _NUMBER.findall(name) else short_id(name)
