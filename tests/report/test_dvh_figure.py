from __future__ import annotations

import re
from itertools import combinations

import numpy as np

from bridge.report.dvh_figure import dvh_figure
from bridge.report.line_style import LineStyle
from bridge.rt.dvh import Dvh, DvhPolicy
from bridge.rt.prescription import Prescription, TargetLevel

STYLES = {number: LineStyle("#1c7ed6", "", 1.7) for number in (1, 2)}
UNIFORM = Dvh(1, "PTV", np.full(100, 60.0), np.full(100, 0.1), 10.0, DvhPolicy())
EMPTY = Dvh(2, "Larynx", np.zeros(0), np.zeros(0), 0.0, DvhPolicy())


def prescription(*doses_gy: float) -> Prescription:
    return Prescription(tuple(TargetLevel(n, f"PTV{d:g}", d, "config") for n, d in enumerate(doses_gy)))


def points(path: str) -> np.ndarray:
    return np.array([[float(x), float(y)] for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)])


def test_a_uniform_dose_is_a_step_at_its_dose() -> None:
    figure = dvh_figure([UNIFORM, EMPTY], STYLES, prescription(60.0))
    (curve,) = figure.curves
    place = figure.left + 60.0 / figure.highest_gy * (figure.right - figure.left)
    drawn = points(curve.path)
    assert np.allclose(drawn[:-1, 0], place, atol=0.006)
    assert np.allclose(drawn[[0, -2, -1], 1], [figure.bottom, figure.top, figure.top])
    assert np.isclose(drawn[-1, 0], figure.left)
    assert curve.dose_gy == (60.0,) * 101
    assert np.isclose(figure.prescriptions[0].x, place, atol=0.006)


def test_ticks_are_round_and_inside_the_frame() -> None:
    figure = dvh_figure([UNIFORM], STYLES, prescription(70.0))
    assert [text for _, text in figure.dose_ticks] == ["0", "10", "20", "30", "40", "50", "60", "70"]
    assert [text for _, text in figure.volume_ticks] == ["0", "20", "40", "60", "80", "100"]
    assert figure.dose_ticks[0][0] == figure.left
    assert all(figure.left <= x <= figure.right for x, _ in figure.dose_ticks)
    assert (figure.volume_ticks[0][0], figure.volume_ticks[-1][0]) == (figure.bottom, figure.top)


def test_labels_of_near_prescriptions_are_stacked_inside_the_picture() -> None:
    figure = dvh_figure([UNIFORM], STYLES, prescription(54.0, 56.0, 59.4, 70.0))
    half = {line: len(line.text) * 6.6 / 2 for line in figure.prescriptions}
    assert figure.prescriptions[0].text == "54 Gy PTV54"
    for one, other in combinations(figure.prescriptions, 2):
        assert one.row != other.row or abs(one.label_x - other.label_x) >= half[one] + half[other]
    assert all(line.label_x + half[line] <= figure.width for line in figure.prescriptions)


def test_targets_of_one_dose_share_a_line() -> None:
    figure = dvh_figure([UNIFORM], STYLES, Prescription((
        TargetLevel(1, "PTV left", 60.0, "config"), TargetLevel(2, "PTV right", 60.0, "config")
    )))  # fmt: skip
    assert [line.text for line in figure.prescriptions] == ["60 Gy PTV left +1"]
