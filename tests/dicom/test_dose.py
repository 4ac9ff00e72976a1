from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from bridge.dicom.common import decimal_string
from bridge.dicom.phantom import phantom_grid
from bridge.dicom.read_dose import read_dose, read_dose_object
from bridge.dicom.write_dose import write_rtdose
from bridge.rt.case import CaseIdentity
from bridge.rt.errors import BridgeError, DicomRefusal, GeometryRefusal, ModelRefusal, Refusal, StorageFailure
from bridge.rt.grid import Grid
from bridge.rt.volume import Dose
from tests.phantom import CENTRE_MM, PATIENT_POSITIONS, PROVENANCE, edit, linear_dose, linear_dose_gy
from tests.programs import require_program

IDENTITY = CaseIdentity(
    patient_id="PHANTOM-1", patient_name="Phantom^Closed Form", patient_birth_date="", patient_sex="O",
    study_instance_uid="1.2.3.1", study_id="1", study_date="20240102", study_time="030405", accession_number="",
    referring_physician_name="", structure_set_uid="1.2.3.2", patient_position="HFS",
)  # fmt: skip


def grid_for(patient_position: str = "HFS") -> Grid:
    return phantom_grid(patient_position, (9, 14, 11), (2.7, 3.1, 2.3), CENTRE_MM, "1.2.3.9")


def write(dose: Dose, path: Path, bits: Literal[16, 32] = 16, identity: CaseIdentity = IDENTITY) -> Path:
    write_rtdose(
        dose, identity, PROVENANCE, plan_uid="1.2.3.3", bits=bits, sop_instance_uid="1.2.3.4",
        series_instance_uid="1.2.3.5", path=path,
    )  # fmt: skip
    return path


def test_the_comment_names_the_engine_within_its_64_characters(tmp_path: Path) -> None:
    provenance = replace(PROVENANCE, model_id="", model_sha256="", software_version="0.1.0+local.20260101")
    path = tmp_path / "RD.dcm"
    write_rtdose(
        linear_dose(grid_for()), IDENTITY, provenance, plan_uid="1.2.3.3", bits=16, sop_instance_uid="1.2.3.4",
        series_instance_uid="1.2.3.5", path=path, engine="fdp-bridge pencil beam (research)",
    )  # fmt: skip
    comment = pydicom.dcmread(path).DoseComment
    assert comment == "NOT FOR CLINICAL USE; fdp-bridge pencil beam (resear v0.1.0+loca"


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("patient_position", PATIENT_POSITIONS)
def test_a_dose_point_comes_back_in_every_patient_position(
    tmp_path: Path, patient_position: str, flipped: bool, bits: Literal[16, 32]
) -> None:
    grid = grid_for(patient_position)
    if flipped:
        affine = np.array(grid.affine)
        affine[:3, 3] += affine[:3, 0] * (grid.shape[0] - 1)
        affine[:3, 0] *= -1
        grid = Grid(grid.shape, affine, grid.frame_of_reference_uid)
    found = read_dose(write(linear_dose(grid), tmp_path / "RD.dcm", bits))
    points = np.array(CENTRE_MM) + np.array([[0, 0, 0], [7.3, -10.9, 8.1], [-9.2, 11.3, -9.9]])
    assert np.abs(found.at(points) - linear_dose_gy(points)).max() < (0.001 if bits == 16 else 1e-5)
    assert np.abs(np.sort(found.grid.corners_mm(), axis=0) - np.sort(grid.corners_mm(), axis=0)).max() < 1e-6
    dataset = pydicom.dcmread(tmp_path / "RD.dcm")
    offsets = [float(value) for value in dataset.GridFrameOffsetVector]
    assert offsets[0] == 0.0
    assert np.diff(offsets) == pytest.approx(2.7)


