"""Monitor units: fields whose sweep can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.arrays import FloatArray
from esapi_stub.engine.monitor_units import monitor_units


def units(field: FloatArray, beamlet_mm: float = 7.0) -> float:
    rows, columns = np.indices(field.shape)
    return monitor_units(beamlet_mm * (columns.ravel() - 2.0), beamlet_mm * rows.ravel(), field.ravel(), beamlet_mm)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ([[1.0, 1.0, 1.0]], 100.0),  # an open field
        ([[0.2, 0.7, 0.5]], 70.0),  # one hill takes as long as it is high
        ([[1.0, 0.0, 1.0]], 200.0),  # the leaves open twice
        ([[1.0, 0.0, 1.0], [3.0, 3.0, 0.0]], 300.0),  # the slowest pair counts, and pairs move together
        ([[0.0, 0.0, 0.0]], 0.0),
    ],
)
def test_the_slowest_pair_of_leaves_counts(field: list[list[float]], expected: float) -> None:
    assert units(np.array(field)) == pytest.approx(expected)


def test_units_are_proportional_to_fluence_and_need_no_full_rectangle() -> None:
    field = np.random.default_rng(2).uniform(size=(4, 6))
    assert units(2.5 * field) == pytest.approx(2.5 * units(field))
    x, y = np.array([7.0, 21.0, 14.0]), np.array([0.0, 0.0, 7.0])  # a gap in a row closes the leaves
    assert monitor_units(x, y, np.array([1.0, 1.0, 0.5]), 7.0) == pytest.approx(200.0)
