"""The second pass: ask more firmly for what an optimized plan missed, once and within bounds.

A quadratic penalty comes to rest where objectives that pull against each other balance, so that each is missed a
little. Moving what is asked by what was missed is one step of the method of multipliers (Hestenes, J Optim Theory Appl
4:303, 1969; Powell, in Fletcher, Optimization, 283, 1969), which ends where they are met, if they can be. What came out
better than asked stays as it is: an objective that is met has no part in the balance, and allowing more dose than the
prediction has would help nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bridge.rt.dvh import Dvh
from bridge.rt.errors import Refusal
from bridge.rt.findings import Finding
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import MeanObjective, Objective, PointObjective
from objective_extraction.slack import reached_gy

__all__ = ["second_pass"]

_CODE = "second-pass"

_LEAST_MISS_GY = 0.1
"""Less is what two samplings of one dose differ by."""


def second_pass(objectives: ObjectiveSet, dvhs: Mapping[str, Dvh], *, largest_change_percent: float) -> ObjectiveSet:
    """Move every objective that a plan missed by what it missed.

    Parameters
    ----------
    objectives
        What the plan was asked for.
    dvhs
        By structure name, derived structures too: the DVHs of the plan's dose, by the policy of the objectives. A
        structure without one keeps its objectives.
    largest_change_percent
        The most that the dose of an objective is moved, in percent of it.

    Returns
    -------
    ObjectiveSet
        Another set with a hash of its own, so with an approval of its own.

    Raises
    ------
    Refusal
        It is a second pass already (``second-pass-twice``).
    """
    if any(finding.code == _CODE for finding in objectives.findings):
        raise Refusal(
            "second-pass-twice",
            "These objectives were moved towards a plan already; extract from the dose again to start over.",
        )
    moved = tuple(
        _moved(objective, dvhs[objective.roi_name], largest_change_percent) if objective.roi_name in dvhs else objective
        for objective in objectives.objectives
    )
    changed = sum(one is not other for one, other in zip(moved, objectives.objectives, strict=True))
    message = (
        f"{changed} of {len(moved)} objectives were missed by the plan and are asked for by as much more, "
        f"{largest_change_percent:g} % at the most."
    )
    finding = Finding(_CODE, "info", message)
    return replace(objectives, objectives=moved, findings=(*objectives.findings, finding))


def _moved(objective: Objective, dvh: Dvh, largest_change_percent: float) -> Objective:
    if not isinstance(objective, PointObjective | MeanObjective):
        return objective
    lower = isinstance(objective, PointObjective) and objective.operator == "lower"
    missed_gy = (-1.0 if lower else 1.0) * (reached_gy(objective, dvh) - objective.dose_gy)
    if missed_gy < _LEAST_MISS_GY:
        return objective
    change_gy = min(missed_gy, largest_change_percent / 100.0 * objective.dose_gy)
    dose_gy = round(objective.dose_gy + (change_gy if lower else -change_gy), 2)
    sentence = (
        f"{objective.origin.sentence} The plan missed {objective.dose_gy:.2f} Gy by {missed_gy:.2f} Gy; asked for "
        f"{dose_gy:.2f} Gy."
    )
    return replace(objective, dose_gy=dose_gy, origin=replace(objective.origin, sentence=sentence))
