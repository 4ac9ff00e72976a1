"""The benchmark of promises on a patient of a few slices with an engine of Gaussian beamlets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from bridge.workflow.library.case import read_planning_case
from models.registry import load_model
from tests.benchmarks.promise import SETTINGS, Row, measure, read_rows, table
from tests.workflow.library.small import OPTIONS, gaussian_influence, write_patient


def test_every_setting_is_promised_planned_and_measured(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="the extra [planning] is not installed")
    case = read_planning_case(write_patient(tmp_path))
    rows = measure(case, load_model("geometric"), 5, OPTIONS.settings, gaussian_influence)
    assert [row.setting for row in rows] == [wish.name for wish in SETTINGS]
    assert {len(row.held) for row in rows} == {0, 1, 2}  # the model knows of no wish
    first = rows[0]
    assert set(first.promised_gy) == set(first.reached_gy) == {"SpinalCord", "Parotid_L"}
    assert set(first.curves_abs_gy) == {organ.name for organ in case.organs}
    for organ, size in first.curves_abs_gy.items():
        assert abs(first.curves_signed_gy[organ]) <= size
    for organ in first.promised_gy:  # beside the targets: the mean over the curve is that over the volume
        difference = first.reached_gy[organ] - first.promised_gy[organ]
        assert first.curves_signed_gy[organ] == pytest.approx(difference, abs=0.1)
    for row in rows[1:]:  # the same dose is the same promise, the same objectives and the same plan
        assert (row.promised_gy, row.reached_gy, row.reached_hi) == (
            first.promised_gy,
            first.reached_gy,
            first.reached_hi,
        )
    assert read_rows([asdict(row) for row in rows]) == rows


def test_the_table_gives_means_over_patients_and_organs() -> None:
    both, one = ("Parotid_L", "SpinalCord"), ("Parotid_L",)
    rows = [
        row(0.05, 0.07, dict(zip(both, (20.0, 10.0), strict=True)), dict(zip(both, (23.0, 9.0), strict=True))),
        row(0.05, 0.04, dict(zip(one, (30.0,), strict=True)), dict(zip(one, (31.0,), strict=True))),
    ]
    assert table(rows).splitlines()[-1] == "| spare | 2 | +0.50 | 2.17 | +1.00 | 1.67 | +0.005 | 0.015 |"


def row(promised_hi: float, reached_hi: float, promised: dict[str, float], reached: dict[str, float]) -> Row:
    """Give a row whose curves lie half a Gy lower than the means, signed and in size."""
    difference = {organ: reached[organ] - gy for organ, gy in promised.items()}
    signed = {organ: gy - 0.5 for organ, gy in difference.items()}
    size = {organ: abs(gy) + 0.5 for organ, gy in difference.items()}
    return Row("spare", (), promised_hi, reached_hi, promised, reached, signed, size)
