from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.workflow.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.in_folder(tmp_path / "data")
    yield store
    store.close()
