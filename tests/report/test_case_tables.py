from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.report.case_data import CaseReportData
from bridge.report.case_tables import Table, dvh_policy_text, fixed, structure_tables
from bridge.report.line_style import line_styles
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.metrics import structure_metrics
from bridge.rt.prescription import Prescription, TargetLevel
from tests.report.synthetic_case import ellipse, head_and_neck, nothing_drawn


def even_dvh(number: int, name: str, volume_cc: float | None = None) -> Dvh:
    """70 cc in which every dose from 0 to 70 Gy is equally common: Dx% = 70 (1 - x/100) Gy, VdGy = 1 - d/70."""
    dose = (np.arange(700) + 0.5) / 10
    policy = DvhPolicy("none", 0.5)
    return Dvh(number, name, dose, np.full(700, 0.1), 70.0 if volume_cc is None else volume_cc, policy)


@pytest.fixture(scope="module")
def data() -> CaseReportData:
    target = ellipse(1, "PTV", "target", (25, -45), (20, 20), [0.0, 3.0])
    organ = ellipse(2, "Cord", "organ", (5, 25), (6, 6), [0.0, 3.0], "SpinalCord")
    cut = ellipse(3, "Lung", "organ", (5, 25), (6, 6), [0.0, 3.0])
    gtv = ellipse(4, "GTV", "target", (5, 25), (6, 6), [0.0, 3.0])
    dvhs = (
        even_dvh(2, "Cord"),
        even_dvh(1, "PTV"),
        even_dvh(3, "Lung", 140.0),
        even_dvh(4, "GTV"),
        Dvh(5, "Larynx", np.zeros(0), np.zeros(0), 0.0, DvhPolicy()),
    )
    prescription = Prescription((TargetLevel(1, "PTV", 60.0, "rtplan"),))
    metrics = {dvh.roi_number: structure_metrics(dvh) for dvh in dvhs if not dvh.is_empty}
    metrics[1] = structure_metrics(dvhs[1], 60.0)
    return replace(
        head_and_neck(),
        structures=(organ, target, cut, gtv, nothing_drawn(5, "Larynx", "organ")),
        dvhs=dvhs,
        metrics=metrics,
        prescription=prescription,
    )


def tables(data: CaseReportData) -> tuple[Table, Table]:
    return structure_tables(data, line_styles(data.ordered_structures, {}))


def by_heading(table: Table, row: int) -> dict[str, str]:
    return {f"{c.text} {c.unit}".strip(): cell for c, cell in zip(table.columns, table.rows[row].cells, strict=True)}


def test_target_numbers_are_those_of_the_closed_form(data: CaseReportData) -> None:
    assert by_heading(tables(data)[0], 0) == {
        "Target": "PTV", "Prescribed Gy": "60.00", "from": "RTPLAN", "Volume cc": "70.00", "Inside grid %": "100.0",
        "D98% Gy": "1.40", "D95% Gy": "3.50", "D50% Gy": "35.00", "D2% Gy": "68.60", "Mean Gy": "35.00",
        "V95%Rx %": "18.6", "V107%Rx %": "8.3", "HI ICRU83 (D2-D98)/D50": "1.920", "HI D5/D95": "19.000",
    }  # fmt: skip


def test_organ_numbers_are_those_of_the_closed_form(data: CaseReportData) -> None:
    assert by_heading(tables(data)[1], 0) == {
        "Structure": "Cord (SpinalCord)", "Volume cc": "70.00", "Inside grid %": "100.0", "Mean Gy": "35.00",
        "D0.03cc Gy": "69.95", "D2% Gy": "68.60", "V5Gy %": "92.9", "V10Gy %": "85.7", "V20Gy %": "71.4",
        "V30Gy %": "57.1", "V40Gy %": "42.9", "V50Gy %": "28.6", "V60Gy %": "14.3",
    }  # fmt: skip


def test_a_target_without_prescription_has_no_prescription_numbers(data: CaseReportData) -> None:
    row = by_heading(tables(data)[0], 1)
    assert (row["Target"], row["Prescribed Gy"], row["V95%Rx %"], row["D95% Gy"]) == ("GTV", "\u2013", "\u2013", "3.50")


def test_partial_and_missing_coverage_show(data: CaseReportData) -> None:
    organs = tables(data)[1]
    assert by_heading(organs, 1)["Inside grid %"] == "50.0"
    assert organs.rows[2].cells == ("Larynx", "0.00")
    assert organs.rows[2].remark == "empty: no contours"
    assert dvh_policy_text(data.dvhs) == {
        "End caps": "none (structures end at their first and last plane)",
        "Between planes": "prism",
        "Sampling": "0.50 mm between samples, trilinear dose, exact area weights at the contour",
        "Inside grid": "3 of 5 structures wholly inside the dose grid; Lung 50.0 %; Larynx (empty: no contours)",
    }


def test_rounding_never_shows_minus_zero_or_what_is_not_a_number() -> None:
    assert fixed(-0.004, 2) == "0.00"
    assert fixed(None, 2) == fixed(float("nan"), 2) == fixed(float("inf"), 1) == "\u2013"


def test_colours_come_again_only_with_another_dash() -> None:
    structures = [ellipse(n, f"Organ {n}", "organ", (0, 0), (5, 5), [0.0]) for n in range(30)]
    styles = line_styles(structures, {})
    assert len({(style.colour, style.dash) for style in styles.values()}) == 30


def test_an_organ_looks_the_same_in_every_patient_on_white_and_on_black() -> None:
    """Whatever else was drawn, and in whatever order; lines need 3 to 1 (WCAG 2.2, 1.4.11)."""
    names = ["Parotid_L", "Parotid_R", "SpinalCord", "Larynx"]
    organs = [ellipse(n, name, "organ", (0, 0), (5, 5), [0.0], name) for n, name in enumerate(names)]
    other = ellipse(9, "Ring", "organ", (0, 0), (5, 5), [0.0])
    styles, alone = line_styles([other, *reversed(organs)], {}), line_styles([organs[1]], {})
    assert styles[1] == alone[1]
    assert len({(style.colour, style.dash) for style in styles.values()}) == 5
    every = [ellipse(n, f"S{n}", "target" if n < 5 else "organ", (0, 0), (5, 5), [0.0]) for n in range(17)]
    for style in line_styles(every, {}).values():
        channels = np.array([int(style.colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255.0
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        bright = float(linear @ [0.2126, 0.7152, 0.0722])
        assert 1.05 / (bright + 0.05) >= 3.0, style
        assert (bright + 0.05) / 0.05 >= 3.0, style
