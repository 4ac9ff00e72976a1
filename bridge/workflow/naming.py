"""Naming: the site's structure names become TG-263 names, or a finding that asks which is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bridge.rt.findings import Finding
from bridge.rt.laterality import require_sides, side_findings
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
    unknown: list[str] = []
    findings: list[Finding] = []
    for structure in structures:
        if structure.kind not in ("organ", "other") or structure.is_empty:
            continue
        match = names.match(structure.name)
        if structure.kind == "other" and match is None:
            continue  # a helper structure; only an organ's name makes a structure without type an organ
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
        elif match is None:
            unknown.append(structure.name)
        else:
            matched[structure.number] = match.standard_name
    if unknown:
        shown = ", ".join(repr(name) for name in unknown)
        findings.append(
            Finding(
                "names-unknown",
                "warning",
                f"No standard name is known for {shown}: a model that looks for these organs does not see them, and "
                "left and right are not checked. Add them to structure_names.aliases.",
                {"roi": ", ".join(unknown)},
            )
        )
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
    untyped = [s.name for s in structures if s.kind == "other" and s.number in matched]
    if untyped:
        findings.append(
            Finding(
                "organ-without-type",
                "warning",
                f"{', '.join(repr(name) for name in untyped)} have no organ's type but an organ's name, and are taken "
                "as organs. Set their type in the planning system.",
                {"roi": ", ".join(untyped)},
            )
        )
    named = tuple(
        replace(s, standard_name=matched[s.number], kind="organ") if s.number in matched else s for s in structures
    )
    require_sides(named)
    return named, (*findings, *side_findings(named))
