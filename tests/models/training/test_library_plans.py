"""Plans of a library made ready for training: known doses and wishes in place, and the wrong files refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bridge.rt.beams import towards_source
from bridge.rt.errors import ModelRefusal
from bridge.rt.grid import Grid
from models.fdp.axes import AlignedAxes
from models.fdp.channels import CHANNELS, ORGANS, PLATES
from models.library.engine_dose import EngineDoses
from models.library.library import open_library
from models.library.reach import reach_of
from models.openkbp.reader import read_patient
from models.training import prepare
from models.training.cut import Cut
from models.training.dataset import ROIS, Augmentation, Patient, grouped, sample_box
from models.training.library_plans import load_plans
from models.training.origin import library_origin
from models.training.plans import training_plans
from models.training.wish import NO_WISH
from tests.models import openkbp_patients
from tests.models.training import plan_libraries as known
from tests.models.training.plan_libraries import REFERENCE, SPARED, KnownPatient, KnownPlan, flagged

PLANS = {
    9: (REFERENCE, SPARED, flagged(SPARED, "drawn-01", "dominated"), flagged(SPARED, "drawn-02", "cold"),
        flagged(SPARED, "sparing", "hot")),
    5: (flagged(REFERENCE, "reference", "dominated"), SPARED),
    7: (flagged(REFERENCE, "reference", "cold"), SPARED),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "train"
    folder.mkdir()
    openkbp_patients.write_packed(folder, "pt_7")
    return folder.parent


@pytest.fixture(scope="module")
def library(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    patient = KnownPatient(data / "train" / "pt_7.npz", plans=PLANS)
    return known.write_library(tmp_path_factory.mktemp("library"), [patient])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plans")


@pytest.fixture(scope="module")
def plans(data: Path, library: Path, cache: Path) -> list[Patient]:
    return load_plans(data, open_library(library), "train", cache, workers=1)


def inside(plan: Patient, roi: str) -> np.ndarray:
    return (plan.regions >> 1 + ROIS.index(roi) & 1).astype(bool)


def test_plans_that_another_beats_and_cold_ones_are_left_out_and_all_of_a_cold_reference(plans: list[Patient]) -> None:
    """A reference plan that is beaten stays: the labels of its beams are relative to it."""
    assert [(plan.id, len(plan.gantry_deg)) for plan in plans] == [("pt_7", 9)] * 3 + [("pt_7", 5)] * 2
    assert grouped(plans) == [[0, 1, 2], [3, 4]]


def test_a_plan_carries_the_wish_that_sets_it_apart(plans: list[Patient]) -> None:
    """A right parotid at four fifths, and a homogeneity index 0.05 higher: one unit of each."""
    assert [plan.wish == NO_WISH for plan in plans] == [True, False, False, True, False]
    wish = plans[1].wish
    assert wish is not None
    wanted = [1.0 if organ == "Parotid_R" else 0.0 for organ in ORGANS]
    np.testing.assert_allclose(wish.numbers(), [1.0, *wanted], atol=1e-9)


def test_doses_lie_where_they_were_planned(plans: list[Patient]) -> None:
    reference, spared = plans[0], plans[1]
    levels = {"PTV70": (1.0, 1.0), "Parotid_R": (3 / 7, 0.8 * 3 / 7), "Parotid_L": (3 / 7, 3 / 7)}
    for roi, (usual, now) in levels.items():
        found = [float(np.median(plan.dose[inside(plan, roi)])) for plan in (reference, spared)]
        assert found == pytest.approx([usual, now], rel=1e-2), roi


def test_under_the_skin_a_dose_is_what_it_is_inside(data: Path, library: Path, plans: list[Patient]) -> None:
    """Interpolated with the air beside it, it loses half of its value there."""
    plan = plans[0]
    even = (plan.regions & 1).astype(bool) & ~inside(plan, "PTV70") & ~inside(plan, "Parotid_R")
    near = np.zeros(even.shape, dtype=bool)
    z, y, x = np.nonzero(inside(plan, "PTV70"))  # the spline rings around the jump at the target
    near[z.min() - 8 : z.max() + 9, y.min() - 8 : y.max() + 9, x.min() - 8 : x.max() + 9] = True
    np.testing.assert_allclose(plan.dose[even & ~near], 3 / 7, rtol=1e-2)
    assert not plan.dose[plan.channels[CHANNELS.index("body")] == 0].any()
    source = read_patient(data / "train" / "pt_7.npz").anatomy
    patient = open_library(library).patients[0]
    as_it_is = patient.plans[0].dose(to=source.grid).values[source.body.values > 0]
    assert as_it_is.min() < 0.5 * known.BODY_GY
    counted = EngineDoses(source.body, patient.grid)
    assert (patient.grid.spacing_mm, counted.grid.shape) == (
        (5.0, 5.0, 5.0),
        known.dose_grid(data / "train" / "pt_7.npz").shape,
    )


def test_the_loss_counts_in_the_body_and_structures_only_there(plans: list[Patient]) -> None:
    plan = plans[0]
    body = plan.channels[CHANNELS.index("body")] >= 0.5
    np.testing.assert_array_equal((plan.regions & 1).astype(bool), body)
    assert not plan.regions[~body].any()


def test_other_beams_are_other_plates_and_nothing_else(plans: list[Patient]) -> None:
    nine, five = plans[0], plans[3]
    unlike = [
        name for number, name in enumerate(CHANNELS) if not np.array_equal(nine.channels[number], five.channels[number])
    ]
    assert unlike == list(PLATES)
    assert plans[1].channels is nine.channels  # once for a patient and set of beams
    np.testing.assert_array_equal(nine.dose, five.dose)


@pytest.mark.parametrize("seed", range(4))
def test_the_parotid_that_is_wished_for_is_the_one_that_is_spared_on_either_side_of_the_mirror(
    plans: list[Patient], seed: int
) -> None:
    sample = sample_box(plans, [1], np.random.default_rng(seed), Augmentation(mirror=0.5, ct_dropout=0.0), None)
    wish = plans[1].wish
    assert wish is not None
    wanted = dict(zip(ORGANS, wish.seen(sample.cuts[0].mirrored).organs, strict=True))
    means = {
        organ: float(sample.dose[0, 0][sample.rois[0, ROIS.index(organ)]].mean())
        for organ in ("Parotid_R", "Parotid_L")
    }
    assert means["Parotid_R" if wanted["Parotid_R"] > 0.5 else "Parotid_L"] == pytest.approx(0.8 * 3 / 7, rel=0.02)
    assert sorted(wanted[organ] for organ in means) == pytest.approx([0.0, 1.0])
    assert max(means.values()) == pytest.approx(3 / 7, rel=0.02)


def test_both_sides_of_the_mirror_come_up(plans: list[Patient]) -> None:
    sides = {
        sample_box(plans, [1], np.random.default_rng(seed), Augmentation(mirror=0.5), None).cuts[0].mirrored
        for seed in range(4)
    }
    assert sides == {False, True}


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turned_deg", [0.0, 10.0, -10.0])
@pytest.mark.parametrize("gantry_deg", [0.0, 40.0, 200.0])
def test_beams_are_seen_as_the_patient_is(mirrored: bool, turned_deg: float, gantry_deg: float) -> None:
    """A spot where the beam comes from, mirrored and turned, lies where the beam comes from then."""
    y, x = np.meshgrid(np.arange(64) - 31.5, np.arange(64) - 31.5, indexing="ij")
    ux, uy = towards_source(gantry_deg, "HFS")
    spot = np.exp(-((x - 20 * ux) ** 2 + (y - 20 * uy) ** 2) / 18.0)[None, None].repeat(2, 1)
    cut = Cut((slice(0, 2), slice(0, 64), slice(0, 64)), mirrored, float(np.deg2rad(turned_deg)))
    seen = cut.of(spot)[0, 0].numpy()
    direction = np.array([(seen * x).sum(), (seen * y).sum()]) / seen.sum()
    (angle,) = cut.beams_deg([gantry_deg])
    np.testing.assert_allclose(direction / 20, towards_source(angle, "HFS"), atol=0.02)


def test_what_was_made_is_taken_from_the_cache(
    data: Path, library: Path, cache: Path, plans: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "ProcessPoolExecutor", None)  # nothing may be made
    again = load_plans(data, open_library(library), "train", cache)
    assert [plan.wish for plan in again] == [plan.wish for plan in plans]
    np.testing.assert_array_equal(again[1].dose, plans[1].dose)


def test_a_library_of_other_files_is_refused(library: Path, tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    openkbp_patients.write_packed(folder, "pt_8")
    for _ in range(2):
        with pytest.raises(ModelRefusal, match="pt_7") as refused:
            load_plans(tmp_path, open_library(library), "train", tmp_path / "cache")
        assert refused.value.code == "library-source"
        openkbp_patients.write_packed(folder, "pt_7", dose=openkbp_patients.arrays()["dose"] // 2)


def test_no_wish_is_read_from_a_manifest_that_says_another_thing_than_its_plans(
    data: Path, library: Path, tmp_path: Path
) -> None:
    """Labels are made of the measures in it, and no hash is kept of the manifest itself."""
    changed = Path(shutil.copytree(library, tmp_path / "library"))
    file = changed / "pt_7" / "patient.json"
    content = json.loads(file.read_text())
    organs = content["plans"][1]["record"]["measures"]["organs"]
    organs["Parotid_L"], organs["Parotid_R"] = organs["Parotid_R"], organs["Parotid_L"]
    file.write_text(json.dumps(content))
    with pytest.raises(ModelRefusal, match=r"patient\.json") as refused:
        load_plans(data, open_library(changed), "train", tmp_path / "cache", workers=1)
    assert refused.value.code == "library-file-changed"


def test_a_library_without_plans_of_the_set_is_refused(data: Path, library: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelRefusal) as refused:
        load_plans(data, open_library(library), "validation", tmp_path)
    assert refused.value.code == "library-no-plans"


def test_reach_is_what_plans_of_half_of_the_patients_reach(library: Path) -> None:
    reach = reach_of(open_library(library).patients)
    assert (reach.patients, reach.plans) == (1, 5)
    assert reach.hi == (0.05, 0.10)
    assert reach.hi_difference == (0.0, 0.05)
    assert reach.oar_weights == {"Parotid_L": (1.0, 1.0), "Parotid_R": (1.0, 1.25), "SpinalCord": (1.0, 1.0)}


def test_a_training_on_a_library_says_whose_plans_it_promises(library: Path) -> None:
    origin = library_origin(open_library(library))
    assert "the dose engine closed form, protocol head_and_neck" in origin.trained_for
    assert "5 plans of 1 training patients" in origin.training
    assert open_library(library).recipe.sha256 in origin.training
    assert [len(beams) for beams in origin.beams_deg] == [9, 5]
    assert (origin.hi_steps, origin.oar_weight) == ((0.0, 1.0), (1.0, 1.25))
    assert origin.weight_limits["Parotid_R"] == (1.0, 1.25)
    assert "Larynx" not in origin.oar_weights


def test_nothing_is_learned_from_whom_a_model_is_measured_by(tmp_path: Path) -> None:
    """Neither his plans, nor how far they go: a validation patient who goes farther than the training patient."""
    for folder, name in (("train", "pt_7"), ("validation", "pt_201")):
        (tmp_path / folder).mkdir()
        openkbp_patients.write_packed(tmp_path / folder, name)
    far = KnownPlan("sparing", parotid_r=0.2, hi=0.4)
    patients = [
        KnownPatient(tmp_path / "train" / "pt_7.npz", "train", {5: (REFERENCE, SPARED)}),
        KnownPatient(tmp_path / "validation" / "pt_201.npz", "validation", {9: (REFERENCE, far)}),
    ]
    library = known.write_library(tmp_path / "library", patients)
    found, origin = training_plans(tmp_path, library, tmp_path / "out")
    assert [plan.id for plan in found] == ["pt_7", "pt_7"]
    assert "2 plans of 1 training patients" in origin.training
    assert (origin.hi, origin.hi_steps, origin.oar_weight) == ((0.05, 0.10), (0.0, 1.0), (1.0, 1.25))
    assert [len(beams) for beams in origin.beams_deg] == [5]


def test_another_dose_of_a_plan_is_not_taken_from_the_cache(data: Path, tmp_path: Path) -> None:
    """A plan that was made again has its name and its wish, and need not have its dose."""
    doses = []
    for name, spared in (("one", 0.8), ("other", 0.4)):
        plan = KnownPlan("sparing", parotid_r=spared)
        patient = KnownPatient(data / "train" / "pt_7.npz", plans={9: (REFERENCE, plan)})
        library = open_library(known.write_library(tmp_path / name, [patient]))
        found = load_plans(data, library, "train", tmp_path / "cache", workers=1)[1]
        doses.append(float(np.median(found.dose[inside(found, "Parotid_R")])))
    assert doses == pytest.approx([0.8 * 3 / 7, 0.4 * 3 / 7], rel=0.1)


def test_no_dose_counts_beyond_the_dose_grid(data: Path, library: Path) -> None:
    source, whole = read_patient(data / "train" / "pt_7.npz").anatomy, open_library(library).patients[0].grid
    slices, rows, columns = whole.shape
    half = Grid((slices, rows, columns // 2), whole.affine, whole.frame_of_reference_uid)
    axes = AlignedAxes.of(source.grid).axes
    counted = EngineDoses(source.body, half).counted(axes)
    edge_mm = AlignedAxes.of(half).axes[2].edges_mm[-1]
    beyond = axes[2].centres_mm > edge_mm
    assert AlignedAxes.of(source.grid).to_patient(source.body.values)[..., beyond].any()
    assert not counted[..., beyond].any()
    np.testing.assert_array_equal(counted[..., ~beyond], EngineDoses(source.body, whole).counted(axes)[..., ~beyond])


def test_plans_with_and_without_labels_are_not_mixed(plans: list[Patient]) -> None:
    unlabelled = Patient("pt_9", plans[0].channels, plans[0].dose, plans[0].regions, 70.0)
    for mixed in ([*plans, unlabelled], plans[1:3], [unlabelled, unlabelled]):
        with pytest.raises(ValueError, match="reference plan"):
            grouped(mixed)
