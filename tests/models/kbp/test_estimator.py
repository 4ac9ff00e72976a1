"""From plans to a model folder and back to the DVHs of a new patient, on anatomies of boxes."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge.rt.case import Anatomy
from bridge.rt.errors import ModelRefusal, StructureRefusal
from bridge.rt.volume import Dose
from models.card import seal
from models.geometric.model import GeometricModel
from models.geometric.parameters import GeometricParameters
from models.kbp.estimate import estimate_organ
from models.kbp.model import KbpEstimator
from models.kbp.regions import measure_organ, voxels_of
from models.kbp.training import Source, TrainingPlan, observe, train_kbp, write_influences, write_model
from models.kbp.words import feature_in_words
from models.preference import NEUTRAL
from models.registry import export_model, gives_dose, list_models, load_card, load_estimator, load_model
from tests.models.anatomies import box_anatomy

EXPECTED = GeometricParameters(
    near_weight=0.5, near_mm=15.0, far_mm=60.0, axial_stretch=1.0, axial_mm=7.0, scale=1.0, sparing={}
)
CROSS = (0.0, 90.0, 180.0, 270.0)
PLANS = 24
SPARED = 0.7


def anatomy(seed: int, **changes: object) -> Anatomy:
    """A target with an organ in front of it, nearer or further, thicker or thinner, and a rare one far away."""
    rng = np.random.default_rng(seed)
    far, thick = int(rng.integers(2, 7)), int(rng.integers(3, 8))
    organs = {"Larynx": (slice(6, 12), slice(17 - far - thick, 17 - far), slice(10, 20))}
    if seed % 2:
        organs["Lips"] = (slice(6, 12), slice(1, 4), slice(2, 6))
    made = box_anatomy(
        {"PTV": (60.0, (slice(4, 14), slice(17, 27), slice(9, 21)))}, (18, 30, 30), (4.0, 4.0, 4.0), organs,
        body=(slice(None),) * 3,
    )  # fmt: skip
    return replace(made, **({"gantry_angles_deg": CROSS} | changes))


def plan(seed: int) -> TrainingPlan:
    """The dose of a plan: the expected one, and 0.7 of it in the larynx."""
    case = anatomy(seed)
    dose = GeometricModel(EXPECTED).prepare(case).estimate(NEUTRAL).dose_gy.copy()
    dose[case.masks["Larynx"].values > 0] *= SPARED
    return TrainingPlan(f"plan {seed}", case, Dose(dose, case.grid))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    training = train_kbp((observe(plan(seed), EXPECTED) for seed in range(PLANS)), EXPECTED)
    assert training.too_few == {"Lips": PLANS // 2}
    assert training.levels_gy == (60.0, 60.0)
    write_model(folder / "kbp-boxes", training, Source("Boxes.", "none", "pytest"))
    write_influences(folder / "plans.csv", training.influences)
    return folder


@pytest.fixture(scope="module")
def estimator(zoo: Path) -> KbpEstimator:
    return load_estimator("kbp-boxes", zoo)


def test_the_dvhs_of_new_patients_are_foreseen(estimator: KbpEstimator) -> None:
    for seed in range(100, 106):
        new = plan(seed)
        band = estimator.estimate(new.anatomy).bands["Larynx"]
        achieved = observe(new, EXPECTED).organs["Larynx"].dose_gy
        assert np.abs(band.middle_gy - achieved).mean() < 1.0
        assert band.middle_gy.mean() == pytest.approx(achieved.mean(), abs=0.5)
        assert band.volume_cc == pytest.approx(new.anatomy.masks["Larynx"].volume_cc)


def test_what_serves_is_what_is_measured(estimator: KbpEstimator) -> None:
    case = anatomy(101)
    voxels = voxels_of(case, ["Larynx"], CROSS, EXPECTED)
    geometry = measure_organ(case, "Larynx", voxels)
    assert geometry is not None
    directly = estimate_organ("Larynx", estimator.parameters.organs["Larynx"], geometry)
    served = estimator.estimate(case)
    np.testing.assert_array_equal(served.bands["Larynx"].middle_gy, directly.middle_gy)
    assert (served.model_id, served.model_sha256) == ("kbp-boxes", estimator.sha256)


def test_the_card_says_how_many_plans_there_were_and_nothing_of_any(zoo: Path, estimator: KbpEstimator) -> None:
    assert f"Larynx {PLANS}" in estimator.card.training
    assert "NOT FOR CLINICAL USE" in estimator.card.text()
    assert all("plan " not in path.read_text() for path in (zoo / "kbp-boxes").glob("parameters.json"))
    assert not gives_dose(estimator.card)


def test_the_data_of_the_plots_has_every_plan_in_every_regression(zoo: Path, estimator: KbpEstimator) -> None:
    with (zoo / "plans.csv").open() as file:
        rows = list(csv.DictReader(file))
    model = estimator.parameters.organs["Larynx"].regions["in_field"]
    of_first = [row for row in rows if row["component"] == "1" and row["region"] == "in_field"]
    assert {row["plan"] for row in of_first} == {f"plan {seed}" for seed in range(PLANS)}
    assert {row["feature"] for row in of_first} == {model.scores[0].features[0]}


def test_findings_say_what_is_unusual(estimator: KbpEstimator) -> None:
    def codes(case: Anatomy) -> set[str]:
        return {finding.code for finding in estimator.estimate(case).findings}

    assert codes(anatomy(101)) == set()
    assert codes(anatomy(101, gantry_angles_deg=None)) == {"beams-assumed"}
    assert codes(anatomy(101, gantry_angles_deg=(10.0, 90.0, 180.0, 270.0))) == {"beams-outside-training"}
    assert codes(anatomy(101, gantry_angles_deg=(270.0, 180.0, 90.0, 360.0))) == set()
    assert codes(anatomy(101, gantry_angles_deg=(90.0, 90.0, 90.0, 90.0))) >= {"beams-outside-training"}


@pytest.mark.parametrize("position", ["FFS", "HFP", "HFDL"])
def test_beams_that_are_assumed_come_into_every_patient_as_in_training(estimator: KbpEstimator, position: str) -> None:
    """An organ before the left of the target is in the field of a supine patient's gantry 45, and in no other's."""
    one_field = replace(estimator, parameters=estimator.parameters.model_copy(update={"gantry_angles_deg": (45.0,)}))
    beside = box_anatomy(
        {"PTV": (60.0, (slice(4, 14), slice(17, 27), slice(9, 21)))}, (18, 30, 30), (4.0, 4.0, 4.0),
        {"Larynx": (slice(6, 12), slice(8, 12), slice(23, 27))}, body=(slice(None),) * 3,
    )  # fmt: skip
    supine = one_field.estimate(beside).bands["Larynx"]
    other = one_field.estimate(replace(beside, patient_position=position)).bands["Larynx"]
    np.testing.assert_array_equal(other.middle_gy, supine.middle_gy)


def test_a_region_that_no_training_plan_had_is_said_and_not_invented(estimator: KbpEstimator) -> None:
    case = anatomy(101)
    moved = box_anatomy(
        {"PTV": (60.0, (slice(4, 14), slice(17, 27), slice(9, 21)))}, (18, 30, 30), (4.0, 4.0, 4.0),
        {"Larynx": (slice(6, 12), slice(10, 20), slice(10, 20))}, body=(slice(None),) * 3,
    )  # fmt: skip
    found = estimator.estimate(replace(case, masks=moved.masks))
    assert dict(found.bands) == {}
    (finding,) = (f for f in found.findings if f.code == "kbp-region-unknown")
    assert "had a part of it inside targets (30.0 %)" in finding.message


@pytest.mark.parametrize("shipped", ["kbp-openkbp-v1", "kbp-hn-engine-v1"])
def test_everything_that_a_shipped_model_looks_at_has_a_name_in_words(shipped: str) -> None:
    organs = load_estimator(shipped).parameters.organs
    names = {name for organ in organs.values() for region in organ.regions.values() for name in region.features}
    assert names
    assert not [name for name in names if "_" in feature_in_words(name)]
    assert feature_in_words("log_highest_cc") == "volume of the highest target"
    assert feature_in_words("expected_1") == "expected dose by distance (component 1)"


def test_an_unusual_geometry_is_said_in_words(estimator: KbpEstimator) -> None:
    large = box_anatomy(
        {"PTV": (60.0, (slice(1, 17), slice(5, 27), slice(5, 27)))}, (18, 30, 30), (4.0, 4.0, 4.0),
        {"Larynx": (slice(6, 12), slice(1, 4), slice(8, 20))}, body=(slice(None),) * 3,
    )  # fmt: skip
    found = estimator.estimate(replace(anatomy(101), masks=large.masks))
    (finding,) = (f for f in found.findings if f.code == "kbp-extrapolated")
    assert finding.message == (
        "The geometry of 'Larynx' lies outside that of the training plans: expected dose by distance (component 1) of "
        "the part in the fields."
    )


def test_what_cannot_be_estimated_is_refused(estimator: KbpEstimator) -> None:
    case = anatomy(100)
    with pytest.raises(StructureRefusal) as refused:
        estimator.estimate(replace(case, masks={"PTV": case.masks["PTV"]}))
    assert refused.value.code == "kbp-no-organ"
    empty = replace(case.masks["PTV"], values=np.zeros(case.grid.shape, dtype=np.float32))
    with pytest.raises(StructureRefusal) as refused:
        estimator.estimate(replace(case, masks={**case.masks, "PTV": empty}))
    assert refused.value.code == "structure-empty"


def test_an_organ_outside_the_body_is_observed_as_such() -> None:
    case = plan(1)
    body = case.anatomy.body.values.copy()
    body[:, :5] = 0.0
    found = observe(
        replace(case, anatomy=replace(case.anatomy, body=replace(case.anatomy.body, values=body))), EXPECTED
    )
    assert (found.outside_body, set(found.organs)) == (("Lips",), {"Larynx"})


def test_plans_that_cannot_be_learned_from_are_refused() -> None:
    good = plan(1)
    other = box_anatomy({"PTV": (60.0, (slice(1, 2),) * 3)}, (18, 30, 30), (4.0, 4.0, 5.0))
    for bad, code in (
        (replace(good, anatomy=replace(good.anatomy, gantry_angles_deg=None)), "kbp-no-beams"),
        (replace(good, dose=Dose(good.dose.values, other.grid)), "kbp-grid"),
    ):
        with pytest.raises(ModelRefusal) as refused:
            observe(bad, EXPECTED)
        assert refused.value.code == code
    with pytest.raises(ModelRefusal, match="needs 20 plans; of 1 plans 1 have Larynx") as refused:
        train_kbp([observe(good, EXPECTED)], EXPECTED)
    assert refused.value.code == "kbp-too-few-plans"


def test_it_gives_no_dose_and_a_dose_model_gives_no_dvhs(zoo: Path) -> None:
    with pytest.raises(ModelRefusal) as refused:
        load_model("kbp-boxes", zoo)
    assert refused.value.code == "model-no-dose"
    with pytest.raises(ModelRefusal) as refused:
        load_estimator("geometric")
    assert refused.value.code == "model-kind"


def test_it_is_listed_shown_and_exported_as_any_model(zoo: Path, tmp_path: Path) -> None:
    assert [card.id for card in list_models(zoo)] == ["kbp-boxes"]
    assert load_card("kbp-boxes", zoo).kind == "kbp"
    export_model("kbp-boxes", tmp_path, zoo)
    assert load_estimator("kbp-boxes", tmp_path).sha256 == load_estimator("kbp-boxes", zoo).sha256


def test_a_folder_that_is_there_is_not_written_over(zoo: Path) -> None:
    training = train_kbp((observe(plan(seed), EXPECTED) for seed in range(20)), EXPECTED)
    with pytest.raises(ModelRefusal) as refused:
        write_model(zoo / "kbp-boxes", training, Source("Boxes.", "none", "pytest"))
    assert refused.value.code == "export-exists"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"format": 1', '"format": 2'),
        ('"sigma": ', '"sigma": -'),
        ('"low": ', '"low": NaN, "was": '),
        ('"plans": 24', '"plans": "many"'),
        ('"in_field"', '"somewhere"'),
        ("{", "["),
    ],
)
def test_parameters_that_cannot_be_used_are_refused(zoo: Path, tmp_path: Path, old: str, new: str) -> None:
    export_model("kbp-boxes", tmp_path, zoo)
    folder = tmp_path / "kbp-boxes"
    text = (folder / "parameters.json").read_text()
    assert old in text
    (folder / "parameters.json").write_text(text.replace(old, new))
    seal(folder)
    with pytest.raises(ModelRefusal) as refused:
        load_estimator("kbp-boxes", tmp_path)
    assert refused.value.code == "parameters-invalid"
