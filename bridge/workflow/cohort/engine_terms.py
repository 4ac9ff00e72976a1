"""An objective set as the dose engine takes it: objectives by structure number, and the structures that they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bridge.rt.derive import ring, subtract
from bridge.rt.errors import Refusal
from bridge.rt.structure import Structure
from esapi_stub.engine.objectives import AUTOMATIC_NORMAL_TISSUE
from esapi_stub.planning import (
    GeudObjective,
    MeanObjective,
    NormalTissueObjective,
    PlannedObjective,
    PointObjective,
)
from objective_extraction import objectives as asked
from objective_extraction.objective_set import DerivedStructure, ObjectiveSet

__all__ = ["engine_fall_off", "engine_objectives", "shaped"]


def shaped(recipe: DerivedStructure, named: Callable[[str], Structure], number: int) -> Structure:
    """Make a derived structure; it is of kind ``other``, so that no beamlet is laid out for it.

    Parameters
    ----------
    recipe
        How.
    named
        Gives the structures that it is made of.
    number
        That it gets.
    """
    if recipe.operation == "subtract":
        cuts = [named(name) for name in recipe.minus]
        made = subtract(named(recipe.of[0]), cuts, margin_mm=recipe.margin_mm or 0.0, number=number, name=recipe.name)
    else:
        made = ring(
            [named(name) for name in recipe.of],
            inner_mm=recipe.inner_mm or 0.0, outer_mm=recipe.outer_mm or 0.0, within=named(recipe.within or ""),
            number=number, name=recipe.name,
        )  # fmt: skip
    return replace(made, kind="other")


def engine_objectives(objectives: ObjectiveSet, derived: Mapping[str, int]) -> tuple[PlannedObjective, ...]:
    """Give the objectives of a set.

    Parameters
    ----------
    objectives
        Without lines.
    derived
        Numbers of the derived structures by name.

    Raises
    ------
    Refusal
        A line objective (``objective-line``): it reaches an optimizer as points.
    """
    return tuple(
        _planned(one, derived[one.roi_name] if one.roi_number is None else one.roi_number)
        for one in objectives.objectives
    )


def engine_fall_off(objectives: ObjectiveSet) -> NormalTissueObjective | None:
    """Give the fall-off of a set, None where it asks for none."""
    fall_off = objectives.normal_tissue
    if fall_off is None:
        return None
    if (
        fall_off.distance_mm is None
        or fall_off.start_dose_percent is None
        or fall_off.end_dose_percent is None
        or fall_off.fall_off_per_mm is None
    ):
        return replace(AUTOMATIC_NORMAL_TISSUE, priority=fall_off.priority)
    return NormalTissueObjective(
        fall_off.priority, False, fall_off.distance_mm, fall_off.start_dose_percent, fall_off.end_dose_percent,
        fall_off.fall_off_per_mm,
    )  # fmt: skip


def _planned(objective: asked.Objective, number: int) -> PlannedObjective:
    match objective:
        case asked.PointObjective():
            return PointObjective(
                number, objective.operator, objective.dose_gy, objective.volume_percent, objective.priority
            )
        case asked.MeanObjective():
            return MeanObjective(number, objective.dose_gy, objective.priority)
        case asked.GeudObjective():
            return GeudObjective(number, objective.operator, objective.dose_gy, objective.a, objective.priority)
        case asked.LineObjective():
            raise Refusal(
                "objective-line", "The dose engine takes a line as points; extract points.", roi=objective.roi_name
            )
