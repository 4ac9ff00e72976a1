"""What a study says, against results that were made by hand."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from bridge.report.cohort_tables import quality_table
from bridge.workflow.cohort.analysis import compared
from bridge.workflow.cohort.numbers import cohort_csvs, cohort_json
from bridge.workflow.cohort.patient_summary import patient_report_data
from bridge.workflow.cohort.quality import quality_rows, scorecard, slack_rows
from bridge.workflow.cohort.result import MethodResult
from bridge.workflow.cohort.study import BASELINE
from bridge.workflow.cohort.summary import cohort_report_data
from models.library.measures import GoalOutcome
from tests.workflow.cohort.made import ORGANS, STUDY, patient, run, uncompared

MEAN_OFF = 1.0 + np.mean([number / 10 for number in range(1, 9)])
"""Of the model over eight patients."""


def test_the_headline_is_the_first_preference_against_the_middle_of_the_band() -> None:
    headline = cohort_report_data(run(), "cohort").headline
    assert headline.comparison is not None
    assert headline.title.endswith("whole organs: Model (balanced) against Baseline, middle of the band")
    assert [organ.organ for organ in headline.comparison.organs] == list(ORGANS)
    for organ in headline.comparison.organs:
        assert (organ.mean.first_gy, organ.mean.second_gy) == pytest.approx((MEAN_OFF, MEAN_OFF + 1.0), abs=1e-6)
        assert organ.std.first_gy == pytest.approx(0.0, abs=1e-6)
        assert (organ.mean.patient_wins, organ.mean.p) == (8, pytest.approx(2 / 2**8))
    assert headline.comparison.first.normalisation == "none"
    assert headline.comparison.first.end_caps == "half_slice"
    assert headline.comparison.first.optimizer.startswith("engine 1; 9 equispaced beams, beamlets of 7 mm")


def test_the_line_is_compared_too_and_is_three_gray_farther() -> None:
    others = cohort_report_data(run(), "cohort").comparisons[1:]
    line = next(one.comparison for one in others if "line objective" in one.title and "whole organs" in one.title)
    assert line is not None
    assert line.organs[0].mean.second_gy == pytest.approx(MEAN_OFF + 4.0, abs=1e-6)
    assert any("Model (spare)" in one.title for one in others)


def test_patients_of_whom_one_method_says_nothing_are_counted_and_not_compared() -> None:
    results = (*(patient(number) for number in range(1, 4)), patient(4, without=("Parotid_L",)))
    found = compared(results, STUDY, "balanced", "band_middle", "organ", 1)
    assert found.left_out == {"Parotid_L": {"no estimate": 1}}
    assert found.comparison is not None
    assert [(organ.organ, organ.n) for organ in found.comparison.organs] == [("SpinalCord", 4), ("Parotid_L", 3)]
    alone = compared(results[2:], STUDY, "balanced", "band_middle", "organ", 1)
    assert alone.too_few == {"Parotid_L": 1}


def test_patients_with_curves_of_different_parts_are_told_from_those_without_an_estimate() -> None:
    results = (*run(3).results, patient(4, without=("SpinalCord",)), uncompared(patient(5)))
    found = compared(results, STUDY, "balanced", "band_middle", "organ", 1)
    assert found.left_out == {"SpinalCord": {"no estimate": 1, "curve of another part": 1}}
    data = cohort_report_data(replace(run(3), results=results), "cohort")
    content = json.loads(cohort_json(data, STUDY))["comparisons"][0]
    assert content["patients_left_out"] == {"SpinalCord": 2}
    assert content["patients_left_out_why"] == found.left_out


def test_one_patient_gives_no_comparison_and_no_error() -> None:
    data = cohort_report_data(run(1), "cohort")
    assert data.headline.comparison is None
    assert data.headline.too_few == dict.fromkeys(ORGANS, 1)
    assert data.organs == ()
    assert all(row.test is None for row in data.quality)


def test_one_patient_has_no_standard_deviation() -> None:
    data = cohort_report_data(run(1), "cohort")
    assert all(set(row.sds.values()) == {None} for row in data.quality)
    cells = quality_table(data).rows[0].cells
    assert cells[3:7] == ("100.0", "0.0", "0.0", "100.0")
    (row, *_) = csv.DictReader(cohort_csvs(data, run(1).results)["quality.csv"].splitlines())
    assert (row["balanced_mean"], row["balanced_sd"]) == ("100.0", "")
    assert json.loads(cohort_json(data, STUDY))["quality"][0]["sds"]["balanced"] is None
    two = cohort_report_data(run(2), "cohort")
    assert quality_table(two).rows[0].cells[3] == "100.0 (0.0)"


def test_quality_is_that_of_the_plans_and_turned_the_right_way() -> None:
    rows = {row.name: row for row in quality_rows(run().results, "balanced", 1)}
    hard = rows["Hard goals met"]
    assert (hard.means["balanced"], hard.means[BASELINE], hard.means["reference"]) == (100.0, 0.0, 100.0)
    assert hard.test is not None
    assert (hard.test.first_gy, hard.test.second_gy, hard.test.patient_wins) == (100.0, 0.0, 8)
    assert hard.test.difference_interval_gy == (100.0, 100.0)
    assert not hard.is_worse
    organs = rows["Mean dose of the organs, mean"]
    assert organs.test is not None
    assert organs.test.first_gy - organs.test.second_gy == pytest.approx(-2.0)
    assert rows["D95% short of prescription, worst target"].means == {
        "balanced": 0.0, "spare": 0.5, BASELINE: 1.0, "reference": 0.0,
    }  # fmt: skip
    assert rows["Mean dose of Parotid_L"].means["spare"] == pytest.approx(22.0)
    tests = [row.test for row in rows.values() if row.test is not None]
    assert min(test.p_corrected for test in tests) == pytest.approx(min(1.0, len(tests) * 2 / 2**8))


def test_a_method_that_wins_with_worse_plans_is_found_out() -> None:
    """The model keeps its promise better and gives the organs 4 Gy more."""
    data = cohort_report_data(run(organ_gy=(31.0, 27.0)), "cohort")
    assert data.headline.comparison is not None
    assert data.headline.comparison.wins_mean == 2
    worse = {row.name for row in data.quality if row.is_worse}
    assert worse == {
        "Goals missed by, mean", "Mean dose of the organs, mean", *(f"Mean dose of {organ}" for organ in ORGANS)
    }  # fmt: skip


def test_a_measure_that_one_plan_lacks_counts_in_no_plan_of_the_patient() -> None:
    results = list(run(3).results)
    plan = results[0].methods[0].planned.model_copy(update={"conformity": None})
    without = results[0].methods[0].model_copy(update={"planned": plan})
    results[0] = results[0].model_copy(update={"methods": (without, *results[0].methods[1:])})
    rows = {row.name: row for row in quality_rows(results, "balanced", 1)}
    assert rows["CN (van 't Riet), highest target"].n == 2
    assert rows["Hard goals met"].n == 3


def test_the_scorecard_counts_plans_by_goal() -> None:
    found = scorecard(run(3).results)
    assert found["PTV70 D95% >= 70.00 Gy"] == {
        "balanced": (3, 3), "spare": (0, 3), BASELINE: (0, 3), "reference": (3, 3)
    }  # fmt: skip
    assert found["Parotid_L mean <= 26.00 Gy (wish)"]["spare"] == (3, 3)


def test_a_near_maximum_is_named_by_what_is_measured_wherever_a_study_shows_it() -> None:
    """Stored results say D0%, and keep it: their names must not change."""
    stored = GoalOutcome(roi="PTV70", what="D0% <= 74.90 Gy", hard=True, reached_gy=75.0, excess_gy=0.1)
    result = patient(1)
    measures = result.reference.measures.model_copy(update={"goals": (stored,)})
    result = result.model_copy(update={"reference": result.reference.model_copy(update={"measures": measures})})
    assert scorecard([result])["PTV70 D0.03cc <= 74.90 Gy"] == {"reference": (0, 1)}
    assert "PTV70 D0.03cc <= 74.90 Gy" in dict(patient_report_data(result, STUDY, "cohort", "").goals)
    rows = csv.DictReader(cohort_csvs(cohort_report_data(run(3), "cohort"), [result])["goals.csv"].splitlines())
    assert [row["what"] for row in rows if row["plan"] == "reference"] == ["D0.03cc <= 74.90 Gy"]


def test_slack_is_counted_by_kind_and_on_the_side_that_was_asked_for() -> None:
    rows = {(row.method, row.kind): row for row in slack_rows(run(4).results)}
    points = rows["balanced", "organs, points"]
    assert points.n == 8
    assert points.missed_percent == 100.0
    assert (points.mean_gy, points.mean_missed_gy, points.worst_gy) == pytest.approx((1.25, 1.25, 1.4))
    lower = rows["balanced", "targets, lower"]
    assert (lower.mean_gy, lower.mean_missed_gy) == pytest.approx((-1.0, 1.0))


def test_preferences_show_what_was_promised_and_what_came_of_it() -> None:
    balanced, spare = cohort_report_data(run(), "cohort").preferences
    assert (balanced.method, balanced.organs_gy, balanced.hi) == ("balanced", (24.0, 25.0), (0.05, 0.08))
    assert (spare.organs_gy, spare.d95_gy) == ((20.0, 22.0), (69.0, 69.5))


def test_a_patient_without_organs_is_in_no_mean_of_organs() -> None:
    """He has no organ at 0 Gy; his homogeneity counts."""
    whole = run(3)
    first, *others = whole.results
    bare = first.model_copy(update={"methods": tuple(_without_organs(method) for method in first.methods)})
    balanced, _ = cohort_report_data(replace(whole, results=(bare, *others)), "cohort").preferences
    assert (balanced.organs_gy, balanced.hi) == ((24.0, 25.0), pytest.approx((0.05, 0.08)))
    balanced, _ = cohort_report_data(replace(whole, results=(bare, bare)), "cohort").preferences
    assert balanced.organs_gy == (None, None)


def _without_organs(method: MethodResult) -> MethodResult:
    found = {}
    for name in ("promised", "planned"):
        quality = getattr(method, name)
        if quality is not None:
            bare = quality.measures.model_copy(update={"organs": {}})
            found[name] = quality.model_copy(update={"measures": bare})
    return method.model_copy(update=found)


def test_the_worst_case_comes_first_with_its_page() -> None:
    worst = cohort_report_data(run(), "cohort").worst
    assert (worst[0].patient, worst[0].method, worst[0].link) == ("pt_8", "Baseline", "patients/pt_8.html")
    assert worst[0].abs_mean_gy == pytest.approx(2.8, abs=1e-6)
    assert [one.abs_mean_gy for one in worst] == sorted((one.abs_mean_gy for one in worst), reverse=True)


def test_the_differences_for_the_figures_are_achieved_less_predicted() -> None:
    organ = cohort_report_data(run(3), "cohort").organs[0]
    assert organ.first_gy.shape == (3, 99)
    np.testing.assert_allclose(organ.first_gy, np.array([[1.1], [1.2], [1.3]]) * np.ones(99), atol=1e-9)


def test_the_methods_section_is_made_of_the_settings() -> None:
    said = dict(cohort_report_data(replace(run(), study=STUDY.model_copy(update={"beams": 7})), "cohort").settings)
    assert "7 equispaced beams" in said["Optimizer"]
    assert said["Model, spare"] == "fdp 1.0.0 (aaaaaaaaaaaa), spare: oar_weight 1.25"
    assert "upper points at 0, 50 %" in said["Objectives"]
    assert "5000 bootstrap resamples" in said["Statistics"]


def test_csv_and_json_hold_what_the_report_says() -> None:
    data = cohort_report_data(run(3), "cohort")
    files = cohort_csvs(data, run(3).results)
    rows = list(csv.DictReader(files["deviations.csv"].splitlines()))
    assert len(rows) == 3 * len(ORGANS) * 4  # two preferences, and two curves of the baseline
    mean = [
        float(row["abs_mean_gy"]) for row in rows if (row["method"], row["structure"]) == ("balanced", "SpinalCord")
    ]
    comparisons = list(csv.DictReader(files["comparisons.csv"].splitlines()))
    assert float(comparisons[1]["first_gy"]) == pytest.approx(np.mean(mean))
    assert {"A", "B", "B2", "C", "D", "E", "F"} == {
        row["definition"] for row in csv.DictReader(files["definitions.csv"].splitlines())
    }
    plans = list(csv.DictReader(files["plans.csv"].splitlines()))
    assert {row["plan"] for row in plans} == {
        "reference", "balanced, predicted", "balanced, achieved", "spare, predicted", "spare, achieved",
        "baseline, achieved",
    }  # fmt: skip
    content = json.loads(cohort_json(data, STUDY))
    assert content["patients"] == 3
    assert content["study_sha256"] == STUDY.sha256
    assert content["comparisons"][0]["comparison"]["organs"][0]["mean"]["first_gy"] == pytest.approx(np.mean(mean))
    assert content["notice"] == "NOT FOR CLINICAL USE"


def test_a_patients_page_has_what_was_asked_predicted_and_achieved() -> None:
    data = patient_report_data(patient(1), STUDY, "cohort", "../report.html")
    assert [panel.name for panel in data.panels] == ["PTV70", *ORGANS]
    target, cord, _ = data.panels
    assert (target.prescribed_gy, target.first.predicted_gy) == (70.0, None)
    assert [(point.operator, point.dose_gy) for point in cord.first.asked] == [("upper", 35.0)]
    assert cord.baseline.band_gy is not None
    assert (cord.baseline.band_gy[0][0], cord.baseline.band_gy[1][0]) == (47.0, 53.0)
    assert cord.first.abs_mean_gy == pytest.approx(1.1, abs=1e-6)
    assert cord.first.achieved_gy[50] - cord.first.predicted_gy[50] == pytest.approx(1.1)  # type: ignore[index]
    goals = dict(data.goals)
    assert goals["PTV70 D95% >= 70.00 Gy"]["Baseline"] == (69.0, False)
