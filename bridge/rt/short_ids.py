"""Ids for a planning system that takes fewer characters than DICOM: short, told apart, and turned back by a table.

A name that fits stays as it is. One that does not becomes a few letters of each of its words, its numbers, a mark of
four characters made of the whole name, and its side: ``Parotid gland superficial lobe left`` is ``ParGlaSup-...._L``.
The mark depends on the name alone, so the same name gets the same id in every table that has no collision.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Literal

__all__ = ["LONGEST_PLAN_ID", "LONGEST_STRUCTURE_ID", "short_id", "short_ids", "side_of"]

LONGEST_STRUCTURE_ID = 16
"""Characters that Eclipse takes in the id of a structure; more in newer versions is not confirmed."""

LONGEST_PLAN_ID = 13
"""Characters that Eclipse takes in the id of a plan, without its revision."""

_CHARACTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Of a mark: base 32 without the letters that are taken for digits or for each other."""

_MARK = 4

_SIDES: dict[str, Literal["L", "R"]] = {
    **dict.fromkeys(("l", "lt", "left", "li", "links", "linke", "linker", "linkes"), "L"),
    **dict.fromkeys(("r", "rt", "right", "re", "rechts", "rechte", "rechter", "rechtes"), "R"),
}

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PART = re.compile(r"\d+|\D+")


def side_of(name: str) -> Literal["L", "R"] | None:
    """Give the side that a name states as a word of its own; None where it states none or both."""
    sides = {_SIDES[word.lower()] for word in _words(name) if word.lower() in _SIDES}
    return sides.pop() if len(sides) == 1 else None


def short_ids(names: Iterable[str], longest: int = LONGEST_STRUCTURE_ID) -> dict[str, str]:
    """Give every name an id: the name itself where it fits, else a short one.

    Parameters
    ----------
    names
        Repeated ones count once.
    longest
        Characters that an id may have, at least 12.

    Returns
    -------
    dict
        Name to id. No two ids are the same, also not without regard to case, which is how the host compares; so names
        that differ in case alone get short ids too. The order of the names does not matter.
    """
    distinct = sorted(set(names))
    alike = Counter(name.casefold() for name in distinct)
    ids = {name: name for name in distinct if 0 < len(name) <= longest and alike[name.casefold()] == 1}
    taken = {name.casefold() for name in ids}
    for name in distinct:
        if name not in ids:
            candidates = (_shortened(name, longest, attempt) for attempt in count())
            ids[name] = next(candidate for candidate in candidates if candidate.casefold() not in taken)
            taken.add(ids[name].casefold())
    return ids


def short_id(name: str, longest: int = LONGEST_STRUCTURE_ID) -> str:
    """Give the id of one name that has no siblings."""
    return short_ids([name], longest)[name]


def _shortened(name: str, longest: int, attempt: int) -> str:
    side = side_of(name)
    ending = f"-{_mark(name, attempt)}" + (f"_{side}" if side else "")
    words = [word for word in _words(name) if not (side and word.lower() in _SIDES)]
    return (_squeezed([part for word in words for part in _PART.findall(word)], longest - len(ending)) or "S") + ending


def _words(name: str) -> list[str]:
    return [word for run in _WORD.findall(name) for word in _CAMEL.split(run)]


def _squeezed(parts: Sequence[str], room: int) -> str:
    """Keep the numbers, which tell dose levels apart, and of every other part as many letters as there is room for.

    A part keeps two letters or none: a lone R would be read as a side.
    """
    kept = [len(part) if part.isdecimal() else 0 for part in parts]
    for length in range(2, room + 1):
        for position, part in enumerate(parts):
            wanted = min(length, len(part))
            if kept[position] < wanted <= room - sum(kept) + kept[position]:
                kept[position] = wanted
    return "".join(part[:1].upper() + part[1:letters] for part, letters in zip(parts, kept, strict=True) if letters)[
        :room
    ]


def _mark(name: str, attempt: int) -> str:
    digest = hashlib.sha256(f"{attempt}/{name}".encode("utf-8", "surrogatepass")).digest()
    return "".join(_CHARACTERS[byte % len(_CHARACTERS)] for byte in digest[:_MARK])
