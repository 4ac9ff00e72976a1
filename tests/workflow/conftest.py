from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.workflow.store import Store
from tests.stores import new_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path / "data")
    yield store
    store.close()
