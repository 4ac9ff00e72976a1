"""Numbers as a person writes them; what nobody writes on purpose is refused and not read as something else."""

from __future__ import annotations

import pytest

from bridge.rt.errors import Refusal
from bridge.web.objective_form import rows_of_form, shown_number
from objective_extraction.edit import ChangedRow
from tests.objective_extraction.cases import objective_set

ONE_ROW = {"rows": "1", "keep-0": "1"}


@pytest.mark.parametrize(
    ("text", "number"),
    [("45", 45.0), (" 45.5 ", 45.5), (".5", 0.5), ("5.", 5.0), ("+3", 3.0), ("-3", -3.0), ("1e2", 100.0)],
)
def test_a_number_is_read_as_it_is_written(text: str, number: float) -> None:
    assert rows_of_form({**ONE_ROW, "priority-0": text}, None) == [ChangedRow(0, priority=number)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "45,5",
        "5_0",
        "\N{ARABIC-INDIC DIGIT FOUR}5",
        "nan",
        "inf",
        "1e999",
        "0x10",
        "4 5",
        "45 Gy",
        "1" * 400,
        "45\x00",
    ],
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        rows_of_form({**ONE_ROW, "dose_gy-0": text}, None)
    assert refused.value.code == "number-invalid"


@pytest.mark.parametrize("rows", ["", "-1", "1.0", "1001", "9" * 5000, "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_form_says_how_many_rows_it_has(rows: str) -> None:
    with pytest.raises(Refusal) as refused:
        rows_of_form({"rows": rows}, None)
    assert refused.value.code == "form-invalid"


def test_what_is_no_number_is_refused_with_its_row_and_field() -> None:
    seen = objective_set()
    with pytest.raises(Refusal) as refused:
        rows_of_form({"rows": "3", "keep-2": "1", "dose_gy-2": "sixty"}, seen)
    assert refused.value.message.startswith("'sixty' is not a number: dose of row 3, Parotid_L mean (")
    new = {"new-roi_name": "Cord", "new-kind": "mean", "new-operator": "upper", "new-dose_gy": "4"}
    with pytest.raises(Refusal, match="priority of the new row"):
        rows_of_form({"rows": "0", **new}, seen)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("dose_gy", 59.534340855, "59.53"), ("dose_gy", 60.0, "60.00"), ("priority", 250 / 3, "83.3333"), ("a", 8.0, "8")],
)
def test_a_number_is_shown_with_what_a_planning_system_takes(name: str, value: float, shown: str) -> None:
    assert shown_number(name, value) == shown
