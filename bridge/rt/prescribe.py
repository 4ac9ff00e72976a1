"""Find the prescription of a case: from its RTPLAN, else from its target names, else from the site's configuration.

Which targets can carry a level: the PTVs, and targets whose name has no class. A CTV or ITV carries one only
in a case without those, and a GTV only in a case that has nothing else. A target that the RTPLAN prescribes to
carries that level whatever its class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bridge.rt.errors import PrescriptionRefusal
from bridge.rt.findings import Finding
from bridge.rt.prescription import Prescription, PrescriptionSource, TargetLevel
from bridge.rt.structure import Structure
from bridge.rt.target_names import dose_in_name

__all__ = ["AGREEMENT_GY", "find_prescription"]

AGREEMENT_GY = 0.5
"""Sources that differ by less agree: names round (PTV70 for 69.96 Gy in 33 fractions)."""

_SAME_DOSE_GY = 0.005
"""Doses of one RTPLAN that differ by less are the same number; decimal strings carry at least 0.01 Gy."""

_CLASS_IN_NAME = re.compile(r"PTV|CTV|ITV|GTV", re.IGNORECASE)
_RANK = {"PTV": 0, "CTV": 1, "ITV": 1, "GTV": 2}
_SOURCE_TEXT: Mapping[PrescriptionSource, str] = {
    "rtplan": "the RTPLAN",
    "target_name": "its name",
    "config": "the configuration",
}


def find_prescription(
    structures: Sequence[Structure],
    plan_doses: Sequence[tuple[int, float]],
    plan_fractions: int | None,
    configured: Mapping[str, float],
) -> tuple[Prescription, tuple[Finding, ...]]:
    """Give every target its level, and say what was left without one.

    All sources that speak about a target must agree within ``AGREEMENT_GY``; the first of them gives the value.

    Parameters
    ----------
    structures
        All structures of the case; only those of kind ``target`` that have contours can get a level.
    plan_doses
        ``(ROI number, target prescription dose in Gy)`` of the RTPLAN's dose references; empty without an RTPLAN.
    plan_fractions
        Number of fractions, or None where it is not known.
    configured
        Target name, or regular expression for the whole name, to Gy; neither looks at case. A name comes before
        expressions.

    Returns
    -------
    Prescription
        One level per target.
    tuple of Finding
        ``target-empty``, ``target-without-level``, ``prescription-not-a-target``.

    Raises
    ------
    PrescriptionRefusal
        ``no-target``, ``prescription-missing``, ``prescription-ambiguous``, ``prescription-conflict``,
        ``prescription-roi-unknown``, ``prescription-range``, ``fractions-range``.
    """
    planned_gy, findings = _planned(structures, plan_doses)
    targets, empty = _targets(structures)
    findings += empty
    best = min(_rank(target) for target in targets)
    levels = []
    without_level = []
    for target in targets:
        carries = _rank(target) == best
        level = _level(target, planned_gy.get(target.number), configured if carries else {}, read_name=carries)
        if level is not None:
            levels.append(level)
        elif carries:
            without_level.append(target.name)
    if not levels:
        raise PrescriptionRefusal(
            "prescription-missing",
            f"No prescribed dose was found for {', '.join(without_level)}. Send an RTPLAN whose dose references "
            "prescribe to the targets, or put the dose into the target names (PTV_70Gy), or set prescription.levels "
            "in the configuration.",
            roi=", ".join(without_level),
        )
    findings += [
        Finding(
            "target-without-level",
            "warning",
            f"Target {name!r} has no prescribed dose while others have; it is not used as a target.",
            {"roi": name},
        )
        for name in without_level
    ]
    return Prescription(tuple(levels), plan_fractions), tuple(findings)


def _planned(
    structures: Sequence[Structure], plan_doses: Sequence[tuple[int, float]]
) -> tuple[dict[int, float], list[Finding]]:
    """Give the RTPLAN's dose of each target by ROI number."""
    by_number = {structure.number: structure for structure in structures}
    planned_gy: dict[int, float] = {}
    findings = []
    for number, dose_gy in plan_doses:
        if number not in by_number:
            raise PrescriptionRefusal(
                "prescription-roi-unknown",
                f"The RTPLAN prescribes {dose_gy:g} Gy to ROI number {number}, which the structure set does not have. "
                "Send the plan and the structure set that belong together.",
                roi_number=number,
            )
        structure = by_number[number]
        if structure.kind != "target":
            findings.append(
                Finding(
                    "prescription-not-a-target",
                    "warning",
                    f"The RTPLAN prescribes {dose_gy:g} Gy to {structure.name!r}, which is of type {structure.kind} "
                    "and not a target; this dose is not used.",
                    {"roi": structure.name},
                )
            )
            continue
        earlier_gy = planned_gy.setdefault(number, dose_gy)
        if abs(earlier_gy - dose_gy) > _SAME_DOSE_GY:
            raise PrescriptionRefusal(
                "prescription-conflict",
                f"The RTPLAN prescribes both {earlier_gy:g} Gy and {dose_gy:g} Gy to {structure.name!r}. Keep one "
                "dose reference for each target, with the total dose.",
                roi=structure.name,
            )
    return planned_gy, findings


