"""What a physicist should know about a dose before asking an optimizer for it."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.rt.dvh import Dvh
from bridge.rt.findings import Finding
from bridge.rt.prescription import TargetLevel
from bridge.rt.structure import Structure
from objective_extraction.near_maximum import NEAR_MAXIMUM_CC, near_maximum

__all__ = [
    "about_coverage",
    "about_hot_spot",
    "about_target",
    "low_dose",
    "no_ring",
    "overlap",
    "shortened",
    "swallowed",
]

_LEAST_COVERAGE = 0.95
_HOT_SPOT = 1.15
_WHOLE = 1.0 - 1e-6


def about_target(dvh: Dvh, level: TargetLevel, highest_gy: float) -> list[Finding]:
    """Tell where the dose covers a target too little, or is hotter than any plan should be."""
    found = []
    d95 = dvh.dose_at_percent(95)
    if d95 < _LEAST_COVERAGE * level.dose_gy:
        message = (
            f"D95% of {level.roi_name!r} is {d95:.2f} Gy, below {100 * _LEAST_COVERAGE:g} % of "
            f"its {level.dose_gy:g} Gy; the objectives ask for its prescription all the same."
        )
        found.append(Finding("target-not-covered", "warning", message, {"roi": level.roi_name}))
    return found + about_hot_spot(dvh, highest_gy)


def about_hot_spot(dvh: Dvh, highest_gy: float) -> list[Finding]:
    """Tell where the near-maximum is hotter than any plan should be."""
    hottest = near_maximum(dvh)
    if hottest.dose_gy <= _HOT_SPOT * highest_gy:
        return []
    message = (
        f"{hottest.name} of {dvh.roi_name!r} is {hottest.dose_gy:.2f} Gy, above {100 * _HOT_SPOT:g} % of the highest "
        f"prescription of {highest_gy:g} Gy."
    )
    return [Finding("hot-spot", "warning", message, {"roi": dvh.roi_name})]


def about_coverage(structure: Structure, dvh: Dvh) -> list[Finding]:
    """Tell where a structure is empty, or not wholly inside the dose grid."""
    where = {"roi": structure.name}
    if structure.is_empty:
        return [Finding("structure-empty", "info", f"{structure.name!r} has no contours and no objectives.", where)]
    if dvh.is_empty:
        message = f"{structure.name!r} lies outside the dose grid and has no objectives."
        return [Finding("outside-dose-grid", "warning", message, where)]
    if dvh.coverage < _WHOLE:
        message = (
            f"{100 * dvh.coverage:.1f} % of {structure.name!r} lies inside the dose grid; its objectives are those of "
            "this part."
        )
        return [Finding("partly-outside-dose-grid", "warning", message, where)]
    return []


def overlap(organ: Structure, fraction: float, targets: Sequence[Structure]) -> Finding:
    """Tell that an organ gets its objectives outside the targets only."""
    names = ", ".join(target.name for target in targets)
    message = f"{100 * fraction:.1f} % of {organ.name!r} lies inside {names}; its objectives are for the part outside."
    return Finding("organ-overlaps-target", "info", message, {"roi": organ.name})


def swallowed(structure: Structure, targets: Sequence[Structure]) -> Finding:
    """Tell that nothing of a structure, or too little for a structure of its own, is left outside the targets."""
    names = ", ".join(target.name for target in targets)
    message = (
        f"Less than {NEAR_MAXIMUM_CC:g} cc of {structure.name!r} lies outside {names} and inside the dose grid; "
        "no upper objectives are made for it."
    )
    return Finding("inside-target", "warning", message, {"roi": structure.name})


def low_dose(organ: Structure, dvh: Dvh, minimum_gy: float) -> Finding:
    """Tell that an organ gets too little for an objective to matter."""
    hottest = near_maximum(dvh)
    message = (
        f"{hottest.name} of {organ.name!r} is {hottest.dose_gy:.2f} Gy, not above {minimum_gy:g} Gy; "
        "it has no objectives."
    )
    return Finding("organ-low-dose", "info", message, {"roi": organ.name})


def shortened(name: str, identifier: str) -> Finding:
    """Tell that the planning system cannot take a structure's name, and what it has to be called there."""
    message = (
        f"{name!r} is longer than Eclipse takes. It goes there as {identifier!r}: a structure that is called otherwise "
        "there has to be renamed first."
    )
    return Finding("structure-id-short", "warning", message, {"roi": name, "structure_id": identifier})


def no_ring() -> Finding:
    """Tell that there is no ring, and so nothing that asks for fall-off."""
    message = "There is no EXTERNAL structure to bound a ring around the targets; nothing asks for dose fall-off."
    return Finding("no-ring", "warning", message)
