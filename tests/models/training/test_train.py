"""Both stages of training by steps: the same seed the same weights, resumed where they stopped, and learning."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bridge.rt.errors import ModelRefusal
from models.fdp.channels import CHANNELS, CT_CHANNEL
from models.fdp.vqvae import VqVae
from models.training import fdp
from models.training.dataset import Augmentation, Patient, Sample
from models.training.export import export_fdp, network_of
from models.training.fdp import train_fdp
from models.training.losses import image_loss
from models.training.optimizer import Optimizers
from models.training.run import load_checkpoint
from models.training.vqvae import train_vqvae
from models.training.wish import Wish
from models.training.wishes import wish_loss
from tests.models.training import small
from tests.models.training.small import stage1, stage2, trained

pytestmark = [
    pytest.mark.usefixtures("small_networks"),
    pytest.mark.filterwarnings(small.NO_CUDA),
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
]
CPU = torch.device("cpu")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_stage_one_with_the_same_seed_gives_the_same_weights_and_with_another_seed_others(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = small.Steps(monkeypatch)
    paths = [
        train_vqvae(patients, trained(tmp_path, str(number)), stage1(4, seed=seed, adversarial_from=0.2))
        for number, seed in enumerate((1, 1, 2))
    ]
    assert steps.taken == 3 * 4
    one, two, other = map(small.weights, paths)
    assert same(one, two)
    assert not same(one, other)
    assert load_checkpoint(paths[0], CPU, "vqvae")["step"] == 4


def test_stage_one_resumes_where_it_stopped(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = small.Steps(monkeypatch)
    path = train_vqvae(patients, tmp_path, stage1(3))
    before = load_checkpoint(path, CPU, "vqvae")
    train_vqvae(patients, tmp_path, stage1(3), resume=True)  # the budget is spent
    assert same(small.weights(path), before["network"])
    train_vqvae(patients, tmp_path, stage1(5), resume=True)
    after = load_checkpoint(path, CPU, "vqvae")
    assert (before["step"], after["step"], steps.taken) == (3, 5, 5)
    assert after["spent_s"] == pytest.approx(5 * steps.SECONDS)
    assert not same(after["network"], before["network"])
    assert [row["step"] for row in rows_of(tmp_path / "vqvae.csv")] == ["1", "2", "3", "4", "5"]
    assert steps.progress[3] == pytest.approx(3 / 4.5)  # of the new budget


def test_stage_two_with_the_same_seed_gives_the_same_weights(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = small.Steps(monkeypatch)
    augmentation = Augmentation(rotate=0.5)
    paths = [
        train_fdp(patients, trained(tmp_path, str(number)), stage2(10, seed=seed, augmentation=augmentation))
        for number, seed in enumerate((1, 1, 2))
    ]
    assert steps.taken == 3 * 10
    one, two, other = map(small.weights, paths)
    assert same(one, two)
    assert not same(one, other)
    assert all(bool(torch.isfinite(value).all()) for value in one.values())


def test_a_training_without_memory_ships_the_plain_mean_of_all_steps_over_its_resumptions(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    seen = []
    for steps in (1, 2, 3):
        path = train_fdp(patients, tmp_path, stage2(steps, memory=None), resume=steps > 1)
        content = load_checkpoint(path, CPU, "fdp")
        seen.append(content["network"])
    assert not same(seen[0], seen[2])
    for name, shipped in content["averaged"].items():
        mean = torch.stack([weights[name] for weights in seen]).mean(dim=0)
        torch.testing.assert_close(shipped, mean, atol=1e-6, rtol=1e-5)


def test_a_wish_is_held_against_what_the_same_network_says_of_the_same_boxes_without_it(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    seen = []

    def recorded(dose: Tensor, neutral: Tensor, sample: Sample, wishes: list[Wish]) -> dict[str, Tensor]:
        # what a wish spreads from the first step on is the highest target
        beside = sample.channels[:, [CHANNELS.index("target_high")]] < 0.5
        seen.append((dose.detach(), neutral, beside))
        return wish_loss(dose, neutral, sample, wishes)

    monkeypatch.setattr(fdp, "wish_loss", recorded)
    # the condition's layers start at zero and hardly learn: with and without a wish the network says the same
    augmentation = Augmentation(mirror=0.5, ct_dropout=0.5, rotate=0.5)
    train_fdp(patients, tmp_path, stage2(12, rate=1e-12, wishes_from=0.0, augmentation=augmentation))
    assert len(seen) >= 2
    for dose, neutral, beside in seen:
        assert not neutral.requires_grad
        assert float(dose.std()) > 0.0
        torch.testing.assert_close(dose[beside], neutral[beside], atol=1e-6, rtol=0)


def test_stage_two_resumes_where_it_stopped(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = small.Steps(monkeypatch)
    said: list[tuple[float, str]] = []
    path = train_fdp(patients, tmp_path, stage2(3), progress=lambda part, text: said.append((part, text)))
    before = load_checkpoint(path, CPU, "fdp")
    train_fdp(patients, tmp_path, stage2(5), resume=True)
    after = load_checkpoint(path, CPU, "fdp")
    assert (before["step"], after["step"], steps.taken) == (3, 5, 5)
    assert [row["step"] for row in rows_of(tmp_path / "fdp.csv")] == ["1", "2", "3", "4", "5"]
    assert [text.split(",")[0] for _, text in said] == ["step 1", "step 2", "step 3"]
    assert [part for part, _ in said] == pytest.approx([0.0, 0.4, 0.8])
    # the optimizer went on: its own count of steps is that of the training
    _, adam = after["optimizer"]
    counts = {float(state["step"]) for state in adam["state"].values()}
    assert max(counts) == 5.0


def test_stage_two_starts_with_the_averaged_decoder_of_stage_one(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    checkpoint = train_vqvae(patients, tmp_path, stage1(3))
    monkeypatch.setattr(Optimizers, "step", lambda self: None)  # nothing is learned
    small.Steps(monkeypatch)
    path = train_fdp(patients, tmp_path, stage2(2, stage1=checkpoint))
    first = VqVae(small.NETWORK).eval()
    first.load_state_dict(small.weights(checkpoint, "averaged"))
    second = network_of(path)
    assert same(dict(second.proposer.decoder.state_dict()), dict(first.decoder.state_dict()))
    latent, style = torch.randn(1, 16, 4, 4, 6), torch.randn(1, 8)
    inside = (torch.rand(1, 1, 8, 8, 12) > 0.3).float()
    with torch.no_grad():
        dose, _ = second.proposer.decoder(latent, inside, style, torch.randn(1, 8, 8, 8, 12))
        assert torch.equal(dose, first.decoder(latent, inside, style)[0])
    assert all(row["latent"] for row in rows_of(tmp_path / "fdp.csv")[:1])


def test_stage_two_can_start_from_an_earlier_one(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    earlier = train_fdp(patients, trained(tmp_path, "earlier"), stage2(2))
    monkeypatch.setattr(Optimizers, "step", lambda self: None)
    later = train_fdp(patients, trained(tmp_path, "later"), stage2(1, start=earlier))
    assert same(small.weights(later), small.weights(earlier, "averaged"))


def test_stage_two_can_start_from_a_models_folder(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ships holds all that a clinic needs to go on with plans of its own."""
    small.Steps(monkeypatch)
    earlier = train_fdp(patients, trained(tmp_path, "earlier"), stage2(2))
    folder = export_fdp(earlier, tmp_path, "mine", patients[:1])
    monkeypatch.setattr(Optimizers, "step", lambda self: None)
    later = train_fdp(patients, trained(tmp_path, "later"), stage2(1, start=folder))
    assert same(small.weights(later), small.weights(earlier, "averaged"))
    other = replace(small.NETWORK, masked=not small.NETWORK.masked)
    with pytest.raises(ModelRefusal) as refused:
        train_fdp(patients, trained(tmp_path, "other"), stage2(1, start=folder, network=other))
    assert refused.value.code == "checkpoint-network"


