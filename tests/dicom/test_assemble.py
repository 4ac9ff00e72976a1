from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian, MRImageStorage

from bridge.dicom.assemble import CaseInput, collect, read_case
from bridge.dicom.phantom import PhantomCase, write_head_and_neck_phantom
from bridge.dicom.plan import plan_prescriptions
from bridge.dicom.read_dose import read_dose
from bridge.dicom.write_dose import write_rtdose
from bridge.rt.errors import BridgeError, DicomRefusal, IdentityRefusal, Refusal, StorageFailure, StructureRefusal
from bridge.rt.rasterize import mask_of
from tests.phantom import PROVENANCE, edit, linear_dose, write_plan_for, write_small_phantom
from tests.shared_data import shared_dir


@pytest.fixture
def phantom(tmp_path: Path) -> PhantomCase:
    return write_small_phantom(tmp_path / "case")


def folder(phantom: PhantomCase) -> Path:
    return phantom.structure_set_path.parent


def read(phantom: PhantomCase) -> CaseInput:
    return read_case(collect(folder(phantom)))


def refused(phantom: PhantomCase) -> BridgeError:
    with pytest.raises(BridgeError) as error:
        read(phantom)
    assert isinstance(error.value, Refusal)
    assert "Phantom^" not in str(error.value)
    assert "PHANTOM-" not in str(error.value)
    return error.value


def codes(found: CaseInput) -> list[str]:
    return [finding.code for finding in found.case.findings]


def test_a_case(phantom: PhantomCase) -> None:
    found = read(phantom)
    assert found.plan is None
    assert found.case.identity == phantom.identity
    assert found.case.prescription is None
    assert found.case.gantry_angles_deg is None
    assert found.case.findings == ()
    assert found.case.ct.grid.matches(phantom.grid)
    assert [structure.name for structure in found.case.structures] == ["BODY", "PTV_6000", "PTV_5000", "SpinalCord"]
    assert found.case.input_uids == {
        pydicom.dcmread(path).SOPInstanceUID: hashlib.sha256(path.read_bytes()).hexdigest() for path in phantom.paths
    }


def test_a_plan_that_refers_to_the_structure_set(phantom: PhantomCase) -> None:
    uid = write_plan_for(phantom, folder(phantom) / "RP.dcm", {2: 60.0, 3: 50.0}, fractions=30)
    found = read(phantom)
    assert found.plan == plan_prescriptions(folder(phantom) / "RP.dcm")
    assert found.plan is not None
    assert found.plan.doses == ((2, 60.0), (3, 50.0))
    assert found.plan.fractions == 30
    assert found.case.gantry_angles_deg is None  # it has no beams
    assert uid in found.case.input_uids


def test_beams_of_a_plan(phantom: PhantomCase) -> None:
    path = folder(phantom) / "RP.dcm"
    write_plan_for(phantom, path, {2: 60.0}, fractions=None)

    def beam(angles: list[str], delivery: str = "TREATMENT") -> Dataset:
        item = Dataset()
        item.TreatmentDeliveryType, item.ControlPointSequence = delivery, []
        for angle in angles:
            point = Dataset()
            if angle:
                point.GantryAngle = angle
            item.ControlPointSequence.append(point)
        return item

    def add(dataset: Dataset) -> None:
        dataset.BeamSequence = [beam(["0", ""]), beam(["40", ""]), beam(["90"], "SETUP"), beam(["181", "183", "185"])]

    edit(path, add)
    found = read(phantom)
    assert found.case.gantry_angles_deg == (0.0, 40.0, 181.0, 183.0, 185.0)
    assert found.plan is not None
    assert found.plan.fractions is None


