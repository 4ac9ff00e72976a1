"""The built-in model on OpenKBP patients that it has not seen, and objectives under its bands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bridge.rt.dvh import DvhPolicy
from bridge.rt.structure import Structure
from models.kbp.estimate import estimate_organ
from models.kbp.model import KbpEstimator
from models.kbp.regions import measure_organ, voxels_of
from models.kbp.training import TrainingPlan, observe
from models.openkbp.reader import OpenKbpPatient, read_patient
from models.registry import load_estimator
from objective_extraction.variability.definitions import organ_variability
from objective_extraction.variability.deviation import Conditions, Series, deviation
from tests.shared_data import shared_dir

CORD = Structure(1, "Cord", "organ", (), "2.25.1", 3.0, "SpinalCord")
SIDES = ("Parotid_L", "Parotid_R")
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


def test_each_parotid_is_estimated_by_the_model_of_its_own_name(
    estimator: KbpEstimator, patients: list[OpenKbpPatient]
) -> None:
    """With the names of the masks changed over, the right one's place is estimated by the left one's model."""
    anatomy = patients[0].anatomy
    left, right = anatomy.masks["Parotid_L"], anatomy.masks["Parotid_R"]
    crossed = replace(anatomy, masks={**anatomy.masks, "Parotid_L": right, "Parotid_R": left})
    band = estimator.estimate(crossed).bands["Parotid_L"]
    assert band.volume_cc == pytest.approx(right.volume_cc)
    assert anatomy.gantry_angles_deg is not None
    names = list(estimator.parameters.organs)
    known = [name for name in names if name in anatomy.masks]
    voxels = voxels_of(anatomy, known, anatomy.gantry_angles_deg, estimator.parameters.expected_dose)
    geometry = measure_organ(anatomy, "Parotid_R", voxels)
    assert geometry is not None
    of_left, of_right = (estimate_organ(name, estimator.parameters.organs[name], geometry) for name in SIDES)
    np.testing.assert_allclose(band.middle_gy, of_left.middle_gy)
    assert np.abs(band.middle_gy - of_right.middle_gy).mean() > 0.2


def test_the_variability_of_the_estimates_is_the_models_error(
    estimator: KbpEstimator, patients: list[OpenKbpPatient]
) -> None:
    """Definition B on bands and reference plans: its mean is the error along the curve."""
    policy = DvhPolicy("half_slice", None, "prism")
    conditions = Conditions(
        estimator.card.id, "band_middle", "OpenKBP reference", "none", "none", "half_slice", "prism"
    )
    found, errors = {}, []
    for patient in patients:
        plan = observe(TrainingPlan(patient.id, patient.anatomy, patient.dose), estimator.parameters.expected_dose)
        band = estimator.estimate(patient.anatomy).bands["SpinalCord"]
        achieved = type(band)("SpinalCord", band.volume_cc, 0.0, 1, *[plan.organs["SpinalCord"].dose_gy] * 3)
        found[patient.id] = deviation(band.dvh(CORD, policy), achieved.dvh(CORD, policy))
        errors.append(np.abs(band.middle_gy - plan.organs["SpinalCord"].dose_gy).mean())
    result = organ_variability(Series("SpinalCord", conditions, found))
    assert result.n == 3
    assert result.abs_mean_gy == pytest.approx(np.mean(errors), rel=0.03)
