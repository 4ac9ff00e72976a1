"""Whether a plan holds exactly the objectives of a set, as far as a host that rounds what it stores can tell."""

from __future__ import annotations

from typing import Any

from bridge.tps.terms import Term, terms
from esapi_stub.enums import OptimizationObjectiveOperator
from esapi_stub.plan import ExternalPlanSetup
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import GeudObjective, MeanObjective, NormalTissueObjective

__all__ = ["OPERATORS", "holds", "normal_tissue_in"]

OPERATORS = {"upper": OptimizationObjectiveOperator.Upper, "lower": OptimizationObjectiveOperator.Lower}

# The host may round what it stores; less than this is no difference. PlanWriter.cs has the same numbers.
_SAME_DOSE_GY = 0.01
_SAME_NUMBER = 0.05
_SAME_PRIORITY = 0.5
_SAME_FALL_OFF = 0.0005


def holds(objectives: ObjectiveSet, plan: ExternalPlanSetup, per_gray: float) -> bool:
    """Say whether the plan has these objectives, each once, and no others; a set that asks for nothing is not held.

    Parameters
    ----------
    per_gray
        How many of the unit of the plan's doses are 1 Gy.
    """
    asked = [term for objective in objectives.objectives for term in terms(objective)]
    present: list[Any] = list(plan.OptimizationSetup.Objectives)
    for term in asked:
        ids = {term.roi_name, objectives.structure_ids[term.roi_name]}
        same = [one for one in present if one.StructureId in ids and _is_same(one, term, per_gray)]
        if not same:
            return False
        present = [one for one in present if one is not same[0]]
    return bool(asked) and not present and _holds_normal_tissue(objectives.normal_tissue, plan)


def normal_tissue_in(plan: ExternalPlanSetup) -> Any:
    """Give the plan's normal tissue objective, or None; one of priority 0 is switched off."""
    parameters: tuple[Any, ...] = tuple(plan.OptimizationSetup.Parameters)
    return next((one for one in parameters if hasattr(one, "IsAutomatic") and one.Priority > 0), None)


def _is_same(present: Any, term: Term, per_gray: float) -> bool:
    """Compare by what an objective has: the classes of the stub are not those of the host."""
    if abs(present.Priority - term.priority) > _SAME_PRIORITY or not hasattr(present, "Dose"):
        return False
    if abs(present.Dose.Dose / per_gray - term.dose_gy) > _SAME_DOSE_GY:
        return False
    if isinstance(term, MeanObjective):
        return not hasattr(present, "Volume") and not hasattr(present, "ParameterA")
    name, number = ("ParameterA", term.a) if isinstance(term, GeudObjective) else ("Volume", term.volume_percent)
    return (
        hasattr(present, name)
        and bool(present.Operator == OPERATORS[term.operator])
        and abs(getattr(present, name) - number) <= _SAME_NUMBER
    )


def _holds_normal_tissue(asked: NormalTissueObjective | None, plan: ExternalPlanSetup) -> bool:
    """Compare the normal tissue objectives; where none is asked for, the plan's is left as it is."""
    present = normal_tissue_in(plan)
    if asked is None or present is None:
        return asked is None
    if present.IsAutomatic != asked.is_automatic or abs(present.Priority - asked.priority) > _SAME_PRIORITY:
        return False
    return asked.is_automatic or bool(
        abs(present.DistanceFromTargetBorderInMM - (asked.distance_mm or 0.0)) <= _SAME_NUMBER
        and abs(present.StartDosePercentage - (asked.start_dose_percent or 0.0)) <= _SAME_NUMBER
        and abs(present.EndDosePercentage - (asked.end_dose_percent or 0.0)) <= _SAME_NUMBER
        and abs(present.FallOff - (asked.fall_off_per_mm or 0.0)) <= _SAME_FALL_OFF
    )
