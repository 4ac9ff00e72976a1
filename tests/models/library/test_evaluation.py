"""A predictor whose doses are known against a library whose plans are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal
from bridge.rt.grid import Grid
from models.card import ModelCard
from models.fdp.axes import AlignedAxes
from models.library.evaluation import evaluate_on_library
from models.library.library import open_library
from models.predictor import CheckedPredictor, Estimate
from models.preference import Preference
from models.registry import load_model
from tests.models import openkbp_patients
from tests.models.training import plan_libraries as known
from tests.models.training.plan_libraries import REFERENCE, SPARED, KnownPatient, KnownPlan

CARD = load_model("geometric").card
HALF = KnownPlan("sparing", parotid_r=0.5, hi=0.05)
"""Asks for a weight of 2, which is beyond the sliders of the model."""


def card(**sliders: object) -> ModelCard:
    return CARD.model_copy(update={"preferences": CARD.preferences.model_copy(update=sliders)})


@dataclass(frozen=True)
class Even:
    """What the known plans are, as far as the wishes go: the right parotid gets its dose over its weight."""

    asked: list[tuple[int, dict[str, float]]]

    def prepare(self, anatomy: Anatomy) -> EvenDose:
        return EvenDose(anatomy, self.asked)


@dataclass(frozen=True, eq=False)
class EvenDose:
    anatomy: Anatomy
    asked: list[tuple[int, dict[str, float]]]

    def estimate(self, preference: Preference) -> Estimate:
        self.asked.append((len(self.anatomy.gantry_angles_deg), preference.as_dict()))
        body, target, parotid = (
            mask.values > 0
            for mask in (self.anatomy.body, self.anatomy.masks["PTV70"], self.anatomy.masks["Parotid_R"])
        )
        spared = known.BODY_GY / preference.oar_weights.get("Parotid_R", 1.0)
        dose = np.where(target, known.TARGET_GY, np.where(parotid, spared, known.BODY_GY))
        return Estimate(np.where(body, dose, 0.0).astype(np.float32))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A patient whose PTV56 is not there: no dose is too low for a target then."""
    folder = tmp_path_factory.mktemp("data") / "validation"
    folder.mkdir()
    labels = openkbp_patients.arrays()["labels"] & np.uint16(~(1 << openkbp_patients.BITS["PTV56"]) & 0xFFFF)
    openkbp_patients.write_packed(folder, "pt_201", labels=labels)
    return folder.parent


