from __future__ import annotations

import random
from pathlib import Path

import pytest

from bridge.dicom.headers import read_header
from bridge.dicom.instances import read_instance
from bridge.rt.errors import DicomRefusal
from tests.phantom import write_plan_for, write_small_phantom


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("fuzz")
    write_plan_for(write_small_phantom(folder), folder / "RP.dcm", {2: 60.0, 3: 50.0})
    return (folder / "RP.dcm").read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_random_damage_is_read_or_refused_but_never_crashes(tmp_path: Path, plan: bytes, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    path = tmp_path / "damaged.dcm"
    outcomes = set()
    for _ in range(60):
        damaged = bytearray(plan)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(132, len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        for read in (read_header, read_instance):
            try:
                read(path)
                outcomes.add("read")
            except DicomRefusal as error:
                outcomes.add(error.code)
    assert "encoding-invalid" in outcomes
    assert "read" in outcomes
