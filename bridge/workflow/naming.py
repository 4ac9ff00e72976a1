"""Naming: the site's structure names become TG-263 names, or a finding that asks which is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.rt.findings import Finding
from bridge.rt.laterality import require_sides
from bridge.rt.structure import Structure
from config.structure_names import Ambiguous, StructureNames

__all__ = ["name_structures"]


def name_structures(
    structures: Sequence[Structure], names: StructureNames
) -> tuple[tuple[Structure, ...], tuple[Finding, ...]]:
    """Give every organ its TG-263 name where the site's table has exactly one, and check left against right.

    Raises
    ------
    StructureRefusal
        A left and a right organ lie the other way round.
    """
    matched: dict[int, str] = {}
    findings: list[Finding] = []
    for structure in structures:
        if structure.kind != "organ" or structure.is_empty:
            continue
        match = names.match(structure.name)
        if isinstance(match, Ambiguous):
            findings.append(
                Finding(
                    "name-ambiguous",
                    "warning",
                    f"{structure.name!r} could be {' or '.join(match.candidates)}; it is not used as an organ until "
                    "the site's name table says which.",
                    {"roi": structure.name},
                )
            )
        elif match is not None:
            matched[structure.number] = match.standard_name
    for standard_name in sorted(set(matched.values())):
        claimants = [s for s in structures if matched.get(s.number) == standard_name]
        if len(claimants) > 1:
            shown = ", ".join(repr(structure.name) for structure in claimants)
            findings.append(
                Finding(
                    "name-claimed-twice",
                    "warning",
                    f"{shown} would all be {standard_name}; none of them is used under that name.",
                    {"roi": standard_name},
                )
            )
            for structure in claimants:
                del matched[structure.number]
    named = tuple(replace(structure, standard_name=matched.get(structure.number)) for structure in structures)
    require_sides(named)
    return named, tuple(findings)
