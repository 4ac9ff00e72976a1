from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from bridge.report.fronts import FrontPoint, PatientFronts, fronts_png

POINTS = (
    FrontPoint("reference", 15.0, 5.0, 0.0, is_reference=True, is_dominated=False),
    FrontPoint("organ-Parotid_L", 11.0, 8.0, 1.0, is_reference=False, is_dominated=False),
    FrontPoint("drawn-01", 16.0, 9.0, 1.5, is_reference=False, is_dominated=True),
)


def pixels(png: bytes) -> np.ndarray:
    image = pytest.importorskip("matplotlib.image")
    return np.asarray(image.imread(BytesIO(png), format="png"))


def has_colour(image: np.ndarray, colour: str) -> bool:
    wanted = np.array([int(colour[n : n + 2], 16) / 255.0 for n in (1, 3, 5)])
    # a marker has some sixty pixels; smoothed text and grid lines may meet any colour in a few
    return int((np.abs(image[..., :3] - wanted).max(axis=-1) < 0.02).sum()) > 60


def test_each_patient_has_a_row_and_each_kind_of_plan_a_colour() -> None:
    one = pixels(fronts_png([PatientFronts("pt_1", POINTS)]))
    three = pixels(fronts_png([PatientFronts(f"pt_{n}", POINTS) for n in range(3)]))
    assert three.shape[0] == pytest.approx(3 * one.shape[0], abs=2)
    assert three.shape[1] == one.shape[1]
    for colour in ("#1f4e79", "#b8c4d0", "#c0392b"):
        assert has_colour(one, colour)
    assert not has_colour(pixels(fronts_png([PatientFronts("pt_1", POINTS[:2])])), "#b8c4d0")
