"""The checks that stand between a model and everything else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bridge.rt.errors import ModelRefusal
from models.checks import check_prediction, within_sliders
from models.predictor import CheckedPredictor, Estimate
from models.preference import NEUTRAL, Preference, preference_of
from models.registry import load_model
from tests.models.anatomies import box_anatomy

TARGET = (slice(4, 8), slice(8, 12), slice(10, 20))
ANATOMY = box_anatomy({"PTV": (60.0, TARGET)})


def dose(outside: float = 10.0, target: float = 61.0) -> np.ndarray:
    values = np.full(ANATOMY.grid.shape, outside, dtype=np.float32)
    values[TARGET] = target
    return values


def with_voxel(value: float) -> np.ndarray:
    values = dose()
    values[0, 0, 0] = value
    return values


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (with_voxel(np.nan), "prediction-not-finite"),
        (with_voxel(np.inf), "prediction-not-finite"),
        (with_voxel(-1e-3), "prediction-negative"),
        (with_voxel(84.1), "prediction-maximum"),
        (dose(0.0, 0.0), "prediction-zero"),
        (dose(10.0, 29.9), "prediction-target"),
        (dose(target=6100.0), "prediction-maximum"),
        (dose()[1:], "prediction-shape"),
    ],
)
def test_a_dose_that_cannot_be_one_never_leaves(values: np.ndarray, code: str) -> None:
    class Broken:
        def prepare(self, anatomy: object) -> Broken:
            return self

        def estimate(self, preference: object) -> Estimate:
            return Estimate(values)

    with pytest.raises(ModelRefusal) as refused:
        check_prediction(values, ANATOMY)
    assert refused.value.code == code
    card = load_model("geometric").card
    with pytest.raises(ModelRefusal) as refused:
        CheckedPredictor(card, "0" * 64, Broken()).predict(ANATOMY)
    assert refused.value.code == code


def test_a_dose_at_the_edge_of_sanity_passes_unchanged() -> None:
    values = with_voxel(83.9)
    passed = check_prediction(values, ANATOMY)
    np.testing.assert_array_equal(passed.values, values)
    assert passed.grid is ANATOMY.grid


def test_a_low_level_around_a_high_one_may_be_hot() -> None:
    nested = box_anatomy({"high": (70.0, TARGET), "low": (46.0, TARGET)})
    values = np.zeros(nested.grid.shape, dtype=np.float32)
    values[TARGET] = 71.0
    assert check_prediction(values, nested).maximum_gy == 71.0


@pytest.mark.parametrize(("value", "code"), [(np.nan, "prediction-not-finite"), (-1.0, "prediction-negative")])
def test_an_uncertainty_is_checked_too(value: float, code: str) -> None:
    class Unsure:
        def prepare(self, anatomy: object) -> Unsure:
            return self

        def estimate(self, preference: object) -> Estimate:
            return Estimate(dose(), uncertainty_gy=with_voxel(value))

    with pytest.raises(ModelRefusal, match="uncertainty") as refused:
        CheckedPredictor(load_model("geometric").card, "0" * 64, Unsure()).predict(ANATOMY)
    assert refused.value.code == code


def able() -> CheckedPredictor:
    """A predictor whose card allows preferences."""

    class Fixed:
        def prepare(self, anatomy: object) -> Fixed:
            return self

        def estimate(self, preference: object) -> Estimate:
            return Estimate(dose())

    card = load_model("geometric").card
    preferences = card.preferences.model_copy(update={"hi": (1.02, 1.10), "oar_weights": {"Parotid_L": (0.5, 2.0)}})
    return CheckedPredictor(card.model_copy(update={"preferences": preferences}), "0" * 64, Fixed())


def test_a_preference_within_the_card_is_honoured_and_recorded() -> None:
    wish = Preference("mine", hi=1.02, oar_weights={"Parotid_L": 2.0})
    assert able().predict(ANATOMY, wish).preference == wish


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (Preference("mine", hi=1.11), "preference-range"),
        (Preference("mine", oar_weights={"Parotid_L": 0.49}), "preference-range"),
        (Preference("mine", oar_weight=1.0), "preference-unsupported"),
        (Preference("mine", oar_weights={"Parotid_R": 1.0}), "preference-unsupported"),
    ],
)
def test_a_preference_beyond_the_card_is_refused(wish: Preference, code: str) -> None:
    with pytest.raises(ModelRefusal) as refused:
        able().predict(ANATOMY, wish)
    assert refused.value.code == code


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1])
def test_an_impossible_wish_is_refused_when_it_is_made(value: float) -> None:
    with pytest.raises(ModelRefusal) as refused:
        Preference("mine", oar_weights={"Larynx": value})
    assert refused.value.code == "preference-value"


def test_for_measurements_a_wish_is_cut_to_the_card_and_what_was_cut_is_told() -> None:
    card = able().card
    within = Preference("mine", hi=1.05, oar_weights={"Parotid_L": 1.25})
    assert within_sliders(card, within) == (within, ())
    beyond = Preference("mine", hi=1.2, oar_weight=1.5, oar_weights={"Parotid_L": 0.1, "Parotid_R": 2.0})
    kept, held = within_sliders(card, beyond)
    assert kept == Preference("mine", hi=1.10, oar_weights={"Parotid_L": 0.5})
    assert held == ("hi", "oar_weight", "oar_weight.Parotid_L", "oar_weight.Parotid_R")
    able().predict(ANATOMY, kept)


def test_named_preferences() -> None:
    assert preference_of("balanced", None, None, {}) == NEUTRAL
    assert preference_of("balanced", 1.05, None, {"Larynx": 2.0}).as_dict() == {"hi": 1.05, "oar_weight.Larynx": 2.0}
    with pytest.raises(ModelRefusal, match="balanced") as refused:
        preference_of("agressive", None, None, {})
    assert refused.value.code == "preference-unknown"


def test_a_missing_optional_structure_is_mentioned() -> None:
    findings = load_model("geometric").predict(ANATOMY).findings
    assert {f.where["roi"] for f in findings if f.code == "structure-not-given"} == {
        "Brainstem", "SpinalCord", "Parotid_L", "Parotid_R",
    }  # fmt: skip


def test_a_model_that_needs_ct_numbers_says_so() -> None:
    predictor = load_model("geometric")
    inputs = predictor.card.inputs.model_copy(update={"ct": True, "required_structures": ("Larynx",)})
    with pytest.raises(Exception, match="Larynx") as refused:
        dataclasses.replace(predictor, card=predictor.card.model_copy(update={"inputs": inputs})).predict(ANATOMY)
    assert refused.value.code == "structure-empty"
    inputs = inputs.model_copy(update={"required_structures": ()})
    with pytest.raises(ModelRefusal) as refused:
        dataclasses.replace(predictor, card=predictor.card.model_copy(update={"inputs": inputs})).predict(ANATOMY)
    assert refused.value.code == "ct-missing"
