"""Laterality: a left organ lies on the patient's left, or the names are swapped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bridge.rt.errors import StructureRefusal
from bridge.rt.structure import Structure, loop_area_mm2

__all__ = ["require_sides"]


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


def _centre_x_mm(structure: Structure) -> float:
    loops = [loop for plane in structure.planes for loop in plane.loops]
    return float(np.average([loop[:, 0].mean() for loop in loops], weights=[loop_area_mm2(loop) for loop in loops]))
