"""A report with an optimized dose: its curves, what was asked for, and the tables of differences."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from bridge.report.case_data import CaseReportData, Comparison
from bridge.report.case_report import BANNER, COMPARISON_BANNER, render_case_report
from bridge.report.comparison_tables import comparison_tables
from bridge.report.dvh_figure import dvh_figure
from bridge.report.line_style import line_styles
from bridge.rt.dvh_compare import compare_dvhs
from bridge.rt.dvh_compute import compute_dvh
from bridge.rt.errors import StructureRefusal
from bridge.rt.metrics import structure_metrics
from bridge.rt.volume import Dose
from tests.report.synthetic_case import head_and_neck

FACTOR = 1.1


@pytest.fixture(scope="module")
def data() -> CaseReportData:
    """The synthetic case with a dose that is higher by a tenth everywhere."""
    case = head_and_neck()
    dose = Dose(case.dose.values * FACTOR, case.dose.grid)
    dvhs = tuple(compute_dvh(structure, dose) for structure in case.structures)
    levels = {level.roi_number: level.dose_gy for level in case.prescription.levels}
    comparison = Comparison(
        dvhs=dvhs,
        metrics={
            dvh.roi_number: structure_metrics(dvh, levels.get(dvh.roi_number)) for dvh in dvhs if not dvh.is_empty
        },
        differences={
            one.roi_number: compare_dvhs(one, other)
            for one, other in zip(case.dvhs, dvhs, strict=True)
            if not other.is_empty
        },
        maximum_gy=dose.maximum_gy,
        made_by="an engine",
        plan_label="Plan 1",
        dose_uid="2.25.71",
        plan_uid="2.25.72",
    )
    return replace(case, comparison=comparison)


def test_every_structure_has_both_curves_and_only_the_predicted_one_is_read_off(data: CaseReportData) -> None:
    html = render_case_report(data)
    drawn = [dvh.roi_name for dvh in data.dvhs if not dvh.is_empty]
    for name in drawn:
        assert html.count(f"<title>{name}, optimized</title>") == 1
    assert html.count('stroke-dasharray="6 4"') == len(drawn) + 1, "each curve, and the key"
    (source,) = re.findall(r'id="dvh-data">(.*?)</script>', html)
    assert len(re.findall(r'"\d+": \[', source)) == len(drawn)
    assert "2.25.71" in html
    assert "2.25.72" in html


def test_the_banner_names_both_doses_on_screen_and_on_paper(data: CaseReportData) -> None:
    html = render_case_report(data)
    assert COMPARISON_BANNER == "PREDICTED AND OPTIMIZED DOSE - NOT FOR CLINICAL USE"
    assert f'<p class="banner" role="note">{COMPARISON_BANNER}</p>' in html
    assert f'@top-center {{ content: "{COMPARISON_BANNER}"' in html
    assert f" - {COMPARISON_BANNER}</title>" in html
    assert BANNER not in html


def test_without_an_optimized_dose_the_report_says_nothing_of_one() -> None:
    html = render_case_report(head_and_neck())
    assert "optimized" not in html.lower().replace("optimization", "")


def test_the_approvers_report_marks_the_objectives_and_its_plot_has_a_key() -> None:
    case = head_and_neck()
    html = render_case_report(case)
    points = [row for row in case.objectives if row.volume_percent is not None]
    assert html.partition('<g class="asked">')[2].partition("</g>")[0].count("<path") == len(points) > 0
    assert "lower objective" in html.partition('<g class="line-key"')[2].partition("</g>")[0]


def test_the_plot_of_a_comparison_tells_the_lines_apart(data: CaseReportData) -> None:
    key = render_case_report(data).partition('<g class="line-key"')[2].partition("</g>")[0]
    assert [word for word in ("predicted", "optimized", "upper", "lower") if word not in key] == []


def test_the_optimized_curve_lies_to_the_right_by_the_factor(data: CaseReportData) -> None:
    assert data.comparison is not None
    styles = line_styles(data.ordered_structures, {})
    figure = dvh_figure(data.dvhs, styles, data.prescription, data.comparison.dvhs)
    assert figure.highest_gy >= max(dvh.max_gy for dvh in data.comparison.dvhs if not dvh.is_empty)
    for number in (2, 4):
        one, other = (next(c for c in figure.curves if (c.roi_number, c.is_optimized) == (number, o)) for o in (0, 1))
        np.testing.assert_allclose(other.dose_gy, FACTOR * np.array(one.dose_gy), atol=0.02)


def test_point_objectives_are_marked_where_they_are_and_point_to_what_they_ask(data: CaseReportData) -> None:
    styles = line_styles(data.ordered_structures, {})
    asked = [(2 if row.roi == "PTV70" else 5, row) for row in data.objectives]
    figure = dvh_figure(data.dvhs, styles, data.prescription, (), asked)
    points = [row for row in data.objectives if row.volume_percent is not None]
    assert len(figure.marks) == len(points) < len(data.objectives), "a mean has no place in the plot"
    for mark, row in zip(figure.marks, points, strict=True):
        corners = np.array(
            [[float(n) for n in pair.split(",")] for pair in mark.path.removeprefix("M").removesuffix("Z").split()]
        )
        tip, base = corners[0], corners[1:].mean(axis=0)
        assert row.dose_gy is not None
        assert row.volume_percent is not None
        x = figure.left + row.dose_gy / figure.highest_gy * (figure.right - figure.left)
        y = figure.bottom - row.volume_percent / 100 * (figure.bottom - figure.top)
        assert tip == pytest.approx((x, y), abs=0.01)
        assert base[1] == pytest.approx(y, abs=0.01)
        # from more dose towards less for an upper objective, the other way for a lower one
        assert np.sign(base[0] - x) == (1 if row.operator == "upper" else -1)
        assert row.roi in mark.text


def test_the_tables_hold_both_values_and_their_difference(data: CaseReportData) -> None:
    targets, coverage, organs = comparison_tables(data, line_styles(data.ordered_structures, {}))
    assert [row.cells[0] for row in targets.rows] == [row.cells[0] for row in coverage.rows] == ["PTV70", "PTV56"]
    for table in (targets, organs):
        for row in table.rows:
            if row.remark:
                continue
            assert len(row.cells) == len(table.columns)
            for start in range(1, len(row.cells) - 2, 3):
                before, after, change = (float(cell) for cell in row.cells[start : start + 3])
                assert after == pytest.approx(FACTOR * before, abs=0.02)
                assert change == pytest.approx(after - before, abs=1e-9), "a reader subtracts what is shown"
                assert row.cells[start + 2][0] in "+-"
    remarks = {row.cells[0]: row.remark for row in organs.rows if row.remark}
    assert set(remarks) == {"Lung apex", "Larynx"}


def test_the_plot_reaches_as_far_as_the_objectives(data: CaseReportData) -> None:
    """110 % of a prescription is asked for where no curve comes."""
    row = replace(next(row for row in data.objectives if row.operator == "upper"), dose_gy=97.0)
    figure = dvh_figure(data.dvhs, line_styles(data.ordered_structures, {}), data.prescription, (), [(2, row)])
    assert figure.highest_gy >= 97.0


def test_coverage_and_homogeneity_are_compared(data: CaseReportData) -> None:
    assert data.comparison is not None
    _, coverage, _ = comparison_tables(data, line_styles(data.ordered_structures, {}))
    assert [column.text for column in coverage.columns[1::3]] == ["V95%Rx", "V107%Rx", "HI ICRU83"]
    hottest = coverage.rows[0].cells
    before, after = data.metrics[2]["V107%Rx_%"], data.comparison.metrics[2]["V107%Rx_%"]
    assert hottest[4:7] == (f"{before:.1f}", f"{after:.1f}", f"{round(after, 1) - round(before, 1):+.1f}")
    # a dose that is a tenth higher everywhere is as homogeneous as before
    assert (hottest[7], hottest[9]) == (hottest[8], "+0.000")


def test_a_dvh_of_no_structure_is_refused(data: CaseReportData) -> None:
    assert data.comparison is not None
    strange = replace(data.comparison.dvhs[0], roi_number=99)
    with pytest.raises(StructureRefusal, match="99"):
        replace(data, comparison=replace(data.comparison, dvhs=(strange,)))
