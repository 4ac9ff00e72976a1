"""The built-in model on OpenKBP patients that it has not seen, and objectives under its bands."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.rt.dvh import DvhPolicy
from models.kbp.model import KbpEstimator
from models.kbp.training import TrainingPlan, observe
from models.openkbp.reader import OpenKbpPatient, read_patient
from models.registry import load_estimator
from objective_extraction.variability.definitions import organ_variability
from objective_extraction.variability.deviation import Conditions, Series, deviation
from tests.shared_data import shared_dir

PATIENTS = ("pt_201", "pt_210", "pt_221")


@pytest.fixture(scope="module")
def estimator() -> KbpEstimator:
    return load_estimator("kbp-openkbp-v1")


@pytest.fixture(scope="module")
def patients() -> list[OpenKbpPatient]:
    folder = shared_dir() / "openkbp" / "validation"
    return [read_patient(folder / f"{name}.npz") for name in PATIENTS]


def test_unseen_patients_are_estimated_to_a_few_gray(estimator: KbpEstimator, patients: list[OpenKbpPatient]) -> None:
    errors, inside = [], []
    for patient in patients:
        bands = estimator.estimate(patient.anatomy).bands
        plan = observe(TrainingPlan(patient.id, patient.anatomy, patient.dose), estimator.parameters.expected_dose)
        assert set(bands) <= set(plan.organs)
        for name, band in bands.items():
            achieved = plan.organs[name].dose_gy
            errors.append(np.abs(band.middle_gy - achieved).mean())
            inside.append(((band.lower_gy <= achieved) & (achieved <= band.upper_gy)).mean())
    assert len(errors) >= 12
    assert np.mean(errors) < 5.0
    assert 0.45 < np.mean(inside) < 0.95


def test_left_and_right_in_the_mirror_change_places(estimator: KbpEstimator, patients: list[OpenKbpPatient]) -> None:
    """Each parotid has a model of its own: they were learned from different plans, and must not be swapped."""
    organs = estimator.parameters.organs
    assert organs["Parotid_L"] != organs["Parotid_R"]
    for patient in patients:
        bands = estimator.estimate(patient.anatomy).bands
        for name in {"Parotid_L", "Parotid_R"} & set(bands):
            assert bands[name].volume_cc == pytest.approx(patient.anatomy.masks[name].volume_cc)


def test_the_variability_of_the_estimates_is_the_models_error(
    estimator: KbpEstimator, patients: list[OpenKbpPatient]
) -> None:
    """Definition B on bands and reference plans: its mean is the error along the curve."""
    policy = DvhPolicy("half_slice", None, "prism")
    conditions = Conditions(estimator.card.id, "band_middle", "OpenKBP reference", "none", "half_slice", "prism")
    found, errors = {}, []
    for patient in patients:
        plan = observe(TrainingPlan(patient.id, patient.anatomy, patient.dose), estimator.parameters.expected_dose)
        band = estimator.estimate(patient.anatomy).bands["SpinalCord"]
        achieved = type(band)("SpinalCord", band.volume_cc, 0.0, 1, *[plan.organs["SpinalCord"].dose_gy] * 3)
        found[patient.id] = deviation(band.dvh(1, "SpinalCord", policy), achieved.dvh(1, "SpinalCord", policy))
        errors.append(np.abs(band.middle_gy - plan.organs["SpinalCord"].dose_gy).mean())
    result = organ_variability(Series("SpinalCord", conditions, found))
    assert result.n == 3
    assert result.abs_mean_gy == pytest.approx(np.mean(errors), rel=0.03)
