"""Neutral predictions of whole patients, cut like the boxes they are held against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.fdp.channels import CHANNELS, ORGANS
from models.fdp.condition import CONDITION_SIZE
from models.training import neutral
from models.training.dataset import ROIS, Augmentation, Patient, sample_box
from models.training.neutral import Neutral, predict_patient
from models.training.wishes import wish_loss
from tests.models.training import small

CPU = torch.device("cpu")
LEVEL, CT = CHANNELS.index("level"), CHANNELS.index("ct")
NO_WISH = torch.zeros(1, CONDITION_SIZE)
COVERED = (slice(4, -4), slice(4, -4), slice(4, -4))
"""What the box in the middle covers of a patient who is no longer than it."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small.shrink(monkeypatch)


class Copy(nn.Module):
    """A network that proposes one of its channels, and half of it as the scale."""

    def __init__(self, channel: int = LEVEL) -> None:
        super().__init__()
        self.channel = channel
        self.asked: list[tuple[int, ...]] = []

    def forward(self, channels: Tensor, condition: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        self.asked.append(tuple(channels.shape))
        dose = channels[:, self.channel : self.channel + 1] + condition[:, :1, None, None, None]
        return dose, 0.5 * dose + 0.001, channels[:, :1]


def random_level(length: int = 24) -> Patient:
    patient = small.patient(length=length)
    channels = patient.channels.copy()
    channels[LEVEL] = np.random.default_rng(0).uniform(0.2, 1.0, channels[LEVEL].shape)
    return replace(patient, channels=channels)


def test_a_patient_no_longer_than_a_box_is_predicted_in_one_box_in_the_middle() -> None:
    patient, network = random_level(), Copy()
    dose, spread = predict_patient(network, patient, NO_WISH + 0.25, CPU)
    assert network.asked == [(1, len(CHANNELS), *small.BOX)]
    expected = patient.channels[LEVEL].astype(np.float32) + 0.25
    np.testing.assert_allclose(dose[COVERED].numpy(), expected[COVERED], rtol=1e-6)
    np.testing.assert_allclose(spread[COVERED].numpy(), 0.5 * expected[COVERED] + 0.001, rtol=1e-6)


@pytest.mark.parametrize("length", [25, 30, 40, 61])
def test_boxes_cover_a_longer_patient_from_end_to_end_and_agree_where_they_overlap(length: int) -> None:
    patient, network = random_level(length), Copy()
    dose, _ = predict_patient(network, patient, NO_WISH, CPU)
    assert dose.shape == patient.dose.shape
    np.testing.assert_allclose(
        dose[:, 4:-4, 4:-4].numpy(), patient.channels[LEVEL].astype(np.float32)[:, 4:-4, 4:-4], rtol=1e-6
    )
    assert len(network.asked) == 1 + -(-(length - 16) // 8)


def test_channels_left_out_are_zeros_to_the_network_and_stay_in_the_patient() -> None:
    patient = random_level()
    before = patient.channels.copy()
    dose, _ = predict_patient(Copy(), patient, NO_WISH, CPU, without=(LEVEL, CT))
    assert not dose.any()
    np.testing.assert_array_equal(patient.channels, before)


def made(patients: list[Patient], network: nn.Module | None = None) -> Neutral:
    found = Neutral(patients, CPU, ())
    found.make(network or Copy(), NO_WISH)
    return found


def test_neutral_doses_are_made_once() -> None:
    network = Copy()
    found = made([random_level()], network)
    found.make(network, NO_WISH)
    assert len(network.asked) == 1


@pytest.mark.parametrize("size", [small.BOX, (8, 16, 12)])
@pytest.mark.parametrize(("mirror", "rotate"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_neutral_boxes_are_cut_mirrored_and_turned_like_the_sample(
    mirror: float, rotate: float, size: tuple[int, int, int]
) -> None:
    patients = [small.patient(1, length=30), small.patient(2, length=30)]
    found = made(patients)
    sample = sample_box(patients, [1, 0, 1], np.random.default_rng(4), Augmentation(mirror, 0.0, rotate, 30.0), size)
    boxes = found.boxes(sample)
    assert boxes.shape == (3, 1, *size)
    # the network copied a channel, so the neutral dose must lie where that channel lies in the sample
    predicted = torch.isfinite(boxes)
    torch.testing.assert_close(boxes[predicted], sample.channels[:, LEVEL : LEVEL + 1][predicted])
    assert float(predicted.float().mean()) > 0.4


@pytest.mark.parametrize("seed", range(4))
def test_the_neutral_dose_of_a_whole_patient_is_cut_and_turned_like_him(seed: int) -> None:
    found = made([small.patient(1, length=30)])
    rng = np.random.default_rng(seed)
    sample = sample_box([small.patient(1, length=30)], [0], rng, Augmentation(0.5, 0.0, 1.0, 30.0), None)
    boxes = found.boxes(sample)
    assert boxes.shape == sample.dose.shape
    predicted = torch.isfinite(boxes)
    torch.testing.assert_close(boxes[predicted], sample.channels[:, LEVEL : LEVEL + 1][predicted])
    assert float(predicted.float().mean()) > 0.3


def test_what_was_not_predicted_is_held_against_nobody() -> None:
    """The margin around the middle box has no neutral dose: it is no dose of zero."""
    plain = small.patient()
    channels = plain.channels.copy()
    channels[LEVEL] = plain.dose
    patient = replace(plain, channels=channels)
    found = made([patient])
    rng = np.random.default_rng(0)
    shifted = 0
    for _ in range(10):
        sample = sample_box([patient], [0], rng, Augmentation(0.5, 0.0))
        shifted += sample.cuts[0].starts != (4, 4, 4)
        same = sample.channels[:, LEVEL : LEVEL + 1].clone().requires_grad_()
        wish = neutral.Wish(0.0, (0.0,) * len(ORGANS))
        losses = wish_loss(same, found.boxes(sample), sample, [wish])
        assert {name: float(value.detach()) for name, value in losses.items()} == pytest.approx(
            dict.fromkeys(losses, 0.0), abs=1e-4
        )
        torch.stack(list(losses.values())).sum().backward()
        assert same.grad is not None
        assert bool(torch.isfinite(same.grad).all())
    assert shifted > 5


def test_hindsight_compares_plan_and_prediction_on_the_same_voxels() -> None:
    patient = small.patient()
    channels = patient.channels.copy()
    channels[LEVEL] = patient.dose  # a network that knows the plan
    found = made([replace(patient, channels=channels)])
    wish = found.hindsight(0, mirrored=False)
    np.testing.assert_allclose([wish.hi, *wish.organs], 0.0, atol=5e-3)


def test_hindsight_in_the_mirror_swaps_the_parotids() -> None:
    patient = small.patient()
    channels = patient.channels.copy()
    level = patient.dose.astype(np.float32)
    for name, weight in (("Parotid_R", 1.25), ("Parotid_L", 1 / 1.25), ("SpinalCord", 1.25**1.5)):
        # the plan spares the right parotid more than the network would
        level[(patient.regions >> 1 + ROIS.index(name) & 1 > 0) & (patient.regions >> 8 == 0)] *= weight
    channels[LEVEL] = level
    found = made([replace(patient, channels=channels)])
    plain = dict(zip(ORGANS, found.hindsight(0, mirrored=False).organs, strict=True))
    seen = dict(zip(ORGANS, found.hindsight(0, mirrored=True).organs, strict=True))
    assert plain["Parotid_R"] == pytest.approx(1.0, abs=0.01)
    assert plain["Parotid_L"] == pytest.approx(-1.0, abs=0.01)
    assert plain["SpinalCord"] == pytest.approx(1.5, abs=0.01)
    other = {"Parotid_R": "Parotid_L", "Parotid_L": "Parotid_R"}
    assert seen == {name: plain[other.get(name, name)] for name in plain}
    assert found.hindsight(0, mirrored=True).hi == found.hindsight(0, mirrored=False).hi
