"""Training on plans with labels: what a step shows, what it asks for, and what the exported model says of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.card import read_card
from models.fdp.channels import CHANNELS, ORGANS
from models.fdp.condition import beam_numbers
from models.fdp.parameters import FdpParameters
from models.training import export, fdp
from models.training.dataset import Patient
from models.training.export import export_fdp
from models.training.fdp import FdpSettings, train_fdp
from models.training.origin import Origin
from models.training.plans import calibration_plans
from models.training.vqvae import VqVaeSettings, train_vqvae
from models.training.wish import NO_WISH, Wish
from tests.models.training import small

pytestmark = [
    pytest.mark.filterwarnings(small.NO_CUDA),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
]
FIVE = (0.0, 72.0, 144.0, 216.0, 288.0)
RIGHT = Wish(0.5, tuple(1.0 if organ == "Parotid_R" else 0.0 for organ in ORGANS))
LEFT = Wish(0.5, tuple(1.0 if organ == "Parotid_L" else 0.0 for organ in ORGANS))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small.shrink(monkeypatch)


def labelled(seed: int = 1, beams: tuple[float, ...] = FIVE) -> list[Patient]:
    """A reference plan, one that spares the right parotid, and the reference plan again, hotter."""
    reference = replace(small.patient(seed), gantry_deg=beams, wish=NO_WISH)
    dose = reference.dose.copy()
    dose[small.BOXES["Parotid_R"]] *= np.float16(0.8)
    return [
        reference,
        replace(reference, dose=dose, wish=RIGHT),
        replace(reference, dose=(reference.dose * np.float16(1.02)), wish=replace(NO_WISH, hi=-0.5)),
    ]


def settings(steps: int, **changes: object) -> FdpSettings:
    return FdpSettings(
        small.Steps.minutes(steps), **{"network": small.NETWORK, "batch": 1, "box": small.BOX, **changes}
    )  # type: ignore[arg-type]


def training(plans: list[Patient], **changes: object) -> fdp._Training:
    return fdp._Training(plans, settings(1, **changes), fdp.place())


def test_a_patient_is_seen_with_the_reference_plan_as_often_as_the_settings_say() -> None:
    plans = [*labelled(1), *labelled(2), *labelled(1, beams=(0.0, 120.0, 240.0))]
    drawn = training(plans, reference_share=0.4, batch=3)
    rng = np.random.default_rng(0)
    seen = np.array([drawn.draw(rng, whole=False).patients for _ in range(100)])
    assert {tuple(sorted(row // 3)) for row in seen} == {(0, 1, 2)}  # each patient and set of beams once
    assert np.mean(seen % 3 == 0) == pytest.approx(0.4, abs=0.06)
    assert np.mean(seen % 3 == 1) == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_a_step_asks_for_what_its_plan_was_made_for_with_its_own_beams(progress: float) -> None:
    plans = labelled()
    one = training(plans, reference_share=0.0)
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(60):
        sample = one.draw(rng, whole=False)
        wishes, at_random = one.asked(sample, rng, progress)
        assert not at_random
        (row,) = one.condition(wishes, sample).tolist()
        if sample.patients == (1,):
            assert wishes == [LEFT if sample.cuts[0].mirrored else RIGHT]
            found.add(sample.cuts[0].mirrored)
        assert row[: 1 + len(ORGANS)] == pytest.approx(wishes[0].numbers())
        assert row[1 + len(ORGANS) :] == pytest.approx(beam_numbers(FIVE), abs=1e-6)
    assert found == {False, True}


def test_both_stages_learn_from_labelled_plans_and_make_no_predictions_for_hindsight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = small.Steps(monkeypatch)
    plans = [*labelled(1), *labelled(2)]
    stage1 = train_vqvae(plans, tmp_path, VqVaeSettings(small.Steps.minutes(2), small.NETWORK, batch=2))
    monkeypatch.setattr(fdp.Neutral, "make", None)  # nothing to be wise after
    path = train_fdp(plans, tmp_path, settings(4, stage1=stage1, wishes_from=0.3, whole_from=0.6))
    assert steps.taken == 2 + 4
    assert all(bool(torch.isfinite(value).all()) for value in small.weights(path).values())


def test_a_label_teaches_the_network_to_spare_the_organ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One patient with two plans that differ in one parotid: the error falls below what any one dose could have."""
    small.Steps(monkeypatch)
    plans = labelled()[:2]
    options = {"rate": 2e-2, "adversarial": 0.0, "dvh_from": 2.0, "whole_from": 2.0, "reference_share": 0.5}
    path = train_fdp(plans, tmp_path, settings(150, **options))
    network = export.network_of(path)
    box = (slice(None), *(slice(4, 4 + n) for n in small.BOX))
    channels = torch.from_numpy(plans[0].channels[box].astype(np.float32))[None]
    inside = channels[0, CHANNELS.index("Parotid_R")] > 0.5
    means = []
    for wish in (NO_WISH, RIGHT):
        condition = torch.tensor([[*wish.numbers(), *beam_numbers(FIVE)]], dtype=torch.float32)
        with torch.no_grad():
            means.append(float(network(channels, condition)[0][0, 0][inside].mean()))
    planned = [float(plan.dose[box[1:]][inside.numpy()].mean()) for plan in plans]
    assert means[1] / means[0] == pytest.approx(planned[1] / planned[0], abs=0.1)


