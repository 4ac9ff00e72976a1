"""OpenKBP patients: both forms agree, and every axis points where it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bridge.rt.errors import Refusal
from models.openkbp.reader import OpenKbpPatient, list_patients, patient_folder, read_patient
from tests.models import openkbp_patients as synthetic
from tests.shared_data import shared_dir


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openkbp")
    synthetic.write_packed(folder, "pt_7")
    synthetic.write_csv(folder, "pt_10")
    return folder


@pytest.fixture(scope="module")
def packed(folder: Path) -> OpenKbpPatient:
    return read_patient(folder / "pt_7.npz")


def centre_mm(patient: OpenKbpPatient, name: str) -> np.ndarray:
    """Centre [x, y, z] of a mask."""
    indices = np.argwhere(patient.anatomy.masks[name].values >= 0.5).mean(axis=0)
    return patient.anatomy.grid.positions_mm(indices[None])[0]


def test_both_forms_give_the_same_patient(folder: Path, packed: OpenKbpPatient) -> None:
    csv = read_patient(folder / "pt_10")
    assert (packed.id, csv.id) == ("pt_7", "pt_10")
    np.testing.assert_array_equal(csv.dose.values, packed.dose.values)
    np.testing.assert_array_equal(csv.possible_dose, packed.possible_dose)
    np.testing.assert_array_equal(csv.anatomy.ct.values, packed.anatomy.ct.values)
    np.testing.assert_array_equal(csv.anatomy.body.values, packed.anatomy.body.values)
    assert list(csv.anatomy.masks) == list(packed.anatomy.masks)
    for name, mask in packed.anatomy.masks.items():
        np.testing.assert_array_equal(csv.anatomy.masks[name].values, mask.values)
    np.testing.assert_array_equal(csv.anatomy.grid.affine, packed.anatomy.grid.affine)
    assert csv.voxel_mm == packed.voxel_mm == (2.5, 3.5, 3.0)
    assert csv.anatomy.target_levels_gy == {"PTV56": 56.0, "PTV70": 70.0}


def test_axes_point_to_superior_posterior_and_left(packed: OpenKbpPatient) -> None:
    right, left = centre_mm(packed, "Parotid_R"), centre_mm(packed, "Parotid_L")
    cord, target = centre_mm(packed, "SpinalCord"), centre_mm(packed, "PTV70")
    # the boxes' centres in OpenKBP indices, minus the centre of the grid, in mm along left, posterior, superior
    np.testing.assert_allclose(right, [(31.5 - 63.5) * 3.0, (59.5 - 63.5) * 3.5, (63.5 - 24.5) * 2.5])
    np.testing.assert_allclose(left, [(97.5 - 63.5) * 3.0, (59.5 - 63.5) * 3.5, (63.5 - 24.5) * 2.5])
    assert right[0] < target[0] < left[0]  # LPS: x grows to the patient's left
    assert cord[1] > target[1]  # y to posterior
    assert right[2] > target[2]  # z to superior


def test_dose_and_ct_keep_their_values_and_places(packed: OpenKbpPatient) -> None:
    inferior_end = np.array([[(60 - 63.5) * 3.0, (60 - 63.5) * 3.5, (63.5 - 59) * 2.5]])
    superior_end = np.array([[(60 - 63.5) * 3.0, (60 - 63.5) * 3.5, (63.5 - 40) * 2.5]])
    np.testing.assert_allclose(packed.dose.at(inferior_end), 35019 * 0.002, rtol=1e-6)
    np.testing.assert_allclose(packed.dose.at(superior_end), 70.0, rtol=1e-6)
    ct, body = packed.anatomy.ct.values, packed.anatomy.body.values
    assert set(np.unique(ct[body > 0])) == {0.0, -1024.0}
    assert set(np.unique(ct[body == 0])) == {-1000.0}


def test_the_body_is_the_patient_without_holes_and_couch(packed: OpenKbpPatient) -> None:
    assert packed.anatomy.body.values.sum() == 70 * 90 * 110


def test_the_possible_dose_mask_is_not_part_of_the_anatomy(packed: OpenKbpPatient) -> None:
    assert packed.possible_dose.sum() == 72 * 90 * 60
    assert (packed.possible_dose & (packed.anatomy.body.values == 0)).sum() == 2 * 90 * 60


def test_patients_are_listed_by_number(folder: Path, tmp_path: Path) -> None:
    assert [path.name for path in list_patients(folder)] == ["pt_7.npz", "pt_10"]
    (tmp_path / "validation-pats").symlink_to(folder)
    assert patient_folder(tmp_path, "validation").name == "validation-pats"
    assert patient_folder(folder, "validation") == folder
    with pytest.raises(Refusal) as refused:
        patient_folder(tmp_path, "train")
    assert refused.value.code == "openkbp-no-patients"


def test_one_patient_in_two_forms_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pt_1").mkdir()
    (tmp_path / "pt_1.npz").touch()
    with pytest.raises(Refusal) as refused:
        list_patients(tmp_path)
    assert refused.value.code == "openkbp-twice"


@pytest.mark.parametrize(
    "changes",
    [
        {"ct": np.zeros((4, 4, 4), dtype=np.uint16)},
        {"dose": np.zeros((128,) * 3, dtype=np.float32)},
        {"labels": np.zeros((128,) * 3, dtype=np.uint16)},
        {"voxel_mm": np.array([3.0, 3.0])},
        {"voxel_mm": np.array([3.0, 3.0, np.nan])},
        {"voxel_mm": np.array([3.0, 3.0, 0.0])},
        {"ct": np.array([{}], dtype=object)},
    ],
)
def test_a_packed_patient_that_is_none_is_refused(tmp_path: Path, changes: dict[str, np.ndarray]) -> None:
    with pytest.raises(Refusal) as refused:
        read_patient(synthetic.write_packed(tmp_path, "pt_1", **changes))
    assert refused.value.code == "openkbp-file"


def test_a_cut_file_is_refused(tmp_path: Path, folder: Path) -> None:
    content = (folder / "pt_7.npz").read_bytes()
    half = content[: len(content) // 2]
    for damaged in (b"", content[:10], half, b"\x93NUMPY" + content, content[:300] + b"x" * 300):
        (tmp_path / "pt_7.npz").write_bytes(damaged)
        with pytest.raises(Refusal) as refused:
            read_patient(tmp_path / "pt_7.npz")
        assert refused.value.code == "openkbp-file"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("dose.csv", ",data\n2097152,1.0\n"),
        ("dose.csv", ",data\n-1,1.0\n"),
        ("dose.csv", ",data\n1.5,1.0\n"),
        ("dose.csv", ",data\n1,1.0\n1,2.0\n"),
        ("dose.csv", ",data\n1,one\n"),
        ("dose.csv", None),
        ("voxel_dimensions.csv", "3\n3\n"),
        ("possible_dose_mask.csv", ",data\n"),
        ("ct.csv", ",data\n1,\n"),
    ],
)
def test_a_damaged_csv_is_refused(tmp_path: Path, folder: Path, file: str, text: str | None) -> None:
    patient = tmp_path / "pt_1"
    patient.mkdir()
    for source in (folder / "pt_10").iterdir():
        (patient / source.name).symlink_to(source)
    (patient / file).unlink()
    if text is not None:
        (patient / file).write_text(text)
    with pytest.raises(Refusal) as refused:
        read_patient(patient)
    assert refused.value.code == "openkbp-file"


def test_a_real_patient_has_its_sides_right() -> None:
    patient = read_patient(shared_dir() / "openkbp" / "validation" / "pt_201.npz")
    right, left = centre_mm(patient, "Parotid_R"), centre_mm(patient, "Parotid_L")
    stem, cord = centre_mm(patient, "Brainstem"), centre_mm(patient, "SpinalCord")
    assert right[0] < stem[0] < left[0]
    assert stem[2] > cord[2]
    assert patient.dose.maximum_gy == pytest.approx(75.0, abs=5.0)
