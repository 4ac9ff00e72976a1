"""What every predictor of a dose in the built-in zoo must do."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from bridge.rt.errors import ModelRefusal, StructureRefusal
from models.predictor import DosePredictor, Prediction, PreparedPredictor
from models.preference import NEUTRAL, Preference
from models.registry import gives_dose, list_models, load_model
from tests.models.anatomies import box_anatomy

MIDDLE = (slice(14, 26), slice(20, 32), slice(18, 32))
BESIDE = (slice(14, 26), slice(20, 32), slice(32, 42))
CORD = (slice(None), slice(42, 46), slice(24, 28))
SHAPE = (40, 56, 60)
"""A neck of 120 x 168 x 180 mm with two targets side by side in front of the cord: within every model's scope."""


@pytest.fixture(params=[card.id for card in list_models() if gives_dose(card)], scope="module")
def predictor(request: pytest.FixtureRequest) -> DosePredictor:
    return load_model(request.param)


@pytest.fixture(scope="module")
def prediction(predictor: DosePredictor) -> Prediction:
    """The neutral dose: a network takes seconds for it."""
    return predictor.predict(anatomy())


@pytest.fixture(scope="module")
def prepared(predictor: DosePredictor) -> PreparedPredictor:
    return predictor.prepare(anatomy())


def anatomy(levels: tuple[float, float] = (70.0, 56.0), beside: tuple[slice, slice, slice] = BESIDE, **changes):
    targets = {"PTV_7000": (levels[0], MIDDLE), "PTV_5600": (levels[1], beside)}
    given = {"shape": SHAPE, "spacing_mm": (3.0, 3.0, 3.0), "organs": {"SpinalCord": CORD}} | changes
    return box_anatomy(targets, **given)


def test_the_dose_lies_on_the_anatomy_and_in_the_body(prediction: Prediction) -> None:
    case = anatomy()
    assert prediction.dose.grid.matches(case.grid)
    assert prediction.dose.values[case.body.values < 0.5].max() == 0.0
    means = {
        name: float(prediction.dose.values[case.masks[name].values > 0.5].mean()) for name in case.target_levels_gy
    }
    assert means["PTV_7000"] == pytest.approx(70.0, rel=0.1)
    assert means["PTV_5600"] == pytest.approx(58.0, rel=0.1)


def test_a_prediction_says_where_it_comes_from(predictor: DosePredictor, prediction: Prediction) -> None:
    assert (prediction.model_id, prediction.model_sha256) == (predictor.card.id, predictor.sha256)
    assert len(prediction.model_sha256) == 64
    assert prediction.preference == NEUTRAL


def test_the_same_case_gets_the_same_dose_at_once_and_once_it_is_prepared(
    predictor: DosePredictor, prediction: Prediction, prepared: PreparedPredictor
) -> None:
    np.testing.assert_array_equal(predictor.predict(anatomy()).dose.values, prediction.dose.values)
    np.testing.assert_array_equal(prepared.predict().dose.values, prediction.dose.values)


def test_it_travels_to_another_process(predictor: DosePredictor, prediction: Prediction) -> None:
    copy = pickle.loads(pickle.dumps(predictor))  # noqa: S301 - our own bytes, as an executor sends them
    np.testing.assert_array_equal(copy.predict(anatomy()).dose.values, prediction.dose.values)


@pytest.mark.parametrize(
    "preference",
    [
        Preference("own", hi=0.08),
        Preference("own", oar_weight=1.2),
        Preference("own", oar_weights={"Parotid_L": 1.0}),
        Preference("own", oar_weights={"NoSuchOrgan": 1.0}),
    ],
)
def test_a_preference_is_honoured_or_refused(
    predictor: DosePredictor, prepared: PreparedPredictor, preference: Preference
) -> None:
    unsupported = set(preference.as_dict()) - set(predictor.card.preferences.names())
    if not unsupported:
        assert prepared.predict(preference).preference == preference
        return
    with pytest.raises(ModelRefusal) as refused:
        predictor.predict(anatomy(), preference)
    assert refused.value.code == "preference-unsupported"
    assert refused.value.where["preference"] in unsupported


def test_limits_of_the_card_are_kept(predictor: DosePredictor) -> None:
    accepts = predictor.card.accepts
    coarse = accepts.spacing_mm[1] * 1.01
    with pytest.raises(ModelRefusal, match="voxel spacings") as refused:
        predictor.predict(anatomy(spacing_mm=(coarse, coarse, coarse)))
    assert refused.value.code == "spacing-limit"
    with pytest.raises(ModelRefusal, match="target levels") as refused:
        predictor.predict(anatomy(levels=(accepts.levels_gy[1] * 1.01, accepts.levels_gy[1])))
    assert refused.value.code == "level-limit"
    long = int(accepts.extent_mm / 3.0) + 1
    with pytest.raises(ModelRefusal, match="along an axis") as refused:
        predictor.predict(anatomy(shape=(long, *SHAPE[1:])))
    assert refused.value.code == "extent-limit"


def test_a_level_that_training_did_not_have_is_a_warning(predictor: DosePredictor) -> None:
    below = predictor.card.accepts.usual_levels_gy[0] - 6.0
    findings = predictor.predict(anatomy(levels=(below, below))).findings
    assert [f.where["roi"] for f in findings if f.code == "level-outside-training"] == ["PTV_7000", "PTV_5600"]


def test_an_empty_target_is_refused(predictor: DosePredictor) -> None:
    case = anatomy(beside=(slice(0, 0), slice(0, 0), slice(0, 0)))
    with pytest.raises(StructureRefusal) as refused:
        predictor.predict(case)
    assert (refused.value.code, refused.value.where) == ("structure-empty", {"roi": "PTV_5600"})


def test_a_target_outside_the_body_is_refused(predictor: DosePredictor) -> None:
    with pytest.raises(ModelRefusal) as refused:
        predictor.predict(anatomy(body=(slice(None), slice(1, -1), slice(44, 58))))
    assert refused.value.code in ("prediction-target", "prediction-zero", "target-outside-body")


def test_an_empty_body_is_refused(predictor: DosePredictor) -> None:
    with pytest.raises(StructureRefusal) as refused:
        predictor.predict(anatomy(body=(slice(0, 0), slice(0, 0), slice(0, 0))))
    assert refused.value.code == "body-empty"
