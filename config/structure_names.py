"""Map the names of structures to standard names (AAPM TG-263), and ask where that is not certain.

A name is compared as it is, then normalised (case, separators, word order, side), then with the site's own
expressions. Every word of a name must be accounted for: ``Parotid_L-PTV``, ``zParotid_L`` or ``Parotid_L_opt`` are
other structures than the parotid, and ``SpinalCord_PRV05`` is another than the cord. A side is never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from config.yaml_file import read_yaml

__all__ = ["Ambiguous", "NameMatch", "Organ", "StructureNames", "contradiction"]

_TABLE = Path(__file__).parent / "structure_names.yaml"

Side = Literal["L", "R"]

_SIDES: Mapping[str, frozenset[Side]] = {
    **dict.fromkeys(("l", "lt", "left"), frozenset[Side]({"L"})),
    **dict.fromkeys(("r", "rt", "right"), frozenset[Side]({"R"})),
    **dict.fromkeys(("lr", "rl", "both", "bilat", "bilateral"), frozenset[Side]({"L", "R"})),
}
_SIDE_WORDS: Mapping[Side, str] = {"L": "left", "R": "right"}
_HELPER_WORDS = frozenset({"ptv", "ctv", "gtv", "itv", "ring", "avoid"})
"""Words of structures that were made for optimization from an organ or a target; ``opt`` at the end is another, and
``z`` at the beginning."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.,()/-]*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_STANDARD_PRV = re.compile(r"(?P<base>.+?)_PRV(?:0[1-9]|[1-4][0-9]|50)?(?P<side>_[LR])?")


@dataclass(frozen=True)
class Organ:
    """One structure of the table.

    Attributes
    ----------
    standard_name
        TG-263 primary name, with its side.
    kind
        ``serial``: the hottest part decides; ``parallel``: the mean dose or the spared volume; ``external``: the body.
    side
        ``L``, ``R``, or None for an organ that has no side or is both.
    """

    standard_name: str
    kind: Literal["serial", "parallel", "external"]
    side: Side | None


@dataclass(frozen=True)
class NameMatch:
    """A certain mapping, and how it was found."""

    standard_name: str
    how: Literal["exact", "normalised", "regex"]


@dataclass(frozen=True)
class Ambiguous:
    """A name that may mean any of the candidates: ask a person."""

    candidates: tuple[str, ...]


@dataclass(frozen=True)
class _Parsed:
    """A name taken apart: its words without side and margin, joined; its sides; ``_PRV05``, ``_PRV`` or empty."""

    keys: tuple[str, str]
    sides: frozenset[Side]
    prv: str


@dataclass(frozen=True, eq=False)
class StructureNames:
    """The built-in table with a site's own names.

    Attributes
    ----------
    organs
        By standard name.
    """

    organs: Mapping[str, Organ]
    _by_key: Mapping[str, tuple[str, ...]]
    _aliases: Mapping[str, str] = field(default_factory=dict)
    _patterns: Sequence[tuple[re.Pattern[str], str]] = ()

    @classmethod
    def load(
        cls, aliases: Mapping[str, str] | None = None, patterns: Mapping[str, str] | None = None
    ) -> StructureNames:
        """Give the built-in table with a site's own names.

        Parameters
        ----------
        aliases
            Site's exact name to standard name (``structure_names.aliases`` of the settings).
        patterns
            Regular expression for a whole name, without case, to standard name (``structure_names.patterns``).
        """
        organs, by_key = _table()
        compiled = tuple((re.compile(pattern, re.IGNORECASE), name) for pattern, name in (patterns or {}).items())
        return cls(organs, by_key, dict(aliases or {}), compiled)

    @property
    def standard_names(self) -> tuple[str, ...]:
        """All names of the table, without those of planning risk volumes."""
        return tuple(self.organs)

    def is_standard(self, name: str) -> bool:
        """Whether a name is in the table, as it is or as planning risk volume (``SpinalCord_PRV05``)."""
        prv = _STANDARD_PRV.fullmatch(name)
        if prv is None:
            return name in self.organs
        organ = self.organs.get(prv["base"] + (prv["side"] or ""))
        return organ is not None and (organ.side is None) == (prv["side"] is None)

    def match(self, name: str) -> NameMatch | Ambiguous | None:
        """Map one name.

        Returns
        -------
        NameMatch
            The mapping is certain.
        Ambiguous
            The name may mean several structures, or the site's expressions contradict the name or each other.
        None
            The name is not known.
        """
        name = name.strip()
        if name in self._aliases:
            return NameMatch(self._aliases[name], "exact")
        if self.is_standard(name):
            return NameMatch(name, "exact")
        return self._match_normalised(name) or self._match_patterns(name)

    def _match_normalised(self, name: str) -> NameMatch | Ambiguous | None:
        parsed = _parse(name)
        if parsed is None:
            return None
        names = next((self._by_key[key] for key in parsed.keys if key in self._by_key), ())
        sides = {organ: self.organs[organ].side for organ in names}
        if len(parsed.sides) == 1:
            names = tuple(organ for organ in names if sides[organ] in parsed.sides)
        elif parsed.sides and not any(sides.values()):
            names = ()
        found = tuple(_with_prv(organ, parsed.prv, sides[organ]) for organ in names)
        if len(found) == 1:
            return NameMatch(found[0], "normalised")
        return Ambiguous(found) if found else None

    def _match_patterns(self, name: str) -> NameMatch | Ambiguous | None:
        found = dict.fromkeys(standard for pattern, standard in self._patterns if pattern.fullmatch(name))
        if not found:
            return None
        standard = next(iter(found))
        if len(found) > 1 or contradiction(name, standard):
            return Ambiguous(tuple(found))
        return NameMatch(standard, "regex")


