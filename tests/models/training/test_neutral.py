"""Neutral predictions of whole patients, and the wishes that hindsight tells by them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.fdp.channels import CHANNELS, ORGANS
from models.training.dataset import ROIS, Patient
from models.training.neutral import Neutral, predict_patient
from models.training.wish import NO_WISH
from tests.models.training import small

CPU = torch.device("cpu")
LEVEL, CT = CHANNELS.index("level"), CHANNELS.index("ct")
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
    dose, spread = predict_patient(network, patient, replace(NO_WISH, hi=0.25), CPU)
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
    found.make(network or Copy())
    return found


def test_neutral_predictions_are_made_once() -> None:
    network = Copy()
    found = made([random_level()], network)
    found.make(network)
    assert len(network.asked) == 1


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
