"""What became of objectives from stage to stage: as extracted, after a template, as they are now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import GeudObjective, LineObjective, MeanObjective, Objective, PointObjective

__all__ = ["Difference", "asked_in_words", "differences"]


@dataclass(frozen=True)
class Difference:
    """One objective that is not the same at all stages.

    Attributes
    ----------
    asked
        What is asked of which structure, as "SpinalCord upper 0 %".
    numbers
        Dose and priority at each stage; None where it is not there.
    """

    asked: str
    numbers: tuple[str | None, ...]


def differences(stages: Sequence[ObjectiveSet]) -> tuple[Difference, ...]:
    """Compare stages row by row.

    Rows are the same that ask the same of the same structure: direction, volume or exponent. Only their dose and
    priority then differ; a row with another volume is another row.

    Parameters
    ----------
    stages
        From the first to the last.
    """
    tables = [_table(stage) for stage in stages]
    asked = list(dict.fromkeys(key for table in tables for key in table))
    rows = (Difference(key[0], tuple(table.get(key) for table in tables)) for key in asked)
    return tuple(row for row in rows if len(set(row.numbers)) > 1)


def _table(objectives: ObjectiveSet) -> dict[tuple[str, int], str]:
    """Give the numbers of every row; rows that ask for the very same are told apart by their order."""
    count = Counter[str]()
    table = {}
    for objective in objectives.objectives:
        asked = asked_in_words(objective)
        table[asked, count[asked]] = _numbers(objective)
        count[asked] += 1
    return table


def asked_in_words(objective: Objective) -> str:
    """Say what is asked of which structure, without dose and priority."""
    match objective:
        case PointObjective():
            what = f"{objective.operator} {objective.volume_percent:g} %"
        case MeanObjective():
            what = "mean"
        case GeudObjective():
            what = f"{objective.operator} gEUD a={objective.a:g}"
        case LineObjective():
            what = f"{objective.operator} line of {len(objective.curve)} points"
    return f"{objective.roi_name} {what}"


def _numbers(objective: Objective) -> str:
    weight = f"priority {objective.priority:g}"
    return weight if isinstance(objective, LineObjective) else f"{objective.dose_gy:.2f} Gy, {weight}"
