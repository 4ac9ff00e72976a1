"""Objectives changed by a person: checked like extracted ones, each changed row saying so, and told in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Literal

from bridge.rt.errors import Refusal
from bridge.rt.findings import Finding
from objective_extraction.consistency import about_objectives
from objective_extraction.differences import asked_in_words
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import (
    GeudObjective,
    LineObjective,
    MeanObjective,
    Objective,
    Operator,
    Origin,
    PointObjective,
)

__all__ = ["MANUAL", "ChangedRow", "NewRow", "edited", "is_edited", "objective_in_words", "with_objectives"]

_EDITED = "objectives-edited"
MANUAL = "manual"
"""Rule of what a person set; see :class:`objective_extraction.objectives.Origin`."""
_UNUSUAL = "objective-unusual"
_RECOMPUTED = (_EDITED, _UNUSUAL, "points-not-monotone", "objectives-contradict", "target-window-narrow")
"""Findings about the objectives alone; the others are about the dose, which no edit changes."""

_OF_OVERLAP = ("overlap-contradicts", "overlap-cold-target")
"""Findings about two structures that share a volume, which a set of objectives does not know."""

_LEAST_COVERAGE, _MOST_ALLOWED = 0.95, 1.1
"""Of the prescription: what coverage is commonly asked at, and what plans rarely exceed."""


@dataclass(frozen=True)
class ChangedRow:
    """A row that stays, perhaps with other numbers.

    Attributes
    ----------
    source
        Its place in the set before the edit, from 0.
    priority, dose_gy, volume_percent, a
        What it is to be; None leaves it. A curve is not edited: its row can be weighed or left out.
    """

    source: int
    priority: float | None = None
    dose_gy: float | None = None
    volume_percent: float | None = None
    a: float | None = None


@dataclass(frozen=True)
class NewRow:
    """A row that was not there; see the objectives for what each number means.

    Attributes
    ----------
    volume_percent
        Of a point.
    a
        Of a gEUD.
    """

    kind: Literal["point", "mean", "geud"]
    roi_name: str
    priority: float
    dose_gy: float
    operator: Operator = "upper"
    volume_percent: float | None = None
    a: float | None = None


def edited(
    before: ObjectiveSet, rows: Sequence[ChangedRow | NewRow], roi_numbers: Mapping[str, int]
) -> tuple[ObjectiveSet, tuple[str, ...]]:
    """Give the objectives as a person wants them, and what changed in words.

    Parameters
    ----------
    before
        The set that the person saw.
    rows
        Every row that is to be there; one of ``before`` that is not named is left out. Rows keep their order, and new
        ones come last.
    roi_numbers
        Structures of the structure set, for new rows, by ROI name.

    Returns
    -------
    ObjectiveSet, changes
        The same set and no changes where nothing changed.

    Raises
    ------
    Refusal
        A row is named twice or not there (``objective-row``), has no such number (``objective-field``), is of a
        structure that is not there (``roi-unknown``), no row is left (``objectives-none``), or a value is impossible.
    """
    changed = sorted((row for row in rows if isinstance(row, ChangedRow)), key=lambda row: row.source)
    sources = [row.source for row in changed]
    wrong = [s for s, count in Counter(sources).items() if count > 1 or not 0 <= s < len(before.objectives)]
    if wrong:
        raise Refusal("objective-row", f"Row {wrong[0]} is named twice, or is none of {len(before.objectives)}.")
    changes, kept = [], []
    for row in changed:
        old = before.objectives[row.source]
        new = _changed(old, row)
        kept.append(new)
        if new is not old:
            changes.append(f"changed: {objective_in_words(old)} to {_numbers(new)}")
    changes += [
        f"removed: {objective_in_words(old)}" for place, old in enumerate(before.objectives) if place not in sources
    ]
    added = [_added(row, before, roi_numbers) for row in rows if isinstance(row, NewRow)]
    changes += [f"added: {objective_in_words(new)}" for new in added]
    if not changes:
        return before, ()
    objectives = (*kept, *added)
    if not objectives:
        raise Refusal("objectives-none", "No objective is left. Reject the case if nothing of it is to be used.")
    return with_objectives(before, objectives), tuple(changes)


def with_objectives(
    before: ObjectiveSet, objectives: tuple[Objective, ...], findings: tuple[Finding, ...] = ()
) -> ObjectiveSet:
    """Give a set with other objectives, which says that they are no longer what was extracted.

    Parameters
    ----------
    findings
        More of them, about where the objectives come from.
    """
    by_hand = sum(objective.origin.rule == MANUAL for objective in objectives)
    told = (
        f"{by_hand} of {len(objectives)} objectives were set by hand, and rows may be left out. Whether organs and "
        "targets compete for a volume that they share was looked at before that."
    )
    changed = {
        one.roi_name for one in (*before.objectives, *objectives) if (one in before.objectives) != (one in objectives)
    }
    kept = [_as_of_before(finding, changed) for finding in before.findings if finding.code not in _RECOMPUTED]
    unusual = _unusual(before, objectives)
    about = (*kept, *findings, *about_objectives(objectives), *unusual, Finding(_EDITED, "info", told))
    return replace(before, objectives=objectives, findings=about)


def _as_of_before(finding: Finding, changed: Set[str]) -> Finding:
    """Say of a conflict about a shared volume that it is one of objectives that were edited since."""
    if finding.code not in _OF_OVERLAP or changed.isdisjoint(finding.where.values()):
        return finding
    message = f"Before an edit of these objectives: {finding.message} Whether it is still so was not looked at."
    return Finding("overlap-unchecked", "warning", message, finding.where)


def _unusual(before: ObjectiveSet, objectives: Iterable[Objective]) -> Iterator[Finding]:
    """Warn of numbers set by hand that are rarely meant: a target asked for too little, or too much allowed."""
    levels = {level.roi_number: level.dose_gy for level in before.prescription.levels}
    highest_gy = max(levels.values(), default=0.0)
    for objective in objectives:
        if objective.origin.rule != MANUAL or isinstance(objective, LineObjective):
            continue
        level_gy = None if objective.roi_number is None else levels.get(objective.roi_number)
        is_upper = isinstance(objective, MeanObjective) or objective.operator == "upper"
        if level_gy is not None and not is_upper and objective.dose_gy < _LEAST_COVERAGE * level_gy:
            told = (
                f"{objective_in_words(objective)} asks for less than {100 * _LEAST_COVERAGE:g} % of the "
                f"{level_gy:g} Gy that are prescribed to this target. Check that it is meant."
            )
            yield Finding(_UNUSUAL, "warning", told)
        if is_upper and objective.dose_gy > _MOST_ALLOWED * highest_gy:
            told = (
                f"{objective_in_words(objective)} allows more than {100 * _MOST_ALLOWED:g} % of the highest "
                f"prescription, {highest_gy:g} Gy. Check that it is meant."
            )
            yield Finding(_UNUSUAL, "warning", told)


def is_edited(objectives: ObjectiveSet) -> bool:
    """Tell if a person changed these objectives after they were extracted."""
    return any(finding.code == _EDITED for finding in objectives.findings)


def objective_in_words(objective: Objective) -> str:
    """Say an objective as a planner would, with all its numbers."""
    return f"{asked_in_words(objective)} {_numbers(objective)}"


def _numbers(objective: Objective) -> str:
    parts = [] if isinstance(objective, LineObjective) else [f"{objective.dose_gy:.2f} Gy"]
    if isinstance(objective, PointObjective):
        parts.append(f"{objective.volume_percent:g} %")
    if isinstance(objective, GeudObjective):
        parts.append(f"a={objective.a:g}")
    return f"({', '.join([*parts, f'priority {objective.priority:g}'])})"


def _changed(old: Objective, row: ChangedRow) -> Objective:
    """Give the row with its new numbers; the very same one where none is new."""
    wanted = {name: value for name, value in asdict(row).items() if name != "source" and value is not None}
    unknown = [name for name in wanted if not hasattr(old, name)]
    if unknown:
        raise Refusal(
            "objective-field", f"A {old.kind} objective has no {unknown[0]}.", roi=old.roi_name, row=row.source
        )
    new = {name: value for name, value in wanted.items() if value != getattr(old, name)}
    if not new:
        return old
    origin = old.origin
    if origin.rule != MANUAL:
        origin = Origin(MANUAL, origin.predicted_gy, 0.0, f"Set by hand; it was: {origin.sentence}")
    return replace(old, **new, origin=origin)


def _added(row: NewRow, before: ObjectiveSet, roi_numbers: Mapping[str, int]) -> Objective:
    derived = {recipe.name for recipe in before.derived_structures}
    if row.roi_name not in roi_numbers and row.roi_name not in derived:
        raise Refusal("roi-unknown", f"There is no structure {row.roi_name!r} to ask anything of.", roi=row.roi_name)
    expected = {"point": {"volume_percent"}, "mean": set(), "geud": {"a"}}[row.kind]
    given = {name for name in ("volume_percent", "a") if getattr(row, name) is not None}
    if given != expected or (row.kind == "mean" and row.operator != "upper"):
        raise Refusal(
            "objective-field",
            "A point objective has a volume in percent, a gEUD has an exponent a, and a mean is an upper one.",
            roi=row.roi_name,
        )
    number = None if row.roi_name in derived else roi_numbers[row.roi_name]
    standard = next((one.standard_name for one in before.objectives if one.roi_name == row.roi_name), None)
    origin = Origin(MANUAL, None, 0.0, "Added by hand.")
    if row.kind == "mean":
        return MeanObjective(
            roi_number=number, roi_name=row.roi_name, standard_name=standard, priority=row.priority, origin=origin,
            dose_gy=row.dose_gy,
        )  # fmt: skip
    if row.a is not None:
        return GeudObjective(
            roi_number=number, roi_name=row.roi_name, standard_name=standard, priority=row.priority, origin=origin,
            operator=row.operator, dose_gy=row.dose_gy, a=row.a,
        )  # fmt: skip
    assert row.volume_percent is not None  # noqa: S101 - checked above
    return PointObjective(
        roi_number=number, roi_name=row.roi_name, standard_name=standard, priority=row.priority, origin=origin,
        operator=row.operator, dose_gy=row.dose_gy, volume_percent=row.volume_percent,
    )  # fmt: skip
