from __future__ import annotations

import pytest

from models.training.dataset import Patient
from tests.models.training import small


@pytest.fixture
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of a few channels, which learn in seconds."""
    small.shrink(monkeypatch)


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [small.patient(seed) for seed in (1, 2, 3)]