@pytest.mark.parametrize(("bits", "largest"), [(16, 2**16 - 1), (32, 2**31 - 1)])
def test_the_maximum_fits_and_every_voxel_is_within_half_a_step(
    tmp_path: Path, bits: Literal[16, 32], largest: int
) -> None:
    rng = np.random.default_rng(7)
    values = rng.uniform(0.0, 73.123456, (9, 14, 11)).astype(np.float32)
    path = write(Dose(values, grid_for()), tmp_path / "RD.dcm", bits)
    dataset = pydicom.dcmread(path)
    scaling = float(dataset.DoseGridScaling)
    pixels = np.frombuffer(dataset.PixelData, f"<u{bits // 8}").reshape(values.shape).astype(np.float64)
    assert len(str(dataset.DoseGridScaling)) <= 16
    assert largest - 2 <= pixels.max() <= largest
    assert np.abs(pixels * scaling - values.astype(np.float64)).max() <= scaling * 0.5000001
    assert np.abs(read_dose(path).values - values).max() <= scaling + 1e-5


@pytest.mark.parametrize("bits", [16, 32])
def test_the_largest_pixel_never_passes_the_limit(tmp_path: Path, bits: Literal[16, 32]) -> None:
    grid = phantom_grid("HFS", (2, 2, 2), (2, 2, 2), (0, 0, 0), "1.2.3.9")
    limit = {16: 2**16 - 1, 32: 2**31 - 1}[bits]
    for maximum in np.random.default_rng(1).uniform(1e-3, 150.0, 60):
        path = write(Dose(np.full(grid.shape, maximum, dtype=np.float32), grid), tmp_path / "RD.dcm", bits)
        pixels = np.frombuffer(pydicom.dcmread(path).PixelData, f"<u{bits // 8}")
        assert pixels.max() == limit


def test_an_odd_number_of_sixteen_bit_pixels_is_padded_to_even_length(tmp_path: Path) -> None:
    grid = phantom_grid("HFS", (3, 3, 3), (2, 2, 2), (0, 0, 0), "1.2.3.9")
    path = write(Dose(np.full(grid.shape, 2.0, dtype=np.float32), grid), tmp_path / "RD.dcm")
    assert read_dose(path).values == pytest.approx(2.0, abs=1e-4)


def test_what_the_object_says_of_itself(tmp_path: Path) -> None:
    path = write(linear_dose(grid_for()), tmp_path / "RD.dcm")
    dataset = pydicom.dcmread(path)
    assert dataset.SeriesDescription == "PREDICTED DOSE - NOT FOR CLINICAL USE"
    assert dataset.DoseComment == "NOT FOR CLINICAL USE; test-model abababab v0.1.0"
    assert (dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType) == ("GY", "PHYSICAL", "PLAN")
    assert (dataset.ManufacturerModelName, dataset.SoftwareVersions) == ("fdp-bridge", "0.1.0")
    assert dataset.FrameIncrementPointer == 0x3004000C
    (equipment,) = dataset.ContributingEquipmentSequence
    assert f"test-model sha256 {'ab' * 32}" in equipment.ContributionDescription
    assert "cd" * 32 in equipment.ContributionDescription
    assert (dataset.PatientID, str(dataset.PatientName)) == ("PHANTOM-1", "Phantom^Closed Form")
    assert (dataset.StudyInstanceUID, dataset.FrameOfReferenceUID) == ("1.2.3.1", "1.2.3.9")
    found = read_dose_object(path)
    assert (found.referenced_plan_uid, found.referenced_structure_set_uid) == ("1.2.3.3", None)
    assert (found.summation_type, found.sop_instance_uid) == ("PLAN", "1.2.3.4")
    assert found.comment == dataset.DoseComment


def test_the_same_dose_gives_the_same_bytes(tmp_path: Path) -> None:
    one = write(linear_dose(grid_for()), tmp_path / "one.dcm").read_bytes()
    assert write(linear_dose(grid_for()), tmp_path / "two.dcm").read_bytes() == one


def test_names_in_any_script_survive(tmp_path: Path) -> None:
    path = write(linear_dose(grid_for()), tmp_path / "RD.dcm", identity=replace(IDENTITY, patient_name="Фантом^Тест"))
    assert str(pydicom.dcmread(path).PatientName) == "Фантом^Тест"