@pytest.fixture(scope="module")
def library(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = data / "validation" / "pt_201.npz"
    patient = KnownPatient(source, "validation", {5: (REFERENCE, SPARED, HALF)})
    return known.write_library(tmp_path_factory.mktemp("library"), [patient])


SLIDERS = {"oar_weights": {"Parotid_R": (0.5, 1.25), "Parotid_L": (0.5, 1.25)}}


def test_a_plan_is_asked_for_by_its_label_and_held_against_the_prediction_without_a_wish(
    data: Path, library: Path
) -> None:
    asked: list[tuple[int, dict[str, float]]] = []
    predictor = CheckedPredictor(card(**SLIDERS), "0" * 64, Even(asked))
    settings = ("reference", SPARED.name, HALF.name)
    result = evaluate_on_library(predictor, data, open_library(library), settings=settings)
    # the beams of the plan, and what the card knows of: neither the homogeneity nor the cord
    assert asked == [
        (5, {}),
        (5, {"oar_weight.Parotid_R": pytest.approx(1.25), "oar_weight.Parotid_L": 1.0}),
        (5, {"oar_weight.Parotid_R": 1.25, "oar_weight.Parotid_L": 1.0}),
    ]
    reference, spared, half = result.plans
    assert [plan.setting for plan in result.plans] == list(settings)
    assert (reference.held, spared.held, half.held) == (
        (), ("hi", "oar_weight.SpinalCord"), ("hi", "oar_weight.Parotid_R", "oar_weight.SpinalCord"),
    )  # fmt: skip
    mean = "RightParotid mean"  # coarse dose voxels blur the parotid's edge
    found = [(plan.asked.criteria_error_gy[mean], plan.unasked.criteria_error_gy[mean]) for plan in result.plans]
    np.testing.assert_allclose(found, [(0.0, 0.0), (0.0, 6.0), (9.0, 15.0)], atol=1.6)
    assert reference.asked == reference.unasked


@dataclass(frozen=True)
class WrongBeyond(Even):
    """The known dose, and 20 Gy more towards the left of a plane, ``x`` in mm."""

    x_mm: float = 0.0

    def prepare(self, anatomy: Anatomy) -> EvenDose:
        return WrongBeyondDose(anatomy, self.asked, self.x_mm)


@dataclass(frozen=True, eq=False)
class WrongBeyondDose(EvenDose):
    x_mm: float

    def estimate(self, preference: Preference) -> Estimate:
        dose, grid = super().estimate(preference).dose_gy, self.anatomy.grid
        x = grid.positions_mm(np.argwhere(np.ones(grid.shape)).astype(np.float64))[:, 0].reshape(grid.shape)
        return Estimate(np.where((x > self.x_mm) & (dose > 0), dose + 20.0, dose).astype(np.float32))


def test_where_the_engine_computes_no_dose_none_is_compared(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = data / "validation" / "pt_201.npz"
    whole = known.dose_grid(source)
    slices, rows, columns = whole.shape
    half = Grid((slices, rows, columns // 2), whole.affine, whole.frame_of_reference_uid)
    monkeypatch.setattr(known, "dose_grid", lambda _: half)
    library = known.write_library(tmp_path / "library", [KnownPatient(source, "validation", {5: (REFERENCE,)})])
    edge_mm = AlignedAxes.of(half).axes[2].edges_mm[-1]
    predictor = CheckedPredictor(card(**SLIDERS), "0" * 64, WrongBeyond([], float(edge_mm)))
    (found,) = evaluate_on_library(predictor, data, open_library(library)).plans
    assert found.asked.dose_score_gy < 1.0
    assert "RightParotid mean" in found.asked.criteria_error_gy
    assert "LeftParotid mean" not in found.asked.criteria_error_gy


def test_scores_are_means_over_plans_of_a_setting(data: Path, library: Path) -> None:
    predictor = CheckedPredictor(card(**SLIDERS), "0" * 64, Even([]))
    result = evaluate_on_library(predictor, data, open_library(library), settings=("reference", SPARED.name))
    reference, spared = result.by_setting()
    assert (reference.setting, reference.n, spared.n, result.patients) == ("reference", 1, 1, 1)
    assert reference.dose_score_gy == reference.unasked_dose_score_gy
    (plan,) = (plan for plan in result.plans if plan.setting == SPARED.name)
    assert spared.dvh_score_gy == pytest.approx(np.mean(np.abs(list(plan.asked.criteria_error_gy.values()))))
    assert spared.unasked_dvh_score_gy - spared.dvh_score_gy > 0.4  # mean and near-maximum of one organ of nine
    assert spared.unasked_dose_score_gy == spared.dose_score_gy  # it lies where OpenKBP counts no dose
    content = result.as_dict()
    assert content["recipe_sha256"] == open_library(library).recipe.sha256
    assert content["trained_for"] == "no planning system named; see its training"


def test_a_library_without_such_plans_and_one_of_other_files_are_refused(
    data: Path, library: Path, tmp_path: Path
) -> None:
    predictor = CheckedPredictor(CARD, "0" * 64, Even([]))
    for options in ({"set_name": "train"}, {"settings": ("homogeneity",)}):
        with pytest.raises(ModelRefusal) as refused:
            evaluate_on_library(predictor, data, open_library(library), **options)  # type: ignore[arg-type]
        assert refused.value.code == "library-no-plans"
    # asked for by a slip of the hand, it must not be missing from the table without a word
    with pytest.raises(ModelRefusal, match="'sparring'") as refused:
        evaluate_on_library(predictor, data, open_library(library), settings=("reference", "sparring"))
    assert refused.value.code == "library-no-plans"
    (tmp_path / "validation").mkdir()
    openkbp_patients.write_packed(tmp_path / "validation", "pt_201")
    with pytest.raises(ModelRefusal) as refused:
        evaluate_on_library(predictor, tmp_path, open_library(library))
    assert refused.value.code == "library-source"
    assert refused.value.message.startswith(
        "The data has other files of patient pt_201 than those that the library was"
    )
    (tmp_path / "validation" / "pt_201.npz").rename(tmp_path / "validation" / "pt_299.npz")
    with pytest.raises(ModelRefusal) as refused:
        evaluate_on_library(predictor, tmp_path, open_library(library))
    assert refused.value.code == "library-source"
    assert refused.value.message == (
        "The data has no patient pt_201, of whom the library has plans. Name the data that the library was built from."
    )