def test_a_plan_of_another_structure_set_is_passed_over(phantom: PhantomCase) -> None:
    path = folder(phantom) / "RP.dcm"
    write_plan_for(phantom, path, {2: 60.0})
    edit(path, lambda d: setattr(d.ReferencedStructureSetSequence[0], "ReferencedSOPInstanceUID", "1.2.3"))
    found = read(phantom)
    assert found.plan is None
    assert codes(found) == ["plan-ignored"]
    write_plan_for(phantom, folder(phantom) / "RP2.dcm", {2: 60.0}, key="second")
    assert read(phantom).plan is not None  # only one of the two fits


def test_two_plans(phantom: PhantomCase) -> None:
    write_plan_for(phantom, folder(phantom) / "RP1.dcm", {2: 60.0}, key="one")
    write_plan_for(phantom, folder(phantom) / "RP2.dcm", {2: 66.0}, key="two")
    assert refused(phantom).code == "several-plans"


def test_a_prescription_for_a_structure_that_is_not_there(phantom: PhantomCase) -> None:
    write_plan_for(phantom, folder(phantom) / "RP.dcm", {9: 60.0})
    error = refused(phantom)
    assert (error.code, error.where["roi"]) == ("plan-roi-unknown", "9")


def test_a_dose_is_passed_over(phantom: PhantomCase) -> None:
    write_rtdose(
        linear_dose(phantom.grid), phantom.identity, PROVENANCE, plan_uid="1.2.3", bits=16,
        sop_instance_uid="1.2.3.4", series_instance_uid="1.2.3", path=folder(phantom) / "RD.dcm",
    )  # fmt: skip
    assert codes(read(phantom)) == ["dose-ignored"]


def test_missing_slices_are_named(phantom: PhantomCase) -> None:
    gone = [str(pydicom.dcmread(phantom.ct_paths[n]).SOPInstanceUID) for n in (2, 7)]
    for n in (2, 7):
        phantom.ct_paths[n].unlink()
    error = refused(phantom)
    assert error.code == "ct-incomplete"
    assert "2 of the 12" in error.message
    assert all(uid in error.message for uid in gone)
    assert error.where["missing_count"] == "2"


def test_many_missing_slices_are_counted_and_five_named(phantom: PhantomCase) -> None:
    for path in phantom.ct_paths[1:]:
        path.unlink()
    error = refused(phantom)
    assert "11 of the 12" in error.message
    assert error.message.count("2.25.") == 5


def test_slices_that_the_structure_set_does_not_name(phantom: PhantomCase) -> None:
    def drop(dataset: Dataset) -> None:
        series = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
        del series[0].ContourImageSequence[0]

    edit(phantom.structure_set_path, drop)
    found = read(phantom)
    assert codes(found) == ["ct-extra-slices"]
    assert found.case.ct.grid.shape[0] == 12


def unnamed(dataset: Dataset) -> None:
    del dataset.ReferencedFrameOfReferenceSequence
    for roi in dataset.ROIContourSequence:
        for contour in roi.ContourSequence:
            del contour.ContourImageSequence


def second_series(phantom: PhantomCase) -> None:
    for n, path in enumerate(phantom.ct_paths):
        copy = path.with_name(f"second.{n}.dcm")
        shutil.copy(path, copy)
        edit(
            copy, lambda d, n=n: (setattr(d, "SOPInstanceUID", f"1.2.3.{n}"), setattr(d, "SeriesInstanceUID", "1.2.3"))
        )  # type: ignore[misc]


def test_the_series_is_the_one_that_the_structure_set_names(phantom: PhantomCase) -> None:
    second_series(phantom)
    found = read(phantom)
    assert codes(found) == ["ct-other-series"]
    assert len(found.case.input_uids) == 13


def test_a_structure_set_that_names_no_images(phantom: PhantomCase) -> None:
    edit(phantom.structure_set_path, unnamed)
    assert codes(read(phantom)) == ["ct-not-named"]
    second_series(phantom)
    assert refused(phantom).code == "ct-ambiguous"