def test_nothing_is_left_when_the_disk_refuses(tmp_path: Path) -> None:
    target = tmp_path / "RD.dcm"
    target.mkdir()
    with pytest.raises(StorageFailure):
        write(linear_dose(grid_for()), target)
    assert [path.name for path in tmp_path.iterdir()] == ["RD.dcm"]


def test_doses_that_are_not_written(tmp_path: Path) -> None:
    grid = grid_for()
    with pytest.raises(ModelRefusal, match="dose-zero"):
        write(Dose(np.zeros(grid.shape, dtype=np.float32), grid), tmp_path / "RD.dcm")
    single = phantom_grid("HFS", (1, 4, 4), (2, 2, 2), CENTRE_MM, "1.2.3.9")
    with pytest.raises(GeometryRefusal, match="dose-single-frame"):
        write(linear_dose(single), tmp_path / "RD.dcm")
    c, s = np.cos(0.1), np.sin(0.1)
    affine = np.array(grid.affine)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ affine[:3, :3]
    with pytest.raises(GeometryRefusal, match="orientation-oblique"):
        write(linear_dose(Grid(grid.shape, affine, "1.2.3.9")), tmp_path / "RD.dcm")
    with pytest.raises(DicomRefusal, match="PatientBirthDate") as refused:
        write(linear_dose(grid), tmp_path / "RD.dcm", identity=replace(IDENTITY, patient_birth_date="1.1.1950"))
    assert "1950" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("patient_position", ["HFS", "FFS", "FFDL"])
def test_absolute_offsets_give_the_same_grid(tmp_path: Path, patient_position: str) -> None:
    path = write(linear_dose(grid_for(patient_position)), tmp_path / "RD.dcm")
    relative = read_dose(path)

    def absolute(dataset: Dataset) -> None:
        normal = 1 if patient_position.startswith("HF") else -1
        first = float(dataset.ImagePositionPatient[2])
        dataset.GridFrameOffsetVector = [f"{first + normal * float(v):.3f}" for v in dataset.GridFrameOffsetVector]

    edit(path, absolute)
    assert read_dose(path).grid.matches(relative.grid)


def test_descending_offsets_turn_the_stack_over(tmp_path: Path) -> None:
    path = write(linear_dose(grid_for()), tmp_path / "RD.dcm")

    def descending(dataset: Dataset) -> None:
        offsets = [float(value) for value in dataset.GridFrameOffsetVector]
        frames = np.frombuffer(dataset.PixelData, "<u2").reshape(9, 14, 11)
        dataset.PixelData = frames[::-1].tobytes()
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, f"{float(z) + offsets[-1]:.3f}"]
        dataset.GridFrameOffsetVector = [f"{-value:.3f}" for value in offsets]

    edit(path, descending)
    found = read_dose(path)
    assert found.grid.affine[2, 0] == pytest.approx(-2.7)
    assert found.at(np.array([CENTRE_MM]))[0] == pytest.approx(35.0, abs=0.001)


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def single_frame(dataset: Dataset) -> None:
    dataset.NumberOfFrames, dataset.GridFrameOffsetVector = 1, "0"
    dataset.PixelData = dataset.PixelData[: 14 * 11 * 2]


def two_plans(dataset: Dataset) -> None:
    dataset.ReferencedRTPlanSequence = [*dataset.ReferencedRTPlanSequence] * 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put("DoseUnits", "RELATIVE"), "dose-units"),
        (put("DoseType", "EFFECTIVE"), "dose-type"),
        (put("DoseType", "ERROR"), "dose-type"),
        (put("DoseSummationType", "BEAM"), "dose-summation"),
        (put("DoseSummationType", "FRACTION"), "dose-summation"),
        (put("DoseGridScaling", "0"), "dose-scaling"),
        (put("DoseGridScaling", "-1"), "dose-scaling"),
        (put("DoseGridScaling", "1"), "dose-implausible"),
        (put("PixelRepresentation", 1), "dose-pixel-format"),
        (put("BitsStored", 12), "dose-pixel-format"),
        (put("PhotometricInterpretation", "MONOCHROME1"), "dose-pixel-format"),
        (put("GridFrameOffsetVector", [0, 2, 4, 6, 8, 10, 12, 14, 17]), "dose-frames-uneven"),
        (put("GridFrameOffsetVector", [0] * 9), "dose-frames-uneven"),
        (put("GridFrameOffsetVector", [5, 7, 9, 11, 13, 15, 17, 19, 21]), "dose-frames"),
        (put("GridFrameOffsetVector", [0, 2, 4]), "attribute-invalid"),
        (put("ImageOrientationPatient", [1, 0, 0, 0, 0, 1]), "orientation-oblique"),
        (put("PixelSpacing", ["0", "1"]), "grid-spacing"),
        (single_frame, "dose-single-frame"),
        (two_plans, "dose-references"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, change: Callable[[Dataset], None], code: str) -> None:
    path = write(linear_dose(grid_for()), tmp_path / "RD.dcm")
    edit(path, change)
    with pytest.raises(BridgeError) as refused:
        read_dose(path)
    assert isinstance(refused.value, Refusal)
    assert refused.value.code == code
    assert refused.value.where["sop_instance_uid"] == "1.2.3.4"


