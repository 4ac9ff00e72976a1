from __future__ import annotations

import hashlib
import io
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)

from bridge.dicom.headers import read_header
from bridge.dicom.instances import read_instance
from bridge.dicom.write_dose import write_rtdose
from bridge.rt.errors import DicomRefusal, StorageFailure
from tests.phantom import PROVENANCE, edit, linear_dose, write_plan_for, write_small_phantom


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("headers")
    phantom = write_small_phantom(folder)
    plan_uid = write_plan_for(phantom, folder / "RP.dcm", {2: 60.0})
    write_rtdose(
        linear_dose(phantom.grid), phantom.identity, PROVENANCE, plan_uid=plan_uid, bits=16,
        sop_instance_uid="1.2.3.4", series_instance_uid="1.2.3", path=folder / "RD.dcm",
    )  # fmt: skip
    return {kind: (folder / name).read_bytes() for kind, name in
            {"CT": "CT.001.dcm", "RTSTRUCT": "RS.dcm", "RTPLAN": "RP.dcm", "RTDOSE": "RD.dcm"}.items()}  # fmt: skip


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "object.dcm"
    path.write_bytes(content)
    return path


def changed(tmp_path: Path, content: bytes, change: Callable[[Dataset], None]) -> Path:
    path = written(tmp_path, content)
    edit(path, change)
    return path


def refusal(path: Path) -> DicomRefusal:
    """Refused by the header reader, and by the whole reader for the same reason."""
    with pytest.raises(DicomRefusal) as whole:
        read_instance(path)
    with pytest.raises(DicomRefusal) as head:
        read_header(path)
    assert head.value.code == whole.value.code
    assert "Phantom^Closed" not in str(head.value)
    assert "PHANTOM-1" not in str(head.value)
    assert head.value.where["file"] == path.name
    return head.value


def test_header_says_what_each_object_is(tmp_path: Path, originals: dict[str, bytes]) -> None:
    headers = {kind: read_header(written(tmp_path, content)) for kind, content in originals.items()}
    for kind, header in headers.items():
        dataset = pydicom.dcmread(io.BytesIO(originals[kind]))
        assert header.modality == kind
        assert header.sop_class_uid == dataset.SOPClassUID
        assert header.sop_instance_uid == dataset.SOPInstanceUID
        assert header.study_instance_uid == dataset.StudyInstanceUID
        assert header.series_instance_uid == dataset.SeriesInstanceUID
        assert header.frame_of_reference_uid == dataset.FrameOfReferenceUID
        assert header.patient_key == hashlib.sha256(b"PHANTOM-1").hexdigest()
        assert header.transfer_syntax_uid == ExplicitVRLittleEndian
    assert headers["CT"].z_mm == pytest.approx(415.0 - 5.5 * 3.0)
    assert headers["RTSTRUCT"].z_mm is None
    assert headers["CT"].referenced_sop_instance_uids == frozenset()
    assert len(headers["RTSTRUCT"].referenced_sop_instance_uids) == 12
    assert headers["CT"].sop_instance_uid in headers["RTSTRUCT"].referenced_sop_instance_uids
    assert headers["RTPLAN"].referenced_sop_instance_uids == {headers["RTSTRUCT"].sop_instance_uid}
    assert headers["RTDOSE"].referenced_sop_instance_uids == {headers["RTPLAN"].sop_instance_uid}


@pytest.mark.parametrize("kind", ["CT", "RTSTRUCT", "RTPLAN", "RTDOSE"])
def test_implicit_vr_reads_the_same(tmp_path: Path, originals: dict[str, bytes], kind: str) -> None:
    explicit = read_header(written(tmp_path, originals[kind]))

    def implicit(dataset: Dataset) -> None:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    dataset = pydicom.dcmread(io.BytesIO(originals[kind]))
    implicit(dataset)
    path = tmp_path / "implicit.dcm"
    dataset.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=True)
    header = read_header(path)
    assert header.transfer_syntax_uid == ImplicitVRLittleEndian
    assert header.referenced_sop_instance_uids == explicit.referenced_sop_instance_uids
    assert (header.sop_instance_uid, header.z_mm) == (explicit.sop_instance_uid, explicit.z_mm)


def test_images_named_contour_by_contour_only(tmp_path: Path, originals: dict[str, bytes]) -> None:
    def drop(dataset: Dataset) -> None:
        del dataset.ReferencedFrameOfReferenceSequence

    header = read_header(changed(tmp_path, originals["RTSTRUCT"], drop))
    assert len(header.referenced_sop_instance_uids) == 12


