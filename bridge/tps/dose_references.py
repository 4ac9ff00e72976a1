"""From objectives to the dose references of an RTPLAN: an archive of the constraints, not a way to steer a system."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.rt.dose_reference import DoseReference
from bridge.rt.prescription import TargetLevel
from bridge.rt.short_ids import short_id
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import Objective, PointObjective

__all__ = ["DoseReferences", "dose_references"]

_SAME_DOSE_GY = 0.005


@dataclass(frozen=True)
class DoseReferences:
    """What an RTPLAN can carry of an objective set.

    Attributes
    ----------
    references
        The prescription of every target first, then one for every objective that has a place.
    left_out
        Objectives that have none: means, gEUDs and lines, upper points of a target above 0 % (there is a Target
        Maximum Dose, but no part that may exceed it), and those of structures that no structure set holds.
    """

    references: tuple[DoseReference, ...]
    left_out: tuple[Objective, ...]


def dose_references(objectives: ObjectiveSet) -> DoseReferences:
    """Map objectives to dose references (PS3.3 C.8.8.10).

    A target's lower point at its prescription becomes the part that may get less, (300A,0028), which the standard
    counts from the prescription dose; at 100 % it is a minimum dose, and its upper point at 0 % a maximum. An organ's
    upper point at 0 % becomes a limit for any part, and one at v % a maximum dose that at most v % may exceed.
    """
    levels = {level.roi_number: level for level in objectives.prescription.levels}
    references = [
        DoseReference(
            level.roi_number, f"{short_id(level.roi_name, 40)} prescription", True, target_prescription_gy=level.dose_gy
        )
        for level in objectives.prescription.levels
    ]
    left_out: list[Objective] = []
    for objective in objectives.objectives:
        level = None if objective.roi_number is None else levels.get(objective.roi_number)
        reference = _reference(objective, level)
        if reference is None:
            left_out.append(objective)
        else:
            references.append(reference)
    return DoseReferences(tuple(references), tuple(left_out))


def _reference(objective: Objective, level: TargetLevel | None) -> DoseReference | None:
    if not isinstance(objective, PointObjective) or objective.roi_number is None:
        return None
    dose, volume, weight = objective.dose_gy, objective.volume_percent, objective.priority
    text = f"{short_id(objective.roi_name, 32)} {objective.operator} {dose:g} Gy at {volume:g} %"
    number = objective.roi_number
    if level is not None:
        if objective.operator == "lower" and volume == 100:
            return DoseReference(number, text, True, weight, target_minimum_gy=dose)
        if objective.operator == "lower" and abs(dose - level.dose_gy) < _SAME_DOSE_GY:
            underdose = 100.0 - volume
            return DoseReference(
                number, text, True, weight, target_prescription_gy=dose, target_underdose_percent=underdose
            )
        if objective.operator == "upper" and volume == 0:
            return DoseReference(number, text, True, weight, target_maximum_gy=dose)
        return None
    if objective.operator == "lower":
        return None
    if volume == 0:
        return DoseReference(number, text, False, weight, organ_limit_gy=dose)
    return DoseReference(number, text, False, weight, organ_maximum_gy=dose, organ_overdose_percent=volume)
