from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest

from bridge.report.fronts import FrontPoint, PatientFronts, fronts_png

POINTS = (
    FrontPoint("reference", 15.0, 0.05, 0.0, is_reference=True, is_dominated=False),
    FrontPoint("organ-Parotid_L", 11.0, 0.08, 1.0, is_reference=False, is_dominated=False),
    FrontPoint("drawn-01", 16.0, 0.09, 1.5, is_reference=False, is_dominated=True),
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


def test_axes_say_what_they_measure_as_all_other_reports_do(monkeypatch: pytest.MonkeyPatch) -> None:
    axes = pytest.importorskip("matplotlib.axes")
    said: list[str] = []
    write = axes.Axes.set_ylabel

    def heard(self: Any, text: str, **more: Any) -> Any:
        said.append(text)
        return write(self, text, **more)

    monkeypatch.setattr(axes.Axes, "set_ylabel", heard)
    fronts_png([PatientFronts("pt_1", POINTS)])
    assert said == [
        "HI of the highest target, (D2% - D98%) / D50%", "D95% below the prescription, worst target (Gy)"
    ]  # fmt: skip