ORIGIN = Origin(
    trained_for="an engine, a protocol",
    training="Six plans.",
    limits=("Few plans.",),
    option=" --library LIBRARY",
    beams_deg=(FIVE, (0.0, 120.0, 240.0)),
    hi=(0.04, 0.2),
    oar_weight=(0.9, 1.6),
    hi_steps=(-0.4, 2.0),
    oar_weights={"Parotid_R": (0.9, 1.6)},
    weight_limits={"Parotid_R": (0.9, 1.6)},
)


def test_what_is_exported_says_what_it_was_trained_for_and_how_far_its_plans_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    monkeypatch.setattr(export, "_to_onnx", lambda part, inputs, path, *names: path.write_bytes(b"a graph"))
    plans = labelled()
    path = train_fdp(plans, tmp_path, settings(1))
    folder = export_fdp(path, tmp_path / "zoo", "engine", calibration_plans(plans), ORIGIN)
    card, parameters = read_card(folder), FdpParameters.read(folder)
    assert "Trained for: an engine, a protocol" in card.text().splitlines()
    assert card.training_command.count("--data DIR --library LIBRARY") == 3
    assert card.preferences.names() == ("hi", "oar_weight", "oar_weight.Parotid_R")
    assert (card.preferences.hi, card.preferences.oar_weight) == ((0.04, 0.2), (0.9, 1.6))
    assert parameters.trained_beams_deg == ORIGIN.beams_deg
    assert parameters.hi_steps == (-0.4, 2.0)
    assert parameters.weight_limits == {"Parotid_R": (0.9, 1.6)}


def test_the_scale_of_the_error_is_calibrated_with_and_without_a_wish() -> None:
    plans = [plan for seed in range(11) for plan in labelled(seed)]
    assert [plan.wish == NO_WISH for plan in calibration_plans(plans)] == [True, False, True, False]
    alone = [small.patient(seed) for seed in range(11)]
    assert [plan.id for plan in calibration_plans(alone)] == ["pt_0", "pt_10"]


def test_a_training_starts_from_a_model_that_nobody_labelled_plans_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the public model to a clinic's library."""
    small.Steps(monkeypatch)
    (tmp_path / "public").mkdir()
    public = train_fdp([small.patient(1)], tmp_path / "public", settings(1))
    path = train_fdp(labelled(), tmp_path, settings(1, start=public))
    before = small.weights(public, "averaged")
    after = small.weights(path)
    assert max(float((after[name] - before[name]).abs().max()) for name in after) < 0.1
