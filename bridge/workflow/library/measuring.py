"""What is measured of a plan: dose parameters, goals and curves, from one set of DVHs by the project's policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bridge.rt.arrays import FloatArray
from bridge.rt.dvh import Dvh
from bridge.rt.metrics import hi_icru83
from bridge.rt.volume import Dose
from bridge.workflow.library.case import PlanningCase
from bridge.workflow.library.goals import Goal
from models.library.manifest import Flag
from models.library.measures import OrganMeasures, PlanMeasures, TargetMeasures
from models.library.plan_file import VOLUMES_PERCENT
from objective_extraction.near_maximum import near_maximum

__all__ = ["curve_names", "curves_of", "flags_of", "measures_of"]

_CC = 0.1
_COLD, _HOT = 0.95, 1.15
"""Parts of the prescription: D95% of a target below the first, or a voxel above the second of the highest, is no plan
that a clinic would take; it stays in the library with a flag."""

_DECIMALS = 3


def measures_of(case: PlanningCase, goals: Sequence[Goal], dvhs: Mapping[str, Dvh], dose: Dose) -> PlanMeasures:
    """Measure a plan.

    Parameters
    ----------
    case, goals
        Whose plan, and what it was to reach.
    dvhs
        By name: of targets, organs, and organs outside the targets.
    dose
        That the DVHs are of.
    """
    targets = {}
    for level in case.prescription.levels:
        dvh = dvhs[level.roi_name]
        d99, d98, d95, d50, d2 = (_rounded(dvh.dose_at_percent(volume)) for volume in (99, 98, 95, 50, 2))
        targets[level.roi_name] = TargetMeasures(
            prescribed_gy=level.dose_gy, mean_gy=_rounded(dvh.mean_gy), d99_gy=d99, d98_gy=d98, d95_gy=d95, d50_gy=d50,
            d2_gy=d2, near_maximum_gy=_rounded(near_maximum(dvh).dose_gy), hi_icru83=round(hi_icru83(dvh), 5),
        )  # fmt: skip
    organs = {}
    for organ in case.organs:
        dvh, outside = dvhs[organ.name], case.outside.get(organ.name)
        organs[organ.name] = OrganMeasures(
            mean_gy=_rounded(dvh.mean_gy),
            d01cc_gy=_rounded(dvh.dose_at_cc(_CC)),
            near_maximum_gy=_rounded(near_maximum(dvh).dose_gy),
            outside_gy=None if outside is None else _rounded(dvhs[outside.name].mean_gy),
        )
    outcomes = tuple(goal.outcome(dvhs[goal.roi_name]) for goal in goals)
    return PlanMeasures(targets=targets, organs=organs, goals=outcomes, hottest_gy=_rounded(dose.maximum_gy))


def curve_names(case: PlanningCase) -> tuple[str, ...]:
    """Name the structures whose curves are kept: targets, organs, and organs outside the targets."""
    return (
        *(level.roi_name for level in case.prescription.levels),
        *(organ.name for organ in case.organs),
        *(outside.name for outside in case.outside.values()),
    )


def curves_of(case: PlanningCase, dvhs: Mapping[str, Dvh]) -> FloatArray:
    """Give D(v) in Gy at 1 to 99 %, shape ``(structures, 99)``."""
    return np.stack([dvhs[name].curve(VOLUMES_PERCENT) for name in curve_names(case)])


def flags_of(measures: PlanMeasures, *, dominated: bool) -> tuple[Flag, ...]:
    """Say what is wrong with a plan, beside goals that it misses."""
    highest_gy = max(target.prescribed_gy for target in measures.targets.values())
    flags: list[Flag] = []
    if dominated:
        flags.append("dominated")
    if any(target.d95_gy < _COLD * target.prescribed_gy for target in measures.targets.values()):
        flags.append("cold")
    if measures.hottest_gy > _HOT * highest_gy:
        flags.append("hot")
    return tuple(flags)


def _rounded(value: float) -> float:
    return round(value, _DECIMALS)
