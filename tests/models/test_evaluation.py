"""Evaluation against the independent recomputation in tests/oracles."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal, Refusal
from models.evaluation import evaluate
from models.predictor import CheckedPredictor, Estimate
from models.preference import Preference
from models.registry import load_model
from tests.models import openkbp_patients as synthetic
from tests.shared_data import shared_dir

ORACLE = Path(__file__).resolve().parents[1] / "oracles" / "openkbp_score.py"


@dataclass(frozen=True)
class Uniform:
    """The same dose in the whole body, and where a standard deviation is named, that everywhere."""

    sigma_gy: float | None = None

    def prepare(self, anatomy: Anatomy) -> UniformDose:
        return UniformDose(anatomy, self.sigma_gy)


@dataclass(frozen=True, eq=False)
class UniformDose:
    anatomy: Anatomy
    sigma_gy: float | None

    def estimate(self, preference: Preference) -> Estimate:
        dose_gy = np.where(self.anatomy.body.values > 0, np.float32(50.0), np.float32(0.0))
        sigma_gy = None if self.sigma_gy is None else np.full_like(dose_gy, self.sigma_gy)
        return Estimate(dose_gy, uncertainty_gy=sigma_gy)


@pytest.fixture(scope="module")
def synthetic_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "validation"
    folder.mkdir()
    synthetic.write_packed(folder, "pt_201")
    return folder


def test_scores_by_hand(synthetic_set: Path) -> None:
    """50 Gy in the body against a box of 10 Gy with a target of 70 to 70.038 Gy."""
    predictor = CheckedPredictor(load_model("geometric").card, "0" * 64, Uniform())
    result = evaluate(predictor, synthetic_set)
    target = 20 * 40 * 20
    possible, in_body = 72 * 90 * 60, 70 * 90 * 60
    # outside the possible-dose mask nothing counts; in its two rows outside the body the prediction is 0
    errors = target * (20.0 + 0.002 * 9.5) + (in_body - target) * 40.0 + (possible - in_body) * 10.0
    assert result.dose_score_gy == pytest.approx(errors / possible, rel=1e-6)
    errors = result.patients[0].criteria_error_gy
    # superior of the mask the parotids have no dose in either
    assert errors["RightParotid mean"] == errors["LeftParotid D0.1cc"] == 0.0
    assert errors["PTV56 D99"] == errors["PTV56 D1"] == pytest.approx(40.0)
    assert errors["PTV70 D95"] == pytest.approx(50.0 - 70.0, abs=0.01)
    assert errors["SpinalCord mean"] == pytest.approx(40.0 * 60 / 110)
    assert (result.n, result.set_name) == (1, "validation")


def test_the_uncertainty_is_held_against_the_errors(synthetic_set: Path) -> None:
    """Errors are 20 Gy in the target, 40 Gy elsewhere in the body and 10 Gy in the two rows outside it."""
    predictor = CheckedPredictor(load_model("geometric").card, "0" * 64, Uniform(sigma_gy=20.5))
    within = evaluate(predictor, synthetic_set).within_sigma()
    target, possible, in_body = 20 * 40 * 20, 72 * 90 * 60, 70 * 90 * 60
    assert within == pytest.approx(((target + possible - in_body) / possible, 1.0), rel=1e-6)


def test_a_model_without_an_uncertainty_has_none_to_hold(synthetic_set: Path) -> None:
    assert evaluate(load_model("geometric"), synthetic_set).within_sigma() is None


def test_real_patients_score_as_recomputed(tmp_path: Path) -> None:
    """Three patients in parallel; the recomputation is another program, with its own axes and formulas."""
    data = tmp_path / "validation"
    data.mkdir()
    for name in ("pt_201", "pt_206", "pt_239"):
        source = shared_dir() / "openkbp" / "validation" / f"{name}.npz"
        (data / source.name).symlink_to(source)
    seen: list[tuple[int, int]] = []
    with ThreadPoolExecutor(2) as executor:
        result = evaluate(
            load_model("geometric"),
            tmp_path,
            progress=lambda done, total: seen.append((done, total)),
            executor=executor,
            save_predictions=tmp_path / "predictions",
        )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert (result.n, result.set_name) == (3, "validation")
    run = subprocess.run(
        [sys.executable, str(ORACLE), str(data), str(tmp_path / "predictions")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    oracle = json.loads(run.stdout)
    assert oracle["n"] == 3
    assert result.dose_score_gy == pytest.approx(oracle["dose_score_gy"], abs=1e-6)
    assert result.dvh_score_gy == pytest.approx(oracle["dvh_score_gy"], abs=1e-6)
    for patient in result.patients:
        wanted = oracle["patients"][patient.patient_id]
        assert patient.dose_score_gy == pytest.approx(wanted["dose_score_gy"], abs=1e-6)
        # reference doses are float32 here and float64 there: 4e-6 Gy at 70 Gy
        assert patient.criteria_error_gy == pytest.approx(wanted["criteria_error_gy"], abs=1e-5)


def test_the_json_form_is_json_and_complete(synthetic_set: Path) -> None:
    result = evaluate(load_model("geometric"), synthetic_set.parent)
    content = json.loads(json.dumps(result.as_dict()))
    assert content["model_sha256"] == load_model("geometric").sha256
    assert content["criteria"]["PTV70 D95"]["n"] == 1
    assert content["patients"][0]["patient_id"] == "pt_201"


def test_nothing_is_left_out(synthetic_set: Path, tmp_path: Path) -> None:
    class Broken(Uniform):
        def prepare(self, anatomy: Anatomy) -> UniformDose:
            return BrokenDose(anatomy, None)

    class BrokenDose(UniformDose):
        def estimate(self, preference: Preference) -> Estimate:
            return Estimate(np.full(self.anatomy.grid.shape, np.nan, dtype=np.float32))

    with pytest.raises(ModelRefusal) as refused:
        evaluate(CheckedPredictor(load_model("geometric").card, "0" * 64, Broken()), synthetic_set)
    assert refused.value.where["patient"] == "pt_201"
    with pytest.raises(Refusal) as refused:
        evaluate(load_model("geometric"), tmp_path)
    assert refused.value.code == "openkbp-no-patients"


@pytest.mark.slow
def test_the_card_says_what_is_measured() -> None:
    predictor = load_model("geometric")
    result = evaluate(predictor, shared_dir() / "openkbp")
    measured = {metric.name: metric.value for metric in predictor.card.metrics}
    assert result.n == 33
    assert result.dose_score_gy == pytest.approx(measured["dose score"], abs=1e-3)
    assert result.dvh_score_gy == pytest.approx(measured["DVH score"], abs=1e-3)