def test_identical_copies_are_no_trouble(phantom: PhantomCase) -> None:
    shutil.copy(phantom.ct_paths[0], folder(phantom) / "copy.dcm")
    shutil.copy(phantom.structure_set_path, folder(phantom) / "copy2.dcm")
    # the same content in another encoding is the same object too
    dataset = pydicom.dcmread(phantom.ct_paths[1])
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(folder(phantom) / "copy3.dcm", implicit_vr=True, little_endian=True, enforce_file_format=True)
    assert len(read(phantom).case.input_uids) == 13


def test_two_contents_under_one_uid(phantom: PhantomCase) -> None:
    copy = folder(phantom) / "copy.dcm"
    shutil.copy(phantom.ct_paths[0], copy)
    edit(copy, lambda d: setattr(d, "PixelData", bytes(len(d.PixelData))))
    error = refused(phantom)
    assert isinstance(error, IdentityRefusal)
    assert error.code == "same-uid-other-content"
    assert error.where["sop_instance_uid"] == pydicom.dcmread(copy).SOPInstanceUID


def on_slice(keyword: str, value: str) -> Callable[[PhantomCase], None]:
    return lambda phantom: edit(phantom.ct_paths[4], lambda d: setattr(d, keyword, value))


def magnetic_resonance(phantom: PhantomCase) -> None:
    def change(dataset: Dataset) -> None:
        dataset.SOPClassUID, dataset.Modality = MRImageStorage, "MR"

    for path in phantom.ct_paths:
        edit(path, change)


def no_ct(phantom: PhantomCase) -> None:
    for path in phantom.ct_paths:
        path.unlink()


def second_structure_set(phantom: PhantomCase) -> None:
    copy = folder(phantom) / "RS2.dcm"
    shutil.copy(phantom.structure_set_path, copy)
    edit(copy, lambda d: setattr(d, "SOPInstanceUID", "1.2.3"))


def other_frame(phantom: PhantomCase) -> None:
    def change(dataset: Dataset) -> None:
        for roi in dataset.StructureSetROISequence:
            roi.ReferencedFrameOfReferenceUID = "1.2.3"

    edit(phantom.structure_set_path, change)


@pytest.mark.parametrize(
    ("spoil", "kind", "code"),
    [
        (on_slice("PatientID", "PHANTOM-2"), IdentityRefusal, "two-patients"),
        (on_slice("StudyInstanceUID", "1.2.3"), IdentityRefusal, "two-studies"),
        (on_slice("PatientName", "Phantom^Other"), IdentityRefusal, "patient-differs"),
        (magnetic_resonance, DicomRefusal, "sop-class-unsupported"),
        (no_ct, DicomRefusal, "ct-missing"),
        (lambda p: p.structure_set_path.unlink(), DicomRefusal, "structure-set-count"),
        (second_structure_set, DicomRefusal, "structure-set-count"),
        (other_frame, Refusal, "frame-of-reference"),
        (lambda p: (folder(p) / "notes.txt").write_text("hello"), DicomRefusal, "not-dicom"),
        (lambda p: p.ct_paths[3].write_bytes(p.ct_paths[3].read_bytes()[:-100]), DicomRefusal, "truncated"),
    ],
)  # fmt: skip
def test_refused(phantom: PhantomCase, spoil: Callable[[PhantomCase], None], kind: type[Refusal], code: str) -> None:
    spoil(phantom)
    error = refused(phantom)
    assert isinstance(error, kind)
    assert error.code == code


def test_a_file_that_is_not_dicom_is_named(phantom: PhantomCase) -> None:
    (folder(phantom) / "sub").mkdir()
    (folder(phantom) / "sub" / "Thumbs.db").write_bytes(b"\0" * 1000)
    assert refused(phantom).where["file"] == "Thumbs.db"


def test_a_name_written_two_ways_is_one_patient(phantom: PhantomCase) -> None:
    edit(phantom.ct_paths[4], lambda d: setattr(d, "PatientName", "PHANTOM^closed form^^^"))
    assert codes(read(phantom)) == []