def test_another_summation_when_asked_for(tmp_path: Path) -> None:
    path = write(linear_dose(grid_for()), tmp_path / "RD.dcm")
    edit(path, put("DoseSummationType", "BEAM"))
    assert read_dose_object(path, accept_summation=("PLAN", "BEAM")).summation_type == "BEAM"


def test_a_ct_is_no_dose(tmp_path: Path) -> None:
    from tests.phantom import write_small_phantom

    with pytest.raises(DicomRefusal, match="sop-class-unexpected"):
        read_dose(write_small_phantom(tmp_path).ct_paths[0])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (-0.0, "0"), (1.0, "1"), (-2.5, "-2.5"), (1 / 3, "0.33333333333333"), (-1 / 3, "-0.3333333333333"),
     (1e-20, "1E-20"), (123456789012345678.0, "1.23456789012E17"), (1e16, "1E16"), (0.0001, "0.0001")],
)  # fmt: skip
def test_decimal_strings(value: float, expected: str) -> None:
    assert decimal_string(value) == expected


def test_decimal_strings_fit_and_keep_their_precision() -> None:
    rng = np.random.default_rng(3)
    for value in rng.choice([-1, 1], 400) * 10.0 ** rng.uniform(-12, 12, 400) * rng.uniform(1, 10, 400):
        shown = decimal_string(float(value))
        assert len(shown) <= 16
        assert float(shown) == pytest.approx(value, rel=2e-9)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(DicomRefusal):
            decimal_string(bad)


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("patient_position", ["HFS", "HFP", "FFS"])
def test_plastimatch_sees_the_same_dose_and_geometry(
    tmp_path: Path, patient_position: str, bits: Literal[16, 32]
) -> None:
    program = require_program("plastimatch")
    grid = grid_for(patient_position)
    dose = linear_dose(grid)
    (tmp_path / "in").mkdir()
    write(dose, tmp_path / "in" / "RD.dcm", bits)
    image = tmp_path / "dose.mha"
    subprocess.run(
        [program, "convert", "--input-dose-img", tmp_path / "in" / "RD.dcm", "--output-dose-img", image],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    header, _, pixels = image.read_bytes().partition(b"ElementDataFile = LOCAL\n")
    fields = dict(line.split(" = ", 1) for line in header.decode().splitlines())
    shape = [int(n) for n in fields["DimSize"].split()][::-1]
    values = np.frombuffer(pixels, "<f4").reshape(shape)
    assert values.max() == pytest.approx(dose.maximum_gy, abs=0.002)
    assert values.min() == pytest.approx(float(dose.values.min()), abs=0.002)
    # MetaImage: offset + direction * spacing, x fastest
    matrix = np.array(fields["TransformMatrix"].split(), float).reshape(3, 3)
    spacing, offset = (np.array(fields[name].split(), float) for name in ("ElementSpacing", "Offset"))
    for index in ((0, 0, 0), (4, 2, 7), (8, 13, 10)):
        position = offset + (np.array(index[::-1]) * spacing) @ matrix
        assert values[index] == pytest.approx(float(linear_dose_gy(position[None])[0]), abs=0.01), index
