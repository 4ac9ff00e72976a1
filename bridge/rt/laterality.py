"""Laterality: a left organ lies on the patient's left, or the names are swapped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.rt.errors import StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.structure import Structure, loop_area_mm2

__all__ = ["require_sides", "side_findings"]

_CLEARLY_MM = 10.0
"""Farther than this on the wrong side of the middle is not a turned head any more."""


def require_sides(structures: Sequence[Structure]) -> None:
    """Refuse a pair of organs whose standard names say the opposite of where they lie.

    Parameters
    ----------
    structures
        Those with a TG-263 name ending in ``_L`` and ``_R`` are compared in pairs; others are left alone.

    Raises
    ------
    StructureRefusal
        The left one of a pair does not lie to the patient's left (+x in LPS) of the right one (``laterality``).
    """
    by_name = {s.standard_name: s for s in structures if s.standard_name and not s.is_empty}
    for name, left in by_name.items():
        right = by_name.get(f"{name[:-2]}_R") if name.endswith("_L") else None
        if right is not None and _centre_x_mm(left) <= _centre_x_mm(right):
            raise StructureRefusal(
                "laterality",
                f"{left.name!r} should lie to the patient's left of {right.name!r} but lies at x = "
                f"{_centre_x_mm(left):.1f} mm against {_centre_x_mm(right):.1f} mm (x grows to the left). Are the "
                "names swapped, or is the patient position wrong?",
                left=left.name,
                right=right.name,
            )


def side_findings(structures: Sequence[Structure]) -> tuple[Finding, ...]:
    """Tell which organs of one side lie clearly on the other side of the body.

    A pair is compared with itself by :func:`require_sides`; an organ that stands alone can only be compared with the
    middle of the EXTERNAL, and a head that is turned or a patient off centre moves that: so this warns.
    """
    external = next((s for s in structures if s.kind == "external" and not s.is_empty), None)
    if external is None:
        return ()
    middle_mm = _centre_x_mm(external)
    findings = []
    for structure in structures:
        side = (structure.standard_name or "")[-2:]
        if structure.is_empty or side not in ("_L", "_R"):
            continue
        to_the_left_mm = _centre_x_mm(structure) - middle_mm
        if (to_the_left_mm if side == "_R" else -to_the_left_mm) > _CLEARLY_MM:
            where = "left" if to_the_left_mm > 0 else "right"
            findings.append(
                Finding(
                    "side-doubtful",
                    "warning",
                    f"{structure.name!r} lies {abs(to_the_left_mm):.0f} mm to the patient's {where} of the middle of "
                    "the body. Is its name right?",
                    {"roi": structure.name},
                )
            )
    return tuple(findings)


def _centre_x_mm(structure: Structure) -> float:
    loops = [loop for plane in structure.planes for loop in plane.loops]
    return float(np.average([loop[:, 0].mean() for loop in loops], weights=[loop_area_mm2(loop) for loop in loops]))
