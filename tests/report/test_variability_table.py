"""The table of two methods against numbers that can be read off it."""

from __future__ import annotations

import csv

from bridge.report.case_tables import NOTHING
from bridge.report.variability_table import variability_conditions, variability_csv, variability_table
from objective_extraction.variability.comparison import Comparison, OrganComparison, PairedTest
from objective_extraction.variability.deviation import Conditions

FDP = Conditions("fdp 1", "prediction", "engine 2", "none", "template", "half_slice", "prism")
KBP = Conditions("kbp 3", "band_middle", "engine 2", "none", "template", "half_slice", "prism")


def paired(first_gy: float, second_gy: float, p_corrected: float) -> PairedTest:
    return PairedTest(first_gy, second_gy, (0.0, 0.0), p_corrected / 2, p_corrected, 0, 0)


COMPARISON = Comparison(
    FDP,
    KBP,
    (
        OrganComparison("SpinalCord", 20, mean=paired(1.691, 3.25, 0.0004), std=paired(1.18, 3.02, 0.012)),
        OrganComparison("Larynx", 18, mean=paired(6.29, 2.94, 0.2), std=paired(1.78, 3.49, 1.0)),
        OrganComparison("Trachea", 20, mean=paired(2.0, 2.0, 1.0), std=paired(1.0, 2.0, 0.001)),
    ),
    seed=1,
)


def test_every_organ_has_std_and_mean_of_the_baseline_first() -> None:
    found = variability_table(COMPARISON, "FDP", "KBP")
    assert [(column.text, column.unit) for column in found.columns] == [
        ("Organ", ""), ("n", ""), ("KBP std", "Gy"), ("FDP std", "Gy"), ("p of std", ""), ("KBP mean", "Gy"),
        ("FDP mean", "Gy"), ("p of mean", ""),
    ]  # fmt: skip
    assert [row.cells for row in found.rows[:2]] == [
        ("SpinalCord", "20", "3.02", "1.18", "0.012", "3.25", "1.69", "< 0.001"),
        ("Larynx", "18", "3.49", "1.78", "1.000", "2.94", "6.29", "0.200"),
    ]


def test_the_last_row_counts_who_is_lower_and_a_draw_for_none() -> None:
    found = variability_table(COMPARISON, "FDP", "KBP")
    assert found.rows[-1].cells == ("Better count", NOTHING, "0", "3", NOTHING, "1", "1", NOTHING)
    assert all(len(row.cells) == len(found.columns) for row in found.rows)


def test_what_the_figures_depend_on_stands_beside_them() -> None:
    found = dict(variability_conditions(COMPARISON))
    assert found["First"] == "fdp 1, prediction"
    assert found["Baseline"] == "kbp 3, band middle"
    assert found["Asked for beside the organs"] == "template"
    assert found["DVHs"] == "end caps half slice, prism between planes"
    assert found["Tests"].endswith("over 6 tests")


def test_as_csv_every_number_is_there_as_it_is() -> None:
    rows = list(csv.DictReader(variability_csv(COMPARISON).splitlines()))
    assert [(row["organ"], row["column"]) for row in rows[:2]] == [("SpinalCord", "std"), ("SpinalCord", "mean")]
    assert len(rows) == 6
    assert (float(rows[1]["first_gy"]), float(rows[1]["second_gy"]), float(rows[1]["p_corrected"])) == (
        1.691, 3.25, 0.0004,
    )  # fmt: skip
    assert (rows[3]["n"], float(rows[3]["difference_low_gy"]), float(rows[3]["p"])) == ("18", 0.0, 0.1)
