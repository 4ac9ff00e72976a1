"""The reference plans of a library as plans to learn from: their dose, their beams, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bridge.rt.errors import ModelRefusal
from models.kbp.engine_plans import observe_references
from models.kbp.training import ObservedPlan, built_in_expected_dose
from models.library.library import open_library
from tests.models import openkbp_patients
from tests.models.training import plan_libraries as known
from tests.models.training.plan_libraries import REFERENCE, SPARED, KnownPatient, KnownPlan

COLD = KnownPlan(flags=("cold",))
SIDED = KnownPlan(parotid_r=0.5)
"""A reference plan that spares the right parotid alone: sides that are taken for each other show."""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "train"
    folder.mkdir()
    for name in ("pt_1", "pt_2"):
        openkbp_patients.write_packed(folder, name)
    return folder.parent


def references(data: Path, library: Path, executor: Executor, set_name: str = "train") -> list[ObservedPlan]:
    return list(observe_references(data, open_library(library), set_name, built_in_expected_dose(), executor))


def test_an_organ_gets_the_dose_of_the_reference_plan_with_the_beams_of_the_plan(
    data: Path, executor: Executor, tmp_path: Path
) -> None:
    patients = [
        KnownPatient(data / "train" / "pt_1.npz", plans={9: (SPARED, SIDED)}),
        KnownPatient(data / "train" / "pt_2.npz", plans={5: (REFERENCE,)}),
    ]
    one, other = references(data, known.write_library(tmp_path / "library", patients), executor)
    assert (one.id, other.id) == ("pt_1", "pt_2")
    assert (one.gantry_deg, other.gantry_deg) == (known.gantry_deg(9), known.gantry_deg(5))
    # the middle of the curve: coarse dose voxels blur the edge
    found = {name: float(np.median(one.organs[name].dose_gy)) for name in ("Parotid_R", "Parotid_L")}
    assert found == pytest.approx({"Parotid_R": 0.5 * known.BODY_GY, "Parotid_L": known.BODY_GY}, abs=1.5)


def test_sets_of_beams_are_plans_of_their_own_and_cold_ones_are_left_out(
    data: Path, executor: Executor, tmp_path: Path
) -> None:
    patients = [
        KnownPatient(data / "train" / "pt_1.npz", plans={9: (REFERENCE,), 5: (REFERENCE,)}),
        KnownPatient(data / "train" / "pt_2.npz", plans={9: (COLD,)}),
    ]
    found = references(data, known.write_library(tmp_path / "library", patients), executor)
    assert [plan.id for plan in found] == ["pt_1, 9 beams", "pt_1, 5 beams"]


def test_a_set_without_patients_and_other_files_are_refused(data: Path, executor: Executor, tmp_path: Path) -> None:
    library = known.write_library(tmp_path / "library", [KnownPatient(data / "train" / "pt_1.npz")])
    with pytest.raises(ModelRefusal) as raised:
        references(data, library, executor, "validation")
    assert raised.value.code == "library-no-plans"
    elsewhere = tmp_path / "elsewhere" / "train"
    elsewhere.mkdir(parents=True)
    openkbp_patients.write_packed(elsewhere, "pt_1", dose=np.zeros_like(openkbp_patients.arrays()["dose"]))
    with pytest.raises(ModelRefusal) as raised:
        references(elsewhere.parent, library, executor)
    assert raised.value.code == "library-source"
