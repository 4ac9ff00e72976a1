from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bridge.workflow.library.build import LibraryRun
from tests.workflow.library.small import OPTIONS, PLANS, Counted, build, write_patient


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openkbp")
    write_patient(folder / "train")
    return folder


@pytest.fixture(scope="session")
def built(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counted]:
    library, influence_of = tmp_path_factory.mktemp("built") / "library", Counted()
    assert build(data, library, OPTIONS, influence_of) == LibraryRun(1, len(PLANS), ())
    return library, influence_of


@pytest.fixture
def copied(built: tuple[Path, Counted], tmp_path: Path) -> Path:
    """The library, to do things to."""
    return Path(shutil.copytree(built[0], tmp_path / "library"))