@pytest.mark.parametrize("kind", ["CT", "RTSTRUCT", "RTPLAN", "RTDOSE"])
def test_every_cut_is_refused(tmp_path: Path, originals: dict[str, bytes], kind: str) -> None:
    content = originals[kind]
    # everywhere in the first kilobyte, then at many places, element boundaries among them
    cuts = {*range(0, 1024, 7), *range(1024, len(content), max(1, len(content) // 60)), len(content) - 1}
    tail = pydicom.dcmread(io.BytesIO(content))
    if kind == "RTPLAN":
        # what follows the structure set reference is the approval status, which may be absent
        cuts = {cut for cut in cuts if cut < len(content) - 40}
    elif kind == "RTSTRUCT":
        assert "ApprovalStatus" in tail
        cuts = {cut for cut in cuts if cut != len(content) - 18}
    codes = {refusal(written(tmp_path, content[:cut])).code for cut in cuts}
    assert codes <= {"not-dicom", "truncated", "attribute-missing", "transfer-syntax"}
    assert "truncated" in codes


@pytest.mark.parametrize(
    ("kind", "last_kept"),
    [("CT", 0x00281052), ("RTDOSE", 0x3004000E), ("RTSTRUCT", 0x30060020), ("RTSTRUCT", 0x30060039),
     ("RTPLAN", 0x300A0070), ("CT", 0x00080018), ("CT", 0x0020000D)],
)  # fmt: skip
def test_a_cut_between_two_elements_is_refused(
    tmp_path: Path, originals: dict[str, bytes], kind: str, last_kept: int
) -> None:
    def cut(dataset: Dataset) -> None:
        for tag in [tag for tag in dataset.keys() if tag > last_kept]:  # noqa: SIM118
            del dataset[tag]

    assert refusal(changed(tmp_path, originals[kind], cut)).code == "attribute-missing"


def set_value(keyword: str, value: object) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset[keyword].validation_mode = 0
        dataset[keyword].value = value

    return change


def delete(keyword: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        del dataset[keyword]

    return change


def rename(uid: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid, validation_mode=0)

    return change


def magnetic_resonance(dataset: Dataset) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage
    dataset.Modality = "MR"


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom warns of the bad values that are written on purpose
@pytest.mark.parametrize(
    ("kind", "change", "code", "words"),
    [
        ("CT", magnetic_resonance, "sop-class-unsupported", "modality MR"),
        ("CT", magnetic_resonance, "sop-class-unsupported", "planning CT"),
        ("CT", rename("1.2.840/../../x"), "uid-invalid", "SOPInstanceUID"),
        ("CT", rename("../../x"), "uid-invalid", "SOPInstanceUID"),
        ("CT", rename("1.02.3"), "uid-invalid", "leading zero"),
        ("CT", set_value("SeriesInstanceUID", UID("../x", 0)), "uid-invalid", "SeriesInstanceUID"),
        ("CT", set_value("FrameOfReferenceUID", UID("1.2.x", 0)), "uid-invalid", "FrameOfReferenceUID"),
        ("CT", delete("PixelData"), "attribute-missing", "PixelData"),
        ("CT", delete("PatientID"), "attribute-missing", "PatientID"),
        ("CT", lambda d: setattr(d, "PatientID", ""), "attribute-empty", "PatientID"),
        ("CT", delete("StudyInstanceUID"), "attribute-missing", "StudyInstanceUID"),
        ("CT", delete("FrameOfReferenceUID"), "attribute-missing", "FrameOfReferenceUID"),
        ("CT", delete("Rows"), "attribute-missing", "Rows"),
        ("CT", lambda d: setattr(d, "PixelData", d.PixelData[:-2]), "truncated", "2880"),
        ("CT", lambda d: setattr(d, "PixelData", d.PixelData + b"\0\0"), "truncated", "2880"),
        ("CT", lambda d: setattr(d, "Rows", 0), "truncated", "rows"),
        ("CT", set_value("ImagePositionPatient", [0, 0]), "attribute-invalid", "expected 3"),
        ("RTDOSE", lambda d: setattr(d, "NumberOfFrames", 13), "truncated", "frames"),
        ("RTDOSE", delete("DoseGridScaling"), "attribute-missing", "DoseGridScaling"),
        ("RTSTRUCT", delete("ROIContourSequence"), "attribute-missing", "ROIContourSequence"),
        ("RTSTRUCT", delete("StructureSetROISequence"), "attribute-missing", "StructureSetROISequence"),
        ("RTPLAN", delete("ReferencedStructureSetSequence"), "attribute-missing", "ReferencedStructureSetSequence"),
        ("RTPLAN", lambda d: setattr(d.ReferencedStructureSetSequence[0], "ReferencedSOPInstanceUID", UID("../x", 0)),
         "uid-invalid", "ReferencedSOPInstanceUID"),
    ],
)  # fmt: skip
def test_hostile_objects(
    tmp_path: Path, originals: dict[str, bytes], kind: str, change: Callable[[Dataset], None], code: str, words: str
) -> None:
    error = refusal(changed(tmp_path, originals[kind], change))
    assert error.code == code
    assert words in error.message


def test_file_meta_that_contradicts_the_data_set(tmp_path: Path, originals: dict[str, bytes]) -> None:
    own = read_header(written(tmp_path, originals["CT"])).sop_instance_uid.encode()
    other = own[:-1] + (b"1" if own[-1:] != b"1" else b"2")
    error = refusal(written(tmp_path, originals["CT"].replace(own, other, 1)))
    assert error.code == "uid-mismatch"
    assert "MediaStorageSOPInstanceUID" in error.message


@pytest.mark.parametrize(
    "content",
    [b"", b"DICM", b"\0" * 128 + b"DICN", b"PK\x03\x04" + b"\0" * 500, b"GET / HTTP/1.1\r\n\r\n" * 20],
    ids=["empty", "no preamble", "almost", "zip", "http"],
)
def test_not_dicom(tmp_path: Path, content: bytes) -> None:
    assert refusal(written(tmp_path, content)).code == "not-dicom"


@pytest.mark.parametrize(
    "syntax", [DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000Lossless, UID("1.2.3")]
)
def test_other_transfer_syntaxes_are_refused_before_anything_is_decoded(
    tmp_path: Path, originals: dict[str, bytes], syntax: UID
) -> None:
    old = ExplicitVRLittleEndian.encode() + b"\0"
    new = syntax.encode().ljust(len(old), b"\0")
    if len(new) > len(old):  # replace the element with its length
        old, new = (
            struct.pack("<H", len(old)) + old,
            struct.pack("<H", len(new) + len(new) % 2) + new.ljust(len(new) + len(new) % 2, b"\0"),
        )
    content = originals["CT"].replace(old, new, 1)
    error = refusal(written(tmp_path, content))
    assert error.code == "transfer-syntax"
    assert "little endian" in error.message


def explicit_meta() -> bytes:
    syntax = ExplicitVRLittleEndian.encode() + b"\0"
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax


def nested(depth: int) -> bytes:
    return b"".join(
        struct.pack("<HH2sHL", 0x3006, 0x0010, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
        for _ in range(depth)
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 0xFFFFFFF0), "truncated"),
        (struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 0xFFFFFFFF), "encoding-invalid"),
        (nested(5000), "encoding-invalid"),
        (struct.pack("<HH2sH", 8, 0x60, b"??", 2) + b"CT", "encoding-invalid"),
        (struct.pack("<HH2sH", 8, 0x60, b"CS", 2) + b"CT" + struct.pack("<HH2sH", 8, 0x60, b"CS", 2) + b"MR",
         "encoding-invalid"),
        (struct.pack("<HHL", 0xFFFE, 0xE00D, 0), "encoding-invalid"),
        (struct.pack("<HH2sHL", 0x3006, 0x0010, b"SQ", 0, 8) + struct.pack("<HHL", 0xFFFE, 0xE000, 100) + b"\0" * 200,
         "encoding-invalid"),
        (struct.pack("<HH2sHL", 0x3006, 0x0010, b"SQ", 0, 8) + struct.pack("<HHL", 8, 0x60, 0), "encoding-invalid"),
        (nested(1), "truncated"),
        (b"", "attribute-missing"),
    ],
    ids=["huge length", "pixels without length", "deep nest", "no such VR", "element twice", "stray delimiter",
         "item beyond its sequence", "no item", "unclosed sequence", "nothing"],
)  # fmt: skip
def test_malformed_streams_cost_nothing(tmp_path: Path, body: bytes, code: str) -> None:
    path = written(tmp_path, explicit_meta() + body)
    tracemalloc.start()
    try:
        assert refusal(path).code == code
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_header_is_read_without_the_pixels(tmp_path: Path, originals: dict[str, bytes]) -> None:
    def large(dataset: Dataset) -> None:
        dataset.Rows, dataset.Columns = 4000, 4000
        dataset.PixelData = bytes(32_000_000)

    path = changed(tmp_path, originals["CT"], large)
    tracemalloc.start()
    try:
        assert read_header(path).sop_class_uid == CTImageStorage
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_a_file_that_is_not_there_is_a_failure_not_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(StorageFailure):
        read_header(tmp_path / "none.dcm")


def test_refuses_a_structure_set_that_was_drawn_on_other_images_than_ct(
    tmp_path: Path, originals: dict[str, bytes]
) -> None:
    def drawn_on_mr(dataset: Dataset) -> None:
        for image in (
            dataset.ReferencedFrameOfReferenceSequence[0]
            .RTReferencedStudySequence[0]
            .RTReferencedSeriesSequence[0]
            .ContourImageSequence
        ):
            image.ReferencedSOPClassUID = MRImageStorage

    error = refusal(changed(tmp_path, originals["RTSTRUCT"], drawn_on_mr))
    assert error.code == "not-drawn-on-ct"
    assert "MR Image Storage" in error.message
