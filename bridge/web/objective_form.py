"""The objectives table as a plain form: every row with its numbers and a box to keep it, and one line for a new row.

Numbers stand in the form as a person reads them. What comes back as it was shown was not touched, and stays as it is
stored, with all its digits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

from bridge.rt.errors import Refusal
from objective_extraction.edit import ChangedRow, NewRow, objective_in_words
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["EDITABLE", "rows_of_form", "shown_number"]

EDITABLE = ("dose_gy", "volume_percent", "a", "priority")
"""Numbers of a row that can be edited, where it has them."""

_NAMES: Mapping[str, str] = MappingProxyType(
    {"dose_gy": "dose", "volume_percent": "volume", "a": "gEUD a", "priority": "priority"}
)
_MOST_ROWS = 1000
_WRITTEN = r"[+-]?([0-9]{1,9}(\.[0-9]{0,17})?|\.[0-9]{1,17})([eE][+-]?[0-9]{1,2})?"


def shown_number(name: str, value: float) -> str:
    """Give a number of a row as the form shows it: hundredths of a Gy, else six digits."""
    return f"{value:.2f}" if name == "dose_gy" else f"{value:.6g}"


def rows_of_form(form: Mapping[str, str], seen: ObjectiveSet | None) -> list[ChangedRow | NewRow]:
    """Read the rows that are to be there.

    Parameters
    ----------
    form
        ``rows`` is the number of rows; ``keep-N`` is there for each that stays; ``dose_gy-N`` and so on are its
        numbers; ``new-roi_name`` is empty where there is no new row.
    seen
        What the form was made of; None where nobody knows, and every number counts as written.

    Raises
    ------
    Refusal
        A number is none (``number-invalid``), or a field is missing (``form-invalid``).
    """
    count = form.get("rows", "")
    if not re.fullmatch("[0-9]{1,4}", count) or int(count) > _MOST_ROWS:
        raise Refusal("form-invalid", "The form does not say how many rows it has.")
    rows: list[ChangedRow | NewRow] = [
        ChangedRow(place, **_numbers(form, place, seen)) for place in range(int(count)) if f"keep-{place}" in form
    ]
    if form.get("new-roi_name"):
        rows.append(_new(form))
    return rows


def _numbers(form: Mapping[str, str], place: int, seen: ObjectiveSet | None) -> dict[str, float]:
    row = f"row {place + 1}"
    if seen is not None and place < len(seen.objectives):
        row = f"{row}, {objective_in_words(seen.objectives[place])}"
    return {name: _number(text, f"{_NAMES[name]} of {row}") for name, text in _touched(form, place, seen).items()}


def _touched(form: Mapping[str, str], place: int, seen: ObjectiveSet | None) -> dict[str, str]:
    """Give the fields of a row that do not hold what was shown."""
    given = {name: form[f"{name}-{place}"].strip() for name in EDITABLE if f"{name}-{place}" in form}
    if seen is None or place >= len(seen.objectives):
        return given
    row = seen.objectives[place]
    return {name: text for name, text in given.items() if text != shown_number(name, getattr(row, name, math.nan))}


def _new(form: Mapping[str, str]) -> NewRow:
    kind, operator = form.get("new-kind"), form.get("new-operator")
    optional = {
        name: _number(form[f"new-{name}"], f"{_NAMES[name]} of the new row")
        for name in ("volume_percent", "a")
        if form.get(f"new-{name}")
    }
    if kind not in ("point", "mean", "geud") or operator not in ("upper", "lower"):
        raise Refusal("form-invalid", "The new row says neither what it asks for nor in which direction.")
    return NewRow(
        kind=kind,  # type: ignore[arg-type]
        roi_name=form["new-roi_name"],
        priority=_number(form.get("new-priority", ""), "priority of the new row"),
        dose_gy=_number(form.get("new-dose_gy", ""), "dose of the new row"),
        operator=operator,  # type: ignore[arg-type]
        **optional,
    )


def _number(text: str, what: str) -> float:
    """Read a number as a person writes it: what Python takes beside that, as 5_0 for 50, is a slip of the hand."""
    given = text.strip()
    number = float(given) if re.fullmatch(_WRITTEN, given) else math.nan
    if not math.isfinite(number):
        raise Refusal("number-invalid", f"{text[:20]!r} is not a number: {what}. Write decimals with a point.")
    return number