def test_names_used_twice_are_refused_with_what_to_do(phantom: PhantomCase) -> None:
    edit(phantom.structure_set_path, lambda d: setattr(d.StructureSetROISequence[2], "ROIName", "PTV_6000"))
    error = refused(phantom)
    assert isinstance(error, StructureRefusal)
    assert error.code == "roi-name-repeated"
    assert "rename" in error.message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure):
        collect(tmp_path / "none")


def test_the_demonstration_phantom_reads_without_a_finding(tmp_path: Path) -> None:
    phantom = write_head_and_neck_phantom(tmp_path / "demo")
    found = read(phantom)
    assert found.case.findings == ()
    assert found.case.ct.grid.shape == (60, 128, 128)
    names = ["BODY", "PTV_7000", "PTV_5600", "Parotid_L", "Parotid_R", "SpinalCord", "Brainstem"]
    assert [structure.name for structure in found.case.structures] == names
    for structure, truth in zip(found.case.structures, phantom.structures, strict=True):
        # stacks of slices know an ellipsoid's volume to a fraction of a percent
        assert mask_of(structure, found.case.ct.grid).volume_cc == pytest.approx(truth.volume_cc, rel=5e-3)


@pytest.fixture(scope="module")
def openkbp_patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real patient, written by an independent program."""
    out = tmp_path_factory.mktemp("openkbp")
    program = shared_dir() / "tools" / "openkbp_to_dicom.py"
    patient = shared_dir() / "openkbp" / "validation" / "pt_201.npz"
    subprocess.run([sys.executable, program, patient, out], check=True, timeout=240)
    return out


def test_a_real_patient_from_an_independent_writer(openkbp_patient: Path) -> None:
    found = read_case(collect(openkbp_patient))
    assert found.case.ct.grid.shape == (124, 128, 128)
    assert found.plan is not None
    by_number = {structure.number: structure.name for structure in found.case.structures}
    assert {by_number[roi]: dose for roi, dose in found.plan.doses} == {
        "PTV_5600": 56.0, "PTV_6300": 63.0, "PTV_7000": 70.0,
    }  # fmt: skip
    assert found.plan.fractions == 35
    assert found.case.gantry_angles_deg == tuple(40.0 * n for n in range(9))
    assert set(codes(found)) == {"dose-ignored", "plane-gap"}


def test_an_independent_writers_dose_is_read_to_its_scaling(openkbp_patient: Path) -> None:
    dose = read_dose(openkbp_patient / "RD.dcm")
    packed = np.load(shared_dir() / "openkbp" / "validation" / "pt_201.npz")
    assert dose.maximum_gy == pytest.approx(float(packed["dose"].max()) * 0.002, abs=1e-4)
    assert dose.grid.matches(read_case(collect(openkbp_patient)).case.ct.grid)


def test_a_clinical_size_reads_in_seconds(tmp_path: Path) -> None:
    def large(dataset: Dataset) -> None:
        if dataset.Modality == "CT":
            dataset.Rows, dataset.Columns, dataset.PixelData = 512, 512, bytes(512 * 512 * 2)

    paths = write_small_phantom(tmp_path / "large", slices=100, modify=large).paths
    start = time.process_time()
    found = read_case(paths)
    seconds = time.process_time() - start
    assert found.case.ct.grid.shape == (100, 512, 512)
    assert seconds < 4.0  # 0.4 s where it was written


def test_a_real_patients_masks_agree_with_the_source(openkbp_patient: Path) -> None:
    found = read_case(collect(openkbp_patient))
    packed = np.load(shared_dir() / "openkbp" / "validation" / "pt_201.npz")
    voxel_cc = float(np.prod(packed["voxel_mm"])) / 1000.0
    for name, bit in (("PTV_7000", 10), ("Parotid_L", 4), ("Brainstem", 1)):
        voxels = int((packed["labels"] >> bit & 1).sum())
        mask = mask_of(found.case.structure(name), found.case.ct.grid)
        # contours of an interpolated mask cut its corners
        assert mask.volume_cc == pytest.approx(voxels * voxel_cc, rel=0.05), name
