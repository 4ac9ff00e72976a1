"""Patients made for training: put into the frame with all in place, kept on disk, made anew when they change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from bridge.rt.errors import Refusal
from models.fdp.channels import CHANNELS, ORGANS
from models.training import prepare
from models.training.dataset import ROIS, Patient
from models.training.prepare import load_patients
from tests.models import openkbp_patients


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Patient]:
    """A folder with one patient, the cache, and what was made."""
    folder, cache = tmp_path_factory.mktemp("train"), tmp_path_factory.mktemp("cache")
    openkbp_patients.write_packed(folder, "pt_7")
    told: list[tuple[int, int]] = []
    made = load_patients(folder, cache, lambda done, of: told.append((done, of)), workers=1)
    assert told == [(1, 1)]
    return folder, cache, made[0]


def test_a_patient_is_put_into_the_frame_with_dose_and_structures_in_place(
    prepared: tuple[Path, Path, Patient],
) -> None:
    patient = prepared[2]
    nz, ny, nx = patient.dose.shape
    assert (patient.id, patient.highest_gy, ny, nx) == ("pt_7", 70.0, 80 + 8, 104 + 8)
    assert patient.channels.shape == (len(CHANNELS), nz, ny, nx)
    assert (patient.channels.dtype, patient.dose.dtype, patient.regions.dtype) == (np.float16, np.float16, np.uint16)

    def volume_cc(name: str) -> float:
        return float((patient.regions >> 1 + ROIS.index(name) & 1).sum()) * 0.048

    # boxes of the synthetic patient in voxels of 3.5 x 3 x 2.5 mm
    assert volume_cc("PTV70") == pytest.approx(20 * 40 * 20 * 0.02625, rel=0.06)
    assert volume_cc("Parotid_R") == pytest.approx(10 * 8 * 10 * 0.02625, rel=0.15)
    assert volume_cc("Brainstem") == 0.0
    inside = ndimage.binary_erosion((patient.regions >> 1 + ROIS.index("PTV70") & 1).astype(bool), iterations=2)
    np.testing.assert_allclose(patient.dose[inside], 1.0, atol=0.025)  # the spline rings a little
    for name in ORGANS:
        drawn = patient.channels[CHANNELS.index(name)] >= 0.5
        np.testing.assert_array_equal(drawn, (patient.regions >> 1 + ROIS.index(name) & 1).astype(bool))
    x_of = {
        name: np.argwhere(patient.channels[CHANNELS.index(name)] > 0.5)[:, 2].mean()
        for name in ("Parotid_R", "Parotid_L")
    }
    assert x_of["Parotid_R"] < nx / 2 < x_of["Parotid_L"]  # x grows to the patient's left


def test_what_was_made_is_taken_from_the_cache(
    prepared: tuple[Path, Path, Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, cache, first = prepared
    monkeypatch.setattr(prepare, "ProcessPoolExecutor", None)  # nothing may be made
    again = load_patients(folder, cache)
    assert [patient.id for patient in again] == ["pt_7"]
    np.testing.assert_array_equal(again[0].channels, first.channels)
    np.testing.assert_array_equal(again[0].regions, first.regions)


def test_another_patient_under_the_same_name_is_made_anew(tmp_path: Path) -> None:
    folder, cache = tmp_path / "train", tmp_path / "cache"
    folder.mkdir()
    openkbp_patients.write_packed(folder, "pt_7")
    (first,) = load_patients(folder, cache, workers=1)
    openkbp_patients.write_packed(folder, "pt_7", dose=openkbp_patients.arrays()["dose"] // 2)
    (second,) = load_patients(folder, cache, workers=1)
    assert float(second.dose.max()) == pytest.approx(float(first.dose.max()) / 2, rel=1e-2)


def test_a_patient_that_cannot_be_read_is_refused_and_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    folder, cache = tmp_path / "train", tmp_path / "cache"
    folder.mkdir()
    (folder / "pt_1.npz").write_bytes(b"no patient")
    for _ in range(2):
        with pytest.raises(Refusal) as refused:
            load_patients(folder, cache, workers=1)
        assert refused.value.code == "openkbp-file"
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_patient_whose_making_was_interrupted_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    openkbp_patients.write_packed(folder, "pt_1")

    def interrupt(*arguments: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", interrupt)
        with pytest.raises(OSError, match="No space"):
            load_patients(folder, tmp_path / "cache", workers=1)
    made = load_patients(folder, tmp_path / "cache", workers=1)
    assert [patient.id for patient in made] == ["pt_1"]
    target = (made[0].regions >> 1 + ROIS.index("PTV70") & 1).astype(bool)
    assert float(np.median(made[0].dose[target])) == pytest.approx(1.0, abs=0.01)
