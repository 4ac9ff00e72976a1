"""Doses that Stage I learns from beside the plans: blends and fields, each with its body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.fdp.channels import CHANNELS
from models.training.dataset import Patient
from models.training.synthetic import random_doses
from tests.models.training import small


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small.shrink(monkeypatch)


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [small.patient(seed) for seed in (1, 2, 3)]


def test_doses_for_stage_one_are_plans_blends_and_fields_in_plausible_ranges(patients: list[Patient]) -> None:
    doses, bodies, real = random_doses(patients, 200, np.random.default_rng(0))
    assert doses.shape == bodies.shape == (200, 1, *small.BOX)
    assert 0.4 < float(real.float().mean()) < 0.6
    assert bool(torch.isfinite(doses).all())
    assert float(doses.min()) >= -0.05  # noise of a synthetic plan
    assert float(doses.max()) <= 1.3
    # a plan as it was is a part of a patient's dose, straight or mirrored
    plan = doses[int(real.nonzero()[0]), 0].numpy()
    found = False
    for patient in patients:
        for values in (plan, plan[:, :, ::-1]):
            windows = np.lib.stride_tricks.sliding_window_view(patient.dose.astype(np.float32), small.BOX)
            corners = np.argwhere(windows[..., 0, 0, 0] == values[0, 0, 0])
            found |= any(np.array_equal(windows[tuple(corner)], values) for corner in corners)
    assert found
    again, again_bodies, _ = random_doses(patients, 200, np.random.default_rng(0))
    assert torch.equal(doses, again)
    assert torch.equal(bodies, again_bodies)


def with_body(patient: Patient, dose: np.ndarray, body: np.ndarray) -> Patient:
    channels = patient.channels.copy()
    channels[CHANNELS.index("body")] = body
    return replace(patient, channels=channels, dose=dose.astype(np.float16))


def test_the_body_of_a_dose_is_cut_and_mirrored_like_it(patients: list[Patient]) -> None:
    drawn = [with_body(patient, patient.dose, patient.dose > 0.375) for patient in patients]
    doses, bodies, real = random_doses(drawn, 60, np.random.default_rng(0))
    assert torch.equal(bodies[real], (doses[real] > 0.375).float())


def test_a_blend_of_two_doses_has_both_bodies(patients: list[Patient]) -> None:
    shape = patients[0].dose.shape
    nobody, somebody = (with_body(patients[0], np.full(shape, value), np.full(shape, value)) for value in (0.0, 1.0))
    doses, bodies, _ = random_doses([nobody, somebody], 100, np.random.default_rng(0))
    even = doses.flatten(1).std(dim=1) == 0  # all but fields
    level, body = doses[even].flatten(1)[:, 0], bodies[even].flatten(1)
    assert int(((level > 0.15) & (level < 0.85)).sum()) >= 5
    assert torch.equal(body, (level[:, None] > 0).float().expand_as(body))