def _targets(structures: Sequence[Structure]) -> tuple[list[Structure], list[Finding]]:
    """Give the targets with contours, and a finding for each without."""
    targets = [structure for structure in structures if structure.kind == "target"]
    drawn = [target for target in targets if not target.is_empty]
    findings = [
        Finding("target-empty", "warning", f"Target {target.name!r} has no contours and is left out.",
                {"roi": target.name})
        for target in targets if target.is_empty
    ]  # fmt: skip
    if not drawn:
        named = [s.name for s in structures if s.kind != "target" and not s.is_empty and _CLASS_IN_NAME.search(s.name)]
        hint = f" By their names these may be meant: {', '.join(named)}." if named else ""
        emptied = f" Without contours: {', '.join(target.name for target in targets)}." if targets else ""
        raise PrescriptionRefusal(
            "no-target",
            "The structure set has no target with contours: no structure of type PTV, CTV or GTV that is drawn."
            f"{emptied}{hint} Set the type of the target in the planning system and export again.",
        )
    return drawn, findings


def _rank(target: Structure) -> int:
    found = _CLASS_IN_NAME.search(target.name)
    return _RANK[found[0].upper()] if found else 0


def _level(
    target: Structure, planned_gy: float | None, configured: Mapping[str, float], *, read_name: bool
) -> TargetLevel | None:
    """Give the level on which all sources agree, or None where none of them speaks."""
    said: list[tuple[PrescriptionSource, float]] = []
    if planned_gy is not None:
        said.append(("rtplan", planned_gy))
    configured_gy = _configured_gy(target.name, configured)
    named_gy = None
    if read_name:
        try:
            named_gy = dose_in_name(target.name)
        except PrescriptionRefusal:
            if planned_gy is None and configured_gy is None:
                raise  # nobody else can say what the name means
    if named_gy is not None:
        said.append(("target_name", named_gy))
    if configured_gy is not None:
        said.append(("config", configured_gy))
    if not said:
        return None
    source, dose_gy = said[0]
    for other, other_gy in said[1:]:
        if abs(other_gy - dose_gy) > AGREEMENT_GY:
            raise PrescriptionRefusal(
                "prescription-conflict",
                f"Target {target.name!r} is prescribed {dose_gy:g} Gy by {_SOURCE_TEXT[source]} and {other_gy:g} Gy by "
                f"{_SOURCE_TEXT[other]}. Correct the one that is wrong: the dose reference in the plan, the target's "
                "name, or prescription.levels in the configuration.",
                roi=target.name,
            )
    return TargetLevel(target.number, target.name, dose_gy, source)


def _configured_gy(name: str, configured: Mapping[str, float]) -> float | None:
    exact = {dose_gy for key, dose_gy in configured.items() if key.casefold() == name.casefold()}
    found = exact or {
        dose_gy for key, dose_gy in configured.items() if re.fullmatch(key, name, re.IGNORECASE) is not None
    }
    if len(found) > 1:
        raise PrescriptionRefusal(
            "prescription-conflict",
            f"prescription.levels in the configuration gives target {name!r} "
            f"{' and '.join(f'{dose:g} Gy' for dose in sorted(found))}. Make its expressions exclude each other.",
            roi=name,
        )
    return found.pop() if found else None