def test_losses_join_and_leave_when_the_settings_say(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    checkpoint = train_vqvae(patients, tmp_path, stage1(2))
    steps = small.Steps(monkeypatch)
    train_fdp(patients, tmp_path, stage2(20, stage1=checkpoint, dvh_from=0.3, wishes_from=0.5, whole_from=2.0))
    rows = rows_of(tmp_path / "fdp.csv")
    kinds = set()
    for row, done in zip(rows, steps.progress, strict=True):
        wish = bool(row["organs_gy"])
        kinds.add((wish, done >= 0.5))
        assert bool(row["latent"]) == (done < 0.3)
        assert bool(row["image_gy"]) != wish
        assert bool(row["curve_gy"]) == (done >= 0.3 and not wish)
        assert bool(row["adversary"]) == (done >= 0.5)
    assert kinds == {(False, False), (False, True), (True, True)}


def test_the_last_steps_take_whole_patients_and_count_every_voxel_of_the_dose_alike(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = small.Steps(monkeypatch)
    seen: list[tuple[tuple[int, ...], float]] = []

    def spy(dose: Tensor, sample: Sample, roi_weight: float) -> Tensor:
        seen.append((tuple(sample.dose.shape), roi_weight))
        return image_loss(dose, sample, roi_weight)

    monkeypatch.setattr(fdp, "image_loss", spy)
    settings = stage2(10, batch=2, box=(8, 8, 8), whole_from=0.6, dvh_from=2.0, wishes_from=2.0)
    train_fdp(patients, tmp_path, settings)
    small_boxes, whole = ((2, 1, 8, 8, 8), 0.5), ((1, 1, *small.BOX), 0.0)
    assert seen == [whole if done >= 0.6 else small_boxes for done in steps.progress]
    assert [bool(row["curve_gy"]) for row in rows_of(tmp_path / "fdp.csv")] == [one == whole for one in seen]


def test_every_patient_comes_once_before_any_comes_twice(patients: list[Patient]) -> None:
    training = fdp._Training(patients, stage2(1, batch=2), fdp.place())
    rng = np.random.default_rng(0)
    drawn = [index for _ in range(6) for index in training.draw(rng, whole=False).patients]
    assert [sorted(drawn[i : i + 3]) for i in range(0, 12, 3)] == [[0, 1, 2]] * 4


def test_channels_left_out_are_zeros_in_every_box(patients: list[Patient]) -> None:
    without = (CT_CHANNEL, CHANNELS.index("plate"))
    training = fdp._Training(patients, stage2(1, batch=2, without=without), fdp.place())
    sample = training.draw(np.random.default_rng(0), whole=False)
    zero = [number for number in range(len(CHANNELS)) if not sample.channels[:, number].any()]
    assert set(without) <= set(zero)
    complete = fdp._Training(patients, stage2(1, batch=2, augmentation=Augmentation(ct_dropout=0.0)), fdp.place())
    seen = complete.draw(np.random.default_rng(0), whole=False)
    assert all(bool(seen.channels[:, number].any()) for number in without)


def test_a_training_without_a_channel_never_hears_of_it(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    without = (CHANNELS.index("plate"), CHANNELS.index("ct"))
    rng = np.random.default_rng(0)
    changed = []
    for patient in patients:
        channels = patient.channels.copy()
        channels[list(without)] = rng.uniform(0.0, 1.0, channels[list(without)].shape)
        changed.append(Patient(patient.id, channels, patient.dose, patient.regions, patient.highest_gy))
    settings = stage2(8, without=without, wishes_from=0.3)
    one = train_fdp(patients, trained(tmp_path, "one"), settings)
    two = train_fdp(changed, trained(tmp_path, "two"), settings)
    assert same(small.weights(one), small.weights(two))
    assert load_checkpoint(one, CPU, "fdp")["without"] == list(without)


def test_a_network_learns_one_patient_by_heart(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    settings = stage2(
        120, rate=2e-2, augmentation=Augmentation(0.0, 0.0), dvh_from=0.5, wishes_from=2.0, adversarial=0.0
    )
    train_fdp(patients[:1], tmp_path, settings)
    image = [float(row["image_gy"]) for row in rows_of(tmp_path / "fdp.csv")]
    assert np.mean(image[-5:]) < 0.2 * np.mean(image[:3])


def test_the_codes_of_stage_one_learn_doses(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.Steps(monkeypatch)
    train_vqvae(patients[:1], tmp_path, stage1(60, rate=5e-3, adversarial=0.0))
    error = [float(row["reconstruction_gy"]) for row in rows_of(tmp_path / "vqvae.csv")]
    assert np.mean(error[-5:]) < 0.5 * np.mean(error[:3])


def test_stage_two_learns_from_boxes_smaller_than_those_of_a_prediction(
    tmp_path: Path, patients: list[Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = small.Steps(monkeypatch)
    settings = stage2(12, box=(16, 16, 16), wishes_from=0.3, augmentation=Augmentation(rotate=0.5))
    assert fdp._Training(patients, settings, fdp.place()).draw(np.random.default_rng(0), whole=False).dose.shape[
        2:
    ] == (16, 16, 16)
    path = train_fdp(patients, tmp_path, settings)
    assert steps.taken == 12
    rows = rows_of(tmp_path / "fdp.csv")
    assert {bool(row["organs_gy"]) for row in rows} == {False, True}  # wishes too
    assert all(bool(torch.isfinite(value).all()) for value in small.weights(path).values())
