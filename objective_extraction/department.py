"""A department's objective template: what is asked of which structure, whoever the patient is.

A structure is named so that it is found in another patient: an organ by its standard name, a target by the rank of its
level, a derived structure by what it is made of. A dose is fixed in Gy, a part of a target's level, or left to the
prediction: then the template decides that it is asked for and how strongly, and the patient's anatomy decides the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bridge.rt.errors import Refusal
from bridge.rt.findings import Finding
from objective_extraction.differences import asked_in_words
from objective_extraction.edit import MANUAL, with_objectives
from objective_extraction.objective_set import ObjectiveSet
from objective_extraction.objectives import (
    GeudObjective,
    LineObjective,
    MeanObjective,
    Objective,
    Origin,
    PointObjective,
)

__all__ = ["Applied", "CaseStructure", "TemplateRow", "apply_rows", "row_in_words", "rows_of"]

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
_TEMPLATE = "template"
_FINDINGS = ("template-applied", "template-partial", "template-levels")


class TemplateRow(BaseModel):
    """One objective for any patient.

    Attributes
    ----------
    structure
        ``organ:NAME`` by standard name, or by ROI name where it has none; ``target:RANK`` from 1, the highest level;
        ``outside:STRUCTURE`` the part of such a structure outside the targets; ``ring`` around the targets.
    kind, operator, volume_percent, a, priority
        See :mod:`objective_extraction.objectives`.
    dose
        ``predicted``; or ``gy``, or ``percent`` of the level of a target, with a number.
    """

    model_config = _STRICT

    structure: Annotated[str, Field(pattern=r"^(outside:)?(organ:.{1,64}|target:[1-9][0-9]?)$|^ring$", max_length=80)]
    kind: Literal["point", "mean", "geud"]
    operator: Literal["upper", "lower"]
    volume_percent: Annotated[float, Field(ge=0, le=100)] | None
    a: Annotated[float, Field(ge=-100, le=100)] | None
    priority: Annotated[float, Field(gt=0, le=1000)]
    dose: Literal["predicted", "gy", "percent"]
    value: Annotated[float, Field(gt=0, le=200)] | None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.volume_percent is None) is (self.kind == "point") or (self.a is None) is (self.kind == "geud"):
            raise ValueError("a point has a volume, a gEUD an exponent, a mean neither")
        if (self.value is None) is not (self.dose == "predicted"):
            raise ValueError("a dose has a value unless it is predicted")
        if self.dose == "percent" and "target:" not in self.structure:
            raise ValueError("only targets have a level")
        return self

    def asks_as(self, objective: Objective) -> bool:
        """Tell if an objective of the same structure asks for the same."""
        if isinstance(objective, LineObjective) or objective.kind != self.kind:
            return False
        return (
            getattr(objective, "operator", "upper") == self.operator
            and getattr(objective, "volume_percent", None) == self.volume_percent
            and getattr(objective, "a", None) == self.a
        )


@dataclass(frozen=True)
class CaseStructure:
    """A structure of a case that objectives can be for."""

    roi_number: int
    roi_name: str
    standard_name: str | None


@dataclass(frozen=True)
class Applied:
    """A template applied to a case.

    Attributes
    ----------
    objectives
        The whole set.
    left_out
        Rows for which the case has no structure or no prediction, in words.
    """

    objectives: ObjectiveSet
    left_out: tuple[str, ...]


def rows_of(objectives: ObjectiveSet) -> tuple[tuple[TemplateRow, ...], tuple[str, ...]]:
    """Make a template of the objectives of a case.

    What was set by hand is fixed: of a target in percent of its level, of all else in Gy. What was extracted is left to
    the prediction of each patient.

    Returns
    -------
    rows, left_out
        Curves cannot be in a template; those are told in words.
    """
    labels = {name: label for label, name in _labels(objectives, ()).items()}
    levels = _levels(objectives)
    rows, left_out = [], []
    for one in objectives.objectives:
        if isinstance(one, LineObjective):
            left_out.append(asked_in_words(one))
            continue
        is_fixed, level = one.origin.rule == MANUAL, levels.get(one.roi_name)
        rows.append(
            TemplateRow(
                structure=labels[one.roi_name],
                kind=one.kind,
                operator="upper" if isinstance(one, MeanObjective) else one.operator,
                volume_percent=one.volume_percent if isinstance(one, PointObjective) else None,
                a=one.a if isinstance(one, GeudObjective) else None,
                priority=one.priority,
                dose="predicted" if not is_fixed else "gy" if level is None else "percent",
                value=None if not is_fixed else one.dose_gy if level is None else round(100 * one.dose_gy / level, 2),
            )
        )
    return tuple(rows), tuple(left_out)


def apply_rows(
    rows: Sequence[TemplateRow],
    levels_count: int,
    extracted: ObjectiveSet,
    structures: Sequence[CaseStructure],
    title: str,
) -> Applied:
    """Ask a case for what a template asks for, and for nothing else.

    Parameters
    ----------
    levels_count
        How many target levels the case had that the template was made of; with another number a rank is another target.
    extracted
        What was extracted from the case's own prediction.
    structures
        Its structures with contours.
    title
        Name and version of the template, for the origin of every row.

    Raises
    ------
    Refusal
        No row fits (``template-fits-nothing``), or a value is impossible.
    """
    labels = _labels(extracted, structures)
    levels = _levels(extracted)
    numbers: dict[str, CaseStructure | None] = {one.roi_name: one for one in structures}
    objectives: list[Objective] = []
    left_out: list[str] = []
    for row in rows:
        name = labels.get(row.structure)
        of_case = [one for one in extracted.objectives if one.roi_name == name and row.asks_as(one)]
        level = levels.get(name or "")
        if name is None or (row.dose == "predicted" and not of_case) or (row.dose == "percent" and level is None):
            left_out.append(row_in_words(row))
            continue
        objectives.append(_objective(row, name, numbers.get(name), of_case, level, title))
    if not objectives:
        raise Refusal("template-fits-nothing", f"No row of template {title} fits this case.")
    fitted = {one.roi_name for one in objectives}
    unasked = [n for n in dict.fromkeys(one.roi_name for one in extracted.objectives) if n not in fitted]
    findings = [Finding("template-applied", "info", f"{len(objectives)} objectives are of template {title}.")]
    if left_out or unasked:
        findings.append(Finding("template-partial", "warning", _partial(title, left_out, unasked)))
    if levels_count != len(extracted.prescription.levels):
        told = f"Template {title} is for {levels_count} target levels, and this case has "
        told += f"{len(extracted.prescription.levels)}: check what it asks of each target."
        findings.append(Finding("template-levels", "warning", told))
    base = replace(extracted, findings=tuple(f for f in extracted.findings if f.code not in _FINDINGS))
    return Applied(with_objectives(base, tuple(objectives), tuple(findings)), tuple(left_out))


def row_in_words(row: TemplateRow) -> str:
    """Say a row as a planner would."""
    if row.kind == "point":
        what = f"{row.operator} {row.volume_percent:g} %"
    else:
        what = "mean" if row.kind == "mean" else f"{row.operator} gEUD a={row.a:g}"
    if row.value is None:
        dose = "as predicted"
    else:
        dose = f"{row.value:g} Gy" if row.dose == "gy" else f"{row.value:g} % of its level"
    return f"{structure_in_words(row.structure)} {what} ({dose}, priority {row.priority:g})"


def structure_in_words(label: str) -> str:
    """Say which structure a label means."""
    if label == "ring":
        return "ring around the targets"
    kind, _, which = label.partition(":")
    if kind == "outside":
        return f"{structure_in_words(which)} outside the targets"
    return f"target {which}" if kind == "target" else which


def _levels(objectives: ObjectiveSet) -> dict[str, float]:
    """Give the level of every target, and of what is left of one beside the others."""
    levels = {level.roi_name: level.dose_gy for level in objectives.prescription.levels}
    rests = (recipe for recipe in objectives.derived_structures if recipe.operation == "subtract")
    return levels | {recipe.name: levels[recipe.of[0]] for recipe in rests if recipe.of[0] in levels}


def _labels(objectives: ObjectiveSet, structures: Sequence[CaseStructure]) -> dict[str, str]:
    """Give the ROI name of every label that the case has a structure for."""
    levels = sorted(objectives.prescription.levels, key=lambda level: (-level.dose_gy, level.roi_number))
    targets = {level.roi_name: f"target:{rank}" for rank, level in enumerate(levels, 1)}
    organs = {one.roi_name: f"organ:{one.standard_name or one.roi_name}" for one in structures}
    organs |= {one.roi_name: f"organ:{one.standard_name or one.roi_name}" for one in objectives.objectives}
    of_name = {**organs, **targets}
    for recipe in objectives.derived_structures:
        made_of = of_name.get(recipe.of[0], f"organ:{recipe.of[0]}")
        of_name[recipe.name] = "ring" if recipe.operation == "ring" else f"outside:{made_of}"
    labels: dict[str, str] = {}
    for name, label in of_name.items():
        labels.setdefault(label, name)
    return labels


def _objective(
    row: TemplateRow,
    name: str,
    structure: CaseStructure | None,
    of_case: Sequence[Objective],
    level: float | None,
    title: str,
) -> Objective:
    predicted = of_case[0] if of_case else None
    assert not isinstance(predicted, LineObjective)  # noqa: S101 - asks_as says so
    if row.dose == "predicted":
        assert predicted is not None  # noqa: S101 - checked by the caller
        dose_gy, said = predicted.dose_gy, f"as predicted here. {predicted.origin.sentence}"
    else:
        assert row.value is not None  # noqa: S101 - checked when the template was read
        dose_gy = row.value if row.dose == "gy" or level is None else round(row.value / 100 * level, 2)
        of_level = f", {row.value:g} % of {level:g} Gy" if row.dose == "percent" else ""
        was = f" Extracted here: {predicted.dose_gy:.2f} Gy." if predicted else ""
        said = f"{dose_gy:.2f} Gy{of_level}.{was}"
    origin = Origin(
        _TEMPLATE,
        predicted.origin.predicted_gy if predicted else None,
        predicted.origin.margin_percent if predicted and row.dose == "predicted" else 0.0,
        f"Template {title}: {said}",
    )
    if predicted is not None:
        return replace(predicted, dose_gy=dose_gy, priority=row.priority, origin=origin)
    common = {
        "roi_number": structure.roi_number if structure else None,
        "roi_name": name,
        "standard_name": structure.standard_name if structure else None,
        "priority": row.priority,
        "origin": origin,
        "dose_gy": dose_gy,
    }
    if row.kind == "mean":
        return MeanObjective(**common)  # type: ignore[arg-type]
    if row.kind == "geud":
        return GeudObjective(operator=row.operator, a=row.a, **common)  # type: ignore[arg-type]
    return PointObjective(operator=row.operator, volume_percent=row.volume_percent, **common)  # type: ignore[arg-type]


def _partial(title: str, left_out: Sequence[str], unasked: Sequence[str]) -> str:
    parts = []
    if left_out:
        parts.append(f"does not fit this case in {len(left_out)} rows: {'; '.join(left_out)}")
    if unasked:
        parts.append(f"asks nothing of {', '.join(unasked)}, of which something was extracted")
    return f"Template {title} {', and '.join(parts)}."
