"""The benchmark's truth against the figures that its publication prints, and a few of its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.rt.dvh import DvhPolicy
from tests.benchmarks.dvh_solids import TESTS, Row, rows_of, score, truth
from tests.benchmarks.programs import our_parameters
from tests.solids import CONE, CYLINDER, LYING_CONE, LYING_CYLINDER, SPHERE, Solid

PRINTED_CC = {
    "Sphere": (7.2382, 7.2383, 7.2383, 7.2384),
    "Cylinder": (10.948, 11.310, 11.762, 12.215),
    "Lying cylinder": (10.857, 10.858, 10.858, 10.858),
    "Cone": (3.664, 3.845, 4.072, 4.298),
    "Lying cone": (3.619, 3.619, 3.619, 3.619),
}


@pytest.mark.parametrize("solid", [SPHERE, CYLINDER, LYING_CYLINDER, CONE, LYING_CONE], ids=lambda solid: solid.name)
def test_the_truth_has_the_printed_volumes(solid: Solid) -> None:
    found = [solid.dvh(solid.true_slabs(step / 2.0), "y").volume_cc for step in (0.2, 1.0, 2.0, 3.0)]
    assert found == pytest.approx(PRINTED_CC[solid.name], abs=0.001)


def test_the_truth_has_the_printed_doses_of_the_sphere() -> None:
    printed = {"V": 7.2382, "mean": 16.0, "D99": 5.41, "D95": 7.245, "D5": 24.75, "D1": 26.585, "D0.03cc": 27.095}
    assert truth(SPHERE, "y", 1.5) == pytest.approx(printed, abs=0.01)


def test_each_test_counts_195_parameters() -> None:
    counted = {test: sum(len(row.counted()) for row in rows_of(test)) for test in TESTS}
    assert counted == {"1": 195, "1 shifted": 195, "2": 195, "2 shifted": 195, "2 off centre": 117}


def test_every_parameter_of_the_lying_cone_is_found_through_files(tmp_path: Path) -> None:
    rows = [Row(LYING_CONE, axis, step, step, shift) for axis in ("y", "z") for step, shift in ((1.0, 0.0), (2.0, 0.5))]
    scored = score(rows, our_parameters([row.job(tmp_path) for row in rows], DvhPolicy("half_slice")))
    assert (scored.counted, scored.misses) == (26, [])


def test_a_program_without_an_answer_misses_everything() -> None:
    row = Row(LYING_CONE, "y", 1.0, 1.0, 0.0)
    assert score([row], [{"error": "no DVH"}]).total == 7