def contradiction(name: str, standard_name: str) -> str | None:
    """Say why a name cannot mean a standard name, or None where nothing speaks against it."""
    words = _words(name)
    sides = _sides(words)
    side = standard_name[-1] if standard_name.endswith(("_L", "_R")) else None
    if side is not None and sides and sides != {side}:
        return f"the name says {' and '.join(sorted(_SIDE_WORDS[one] for one in sides))}"
    if ("prv" in words or "+" in name) and "_PRV" not in standard_name:
        return "the name says that it is a planning risk volume"
    if "~" in name:
        return "the name says that it is a part of the organ"
    if _HELPER_WORDS.intersection(words) or words[-1:] == ["opt"] or words[:1] == ["z"]:
        return "the name is that of a structure made for optimization"
    return None


def _words(name: str) -> list[str]:
    """Split at separators, digits and capitals: ``RightParotid`` is right, parotid."""
    without_accents = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return [word.lower() for word in _WORD.findall(without_accents)]


def _sides(words: Sequence[str]) -> frozenset[Side]:
    return frozenset(side for word in words for side in _SIDES.get(word, ()))


def _parse(name: str) -> _Parsed | None:
    """Take a name apart; None where it holds signs that may carry a meaning (``~`` is a part, ``+`` a margin)."""
    if not _PLAIN.fullmatch(name):
        return None
    words = _words(name)
    sides = _sides(words)
    words = [word for word in words if word not in _SIDES]
    prv = ""
    if "prv" in words:
        at = words.index("prv")
        margin = words[at + 1] if at + 1 < len(words) and words[at + 1].isdecimal() else ""
        if margin and not 1 <= int(margin) <= 50:
            return None
        prv = f"_PRV{int(margin):02d}" if margin else "_PRV"
        rest = words[at + 1 + bool(margin) :]
        words = words[:at] + (rest[1:] if margin and rest[:1] == ["mm"] else rest)
    return _Parsed(("".join(words), "".join(reversed(words))), sides, prv)


def _with_prv(standard_name: str, prv: str, side: Side | None) -> str:
    return f"{standard_name.removesuffix(f'_{side}')}{prv}_{side}" if side and prv else standard_name + prv


@cache
def _table() -> tuple[Mapping[str, Organ], Mapping[str, tuple[str, ...]]]:
    """Read the built-in table: organs by standard name, and standard names by normalised key."""
    content = read_yaml(_TABLE)
    organs: dict[str, Organ] = {}
    by_key: dict[str, tuple[str, ...]] = {}

    def add_keys(texts: Sequence[str], names: tuple[str, ...]) -> None:
        for text in texts:
            for key in dict.fromkeys(_keys(text)):
                if by_key.setdefault(key, names) != names:
                    raise ValueError(f"structure_names.yaml: {text!r} stands for {names} and for {by_key[key]}")

    for base, entry in content["organs"].items():
        names = tuple(_names(base, entry))
        organs |= {name: Organ(name, entry["kind"], side) for name, side in names}
        add_keys([base, *entry.get("aliases", [])], tuple(name for name, _ in names))
        if "both" in entry:
            add_keys([entry["both"]], (entry["both"],))
    for text, candidates in content["ambiguous"].items():
        add_keys([text], tuple(candidates))
    return organs, by_key


def _names(base: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, Side | None]]:
    if not entry.get("paired", False):
        yield base, None
        return
    yield f"{base}_L", "L"
    yield f"{base}_R", "R"
    if "both" in entry:
        yield entry["both"], None


def _keys(text: str) -> tuple[str, str]:
    parsed = _parse(text)
    if parsed is None or parsed.sides or parsed.prv:
        raise ValueError(f"structure_names.yaml: {text!r} must be plain words without side and margin")
    return parsed.keys
