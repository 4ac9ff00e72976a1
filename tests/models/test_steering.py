"""Measuring sliders: models that do exactly, half, and the opposite of what they are asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bridge.rt.case import Anatomy
from models.card import Preferences
from models.predictor import CheckedPredictor, Estimate
from models.preference import Preference
from models.registry import load_model
from models.steering import WEIGHTS, SliderResult, measure_sliders
from tests.models import openkbp_patients as synthetic

ORGANS = ("SpinalCord", "Parotid_L")


@dataclass(frozen=True)
class Obedient:
    """Organs get their dose over their weight to the power of ``power``; the highest target what is asked of it."""

    power: float = 1.0
    drift_gy: float = 0.0
    organ_gy: float = 20.0
    neutral_hi: float = 0.1

    def prepare(self, anatomy: Anatomy) -> ObedientDose:
        return ObedientDose(self, anatomy)


@dataclass(frozen=True, eq=False)
class ObedientDose:
    model: Obedient
    anatomy: Anatomy

    def estimate(self, preference: Preference) -> Estimate:
        masks = self.anatomy.masks
        dose = np.where(self.anatomy.body.values > 0, np.float32(5.0), np.float32(0.0))
        for organ in ORGANS:
            weight = (preference.oar_weight or 1.0) * preference.oar_weights.get(organ, 1.0)
            dose[masks[organ].values >= 0.5] = self.model.organ_gy * weight**-self.model.power
        neutral = self.model.neutral_hi
        asked = neutral + self.model.power * ((neutral if preference.hi is None else preference.hi) - neutral)
        drift = self.model.drift_gy if preference.as_dict() else 0.0
        for name, level in self.anatomy.target_levels_gy.items():
            inside = masks[name].values >= 0.5
            hi = asked if level == max(self.anatomy.target_levels_gy.values()) else neutral
            # doses rise evenly from end to end: 96 % of them lie between D98 and D2
            dose[inside] = drift + level * (1 + hi / 0.96 * np.linspace(-0.5, 0.5, int(inside.sum())))
        return Estimate(dose)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "validation"
    folder.mkdir()
    labels = synthetic.arrays()["labels"]
    # into the high target, where a dose is the target's and not the organ's
    labels[60:90, 62:66, 10:120] |= np.uint16(1 << synthetic.BITS["SpinalCord"])
    for number in (201, 202):
        synthetic.write_packed(folder, f"pt_{number}", labels=labels)
    return folder


WIDE = Preferences(
    hi=(0.01, 0.5), hi_definition="hi_icru83", oar_weight=(0.5, 2.0), oar_weights=dict.fromkeys(ORGANS, (0.5, 2.0))
)


def measured(model: Obedient, data: Path, n: int = 1, preferences: Preferences = WIDE) -> dict[str, SliderResult]:
    card = load_model("geometric").card
    predictor = CheckedPredictor(card.model_copy(update={"preferences": preferences}), "0" * 64, model)
    return {result.slider: result for result in measure_sliders(predictor, data, n)}


def test_an_obedient_model_has_slope_1_and_no_drift(data: Path) -> None:
    results = measured(Obedient(), data)
    assert set(results) == {"hi"} | {f"oar_weight{mark}{organ}" for mark in ".>" for organ in ORGANS}
    for result in results.values():
        assert result.slope == pytest.approx(1.0, abs=0.01)
        assert result.monotone == 1.0
    cord = results["oar_weight.SpinalCord"]
    assert cord.achieved == pytest.approx([1 / weight for weight in WEIGHTS], rel=1e-3)
    assert cord.d95_drift_gy == pytest.approx([0.0] * len(WEIGHTS), abs=1e-3)


def test_half_the_effect_is_half_the_slope(data: Path) -> None:
    results = measured(Obedient(power=0.5), data)
    assert [result.slope for result in results.values()] == pytest.approx([0.5] * len(results), abs=0.01)


def test_a_slider_that_works_backwards_is_monotone_in_nobody(data: Path) -> None:
    for result in measured(Obedient(power=-1.0), data).values():
        assert (result.slope, result.monotone) == (pytest.approx(-1.0, abs=0.01), 0.0)


@pytest.mark.parametrize("drift_gy", [1.5, -1.5])
def test_a_slider_that_moves_the_targets_shows_in_their_d95(data: Path, drift_gy: float) -> None:
    weight = measured(Obedient(drift_gy=drift_gy), data)["oar_weight.Parotid_L"]
    assert weight.d95_drift_gy == pytest.approx([1.5 if setting != 1.0 else 0.0 for setting in WEIGHTS], abs=0.01)


def test_nobody_is_asked_to_be_more_homogeneous_than_any_plan(data: Path) -> None:
    """From an index of 0.03, 0.02 is as far down as is asked; the card takes no less than 0.01."""
    achieved = measured(Obedient(neutral_hi=0.03), data)["hi"].achieved
    assert achieved == pytest.approx((-0.01, -0.01, 0.0, 0.03, 0.06), abs=2e-3)


def test_sliders_are_moved_as_far_as_the_model_takes_them(data: Path) -> None:
    """A model of labelled plans takes what its plans reached, and that may be little, or nothing for an organ."""
    narrow = Preferences(
        hi=(0.09, 0.12),
        hi_definition="hi_icru83",
        oar_weight=(0.95, 1.2),
        oar_weights={"Parotid_L": (0.85, 1.2), "SpinalCord": (1.0, 1.1)},
    )
    results = measured(Obedient(), data, preferences=narrow)
    assert set(results) == {"hi", "oar_weight>Parotid_L", "oar_weight>SpinalCord", "oar_weight.Parotid_L"}
    assert results["oar_weight>SpinalCord"].settings == (1.0, 1.15)
    assert results["oar_weight.Parotid_L"].settings == (0.9, 1.0, 1.15)
    assert results["oar_weight.Parotid_L"].achieved == pytest.approx([1 / 0.9, 1.0, 1 / 1.15], rel=1e-3)
    assert results["hi"].achieved == pytest.approx((-0.01, -0.01, 0.0, 0.02, 0.02), abs=2e-3)


@pytest.mark.parametrize(("organ_gy", "there"), [(0.9, False), (1.1, True)])
def test_an_organ_without_dose_has_nothing_to_spare(data: Path, organ_gy: float, there: bool) -> None:
    assert ("oar_weight.Parotid_L" in measured(Obedient(organ_gy=organ_gy), data)) == there


@pytest.mark.parametrize(("voxels", "there"), [(29, False), (30, True)])
def test_an_organ_of_a_few_voxels_is_not_measured(tmp_path: Path, voxels: int, there: bool) -> None:
    labels, left = synthetic.arrays()["labels"], np.uint16(1 << synthetic.BITS["LeftParotid"])
    labels &= ~left
    labels[55, 70 : 70 + voxels, 20] |= left
    synthetic.write_packed(tmp_path, "pt_201", labels=labels)
    assert ("oar_weight.Parotid_L" in measured(Obedient(), tmp_path)) == there


def test_patients_are_counted_and_no_more_than_asked_for(data: Path) -> None:
    assert measured(Obedient(), data, n=2)["hi"].n == 2
    assert measured(Obedient(), data, n=1)["hi"].n == 1


def test_json_holds_every_figure(data: Path) -> None:
    content = measured(Obedient(), data)["hi"].as_dict()
    assert replace(SliderResult(**content)) == SliderResult(**content)  # type: ignore[arg-type]
    assert set(content) == {"slider", "n", "settings", "achieved", "slope", "monotone", "d95_drift_gy"}
