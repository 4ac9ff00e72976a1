"""The objectives table as a plain form: every row with its numbers and a box to keep it, and one line for a new row.

Numbers stand in the form as they are stored, digit by digit, so that what nobody touched comes back unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from bridge.rt.errors import Refusal
from objective_extraction.edit import ChangedRow, NewRow

__all__ = ["EDITABLE", "rows_of_form"]

EDITABLE = ("dose_gy", "volume_percent", "a", "priority")
"""Numbers of a row that can be edited, where it has them."""

_MOST_ROWS = 1000


def rows_of_form(form: Mapping[str, str]) -> list[ChangedRow | NewRow]:
    """Read the rows that are to be there.

    Parameters
    ----------
    form
        ``rows`` is the number of rows; ``keep-N`` is there for each that stays; ``dose_gy-N`` and so on are its
        numbers; ``new-roi_name`` is empty where there is no new row.

    Raises
    ------
    Refusal
        A number is none (``number-invalid``), or a field is missing (``form-invalid``).
    """
    count = form.get("rows", "")
    if not count.isdecimal() or int(count) > _MOST_ROWS:
        raise Refusal("form-invalid", "The form does not say how many rows it has.")
    rows: list[ChangedRow | NewRow] = [
        ChangedRow(place, **{name: _number(form[f"{name}-{place}"]) for name in EDITABLE if f"{name}-{place}" in form})
        for place in range(int(count))
        if f"keep-{place}" in form
    ]
    if form.get("new-roi_name"):
        rows.append(_new(form))
    return rows


def _new(form: Mapping[str, str]) -> NewRow:
    kind, operator = form.get("new-kind"), form.get("new-operator")
    optional = {name: _number(form[f"new-{name}"]) for name in ("volume_percent", "a") if form.get(f"new-{name}")}
    if kind not in ("point", "mean", "geud") or operator not in ("upper", "lower"):
        raise Refusal("form-invalid", "The new row says neither what it asks for nor in which direction.")
    return NewRow(
        kind=kind,  # type: ignore[arg-type]
        roi_name=form["new-roi_name"],
        priority=_number(form.get("new-priority", "")),
        dose_gy=_number(form.get("new-dose_gy", "")),
        operator=operator,  # type: ignore[arg-type]
        **optional,
    )


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refusal("number-invalid", f"{text[:20]!r} is not a number; write decimals with a point.")
    return number
