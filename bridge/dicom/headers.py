"""Headers: what an object is and what it refers to, and whether it arrived whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.config import IGNORE, settings
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
)

from bridge.dicom.scan import Layout, scan_layout
from bridge.dicom.values import has_value, integer, items, numbers, optional_text, text, uid
from bridge.rt.errors import DicomRefusal, StorageFailure, error_context

__all__ = ["ACCEPTED_SOP_CLASSES", "InstanceHeader", "header_of", "parse", "read_header"]

# What pydicom warns of is checked here, and its warnings quote values, which may be a patient's.
settings.reading_validation_mode = IGNORE

ACCEPTED_SOP_CLASSES: frozenset[str] = frozenset(
    str(sop_class) for sop_class in (CTImageStorage, RTStructureSetStorage, RTPlanStorage, RTDoseStorage)
)
"""CT Image, RT Structure Set, RT Plan and RT Dose Storage."""

_COMMON = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "PatientID",
)  # fmt: skip
_PIXELS = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "NumberOfFrames")
_REFERENCES = ("ReferencedFrameOfReferenceSequence", "ReferencedStructureSetSequence", "ReferencedRTPlanSequence")

_REQUIRED: dict[str, tuple[str, ...]] = {
    str(CTImageStorage): ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "PixelData"),
    str(RTStructureSetStorage): ("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"),
    str(RTPlanStorage): ("RTPlanLabel", "RTPlanGeometry", "ReferencedStructureSetSequence"),
    str(RTDoseStorage): ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "DoseGridScaling",
                         "GridFrameOffsetVector", "PixelData"),
}  # fmt: skip
"""Attributes without which an object is of no use; a file cut between two elements lacks the later ones."""


@dataclass(frozen=True)
class InstanceHeader:
    """What one DICOM object is.

    Attributes
    ----------
    sop_class_uid, sop_instance_uid, study_instance_uid, series_instance_uid
        Valid by PS3.5 section 9.1.
    frame_of_reference_uid
        None where the object has none of its own (an RTPLAN or RTSTRUCT may).
    modality
        CT, RTSTRUCT, RTPLAN or RTDOSE.
    patient_key
        SHA-256 of the Patient ID, so that two objects can be compared without showing whose they are.
    transfer_syntax_uid
        Implicit or explicit VR little endian.
    referenced_sop_instance_uids
        RTSTRUCT: the CT images it was drawn on. RTPLAN: its structure set, and the plans that it refers to. RTDOSE: its
        plan. CT: none.
    z_mm
        Patient z of a CT slice, else None.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str | None
    modality: str
    patient_key: str
    transfer_syntax_uid: str
    referenced_sop_instance_uids: frozenset[str]
    z_mm: float | None


def read_header(path: Path) -> InstanceHeader:
    """Read what an object is, and check that it is whole, without loading its pixels or contours.

    Raises
    ------
    DicomRefusal
        ``not-dicom``, ``truncated``, ``encoding-invalid``, ``transfer-syntax``, ``sop-class-unsupported``,
        ``uid-invalid``, ``uid-mismatch``, ``attribute-missing``, ``attribute-empty`` or ``attribute-invalid``.
    StorageFailure
        The file cannot be opened.
    """
    with error_context({"file": path.name}):
        try:
            with path.open("rb") as stream:
                layout = scan_layout(stream)
                dataset = parse(stream, [*_COMMON, *_PIXELS, *_REFERENCES, "ImagePositionPatient"])
                header = header_of(dataset, layout)
                if header.sop_class_uid == RTStructureSetStorage and not header.referenced_sop_instance_uids:
                    # an older structure set names its images contour by contour only
                    contours = parse(stream, ["ROIContourSequence"])
                    dataset.update(contours)
                    header = header_of(dataset, layout)
                return header
        except OSError as error:
            raise StorageFailure("file-unreadable", f"The file cannot be read: {error.strerror}.") from error


def parse(stream: BinaryIO, keywords: list[str] | None = None) -> Dataset:
    """Decode a stream that :func:`bridge.dicom.scan.scan_layout` found whole.

    Parameters
    ----------
    keywords
        The only attributes to read, or None for all.

    Raises
    ------
    DicomRefusal
        ``encoding-invalid``.
    """
    stream.seek(0)
    try:
        return pydicom.dcmread(stream, specific_tags=list(keywords) if keywords else None)
    except Exception as error:
        # whatever pydicom stumbles over, its text may quote patient data
        raise DicomRefusal("encoding-invalid", f"The data set cannot be decoded ({type(error).__name__}).") from None


def header_of(dataset: Dataset, layout: Layout) -> InstanceHeader:
    """Make the header of a decoded data set and check what :func:`read_header` promises."""
    sop_class_uid, sop_instance_uid = uid(dataset, "SOPClassUID"), uid(dataset, "SOPInstanceUID")
    with error_context({"sop_instance_uid": sop_instance_uid}):
        modality = text(dataset, "Modality")
        if sop_class_uid not in ACCEPTED_SOP_CLASSES:
            raise DicomRefusal(
                "sop-class-unsupported",
                f"An object of modality {_shown(modality)} and SOP class {sop_class_uid} is not read. The bridge needs "
                "the planning CT (CT Image Storage) and its RTSTRUCT; RTPLAN and RTDOSE may come with them.",
            )
        for meta, own in (("MediaStorageSOPClassUID", sop_class_uid),
                          ("MediaStorageSOPInstanceUID", sop_instance_uid)):  # fmt: skip
            if uid(dataset.file_meta, meta) != own:
                raise DicomRefusal("uid-mismatch", f"{meta} of the file meta information is not the data set's UID.")
        for keyword in _REQUIRED[sop_class_uid]:
            tag = tag_for_keyword(keyword)
            if tag is None or layout.value_bytes.get(tag, 0) == 0:
                raise DicomRefusal(
                    "attribute-missing",
                    f"{keyword} is missing or empty; was the file cut off? Send the {_shown(modality)} again.",
                    attribute=keyword,
                )
        if sop_class_uid in (CTImageStorage, RTDoseStorage):
            _require_all_pixels(dataset, layout)
        return InstanceHeader(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            study_instance_uid=uid(dataset, "StudyInstanceUID"),
            series_instance_uid=uid(dataset, "SeriesInstanceUID"),
            frame_of_reference_uid=_frame(dataset, sop_class_uid),
            modality=modality,
            patient_key=hashlib.sha256(text(dataset, "PatientID").encode()).hexdigest(),
            transfer_syntax_uid=layout.transfer_syntax_uid,
            referenced_sop_instance_uids=_references(dataset, sop_class_uid),
            z_mm=float(numbers(dataset, "ImagePositionPatient", 3)[2]) if sop_class_uid == CTImageStorage else None,
        )


def _shown(modality: str) -> str:
    """Give a modality fit for a message; a received one may hold anything."""
    return modality if modality.isascii() and modality.isalnum() and len(modality) <= 16 else "(unreadable)"


def _require_all_pixels(dataset: Dataset, layout: Layout) -> None:
    frames = integer(dataset, "NumberOfFrames") if has_value(dataset, "NumberOfFrames") else 1
    bits = integer(dataset, "BitsAllocated")
    size = integer(dataset, "Rows") * integer(dataset, "Columns") * integer(dataset, "SamplesPerPixel") * frames
    expected = (size * bits + 7) // 8
    found = layout.value_bytes[0x7FE00010]
    if size <= 0 or found != expected + expected % 2:
        raise DicomRefusal(
            "truncated", f"Pixel Data holds {found} bytes, but rows, columns, bits and frames ask for {expected}."
        )


def _frame(dataset: Dataset, sop_class_uid: str) -> str | None:
    if sop_class_uid in (CTImageStorage, RTDoseStorage) or has_value(dataset, "FrameOfReferenceUID"):
        return uid(dataset, "FrameOfReferenceUID")
    frames = items(dataset, "ReferencedFrameOfReferenceSequence", required=False)
    return uid(frames[0], "FrameOfReferenceUID") if len(frames) == 1 else None


def _references(dataset: Dataset, sop_class_uid: str) -> frozenset[str]:
    if sop_class_uid == RTPlanStorage:
        plans = items(dataset, "ReferencedRTPlanSequence", required=False)
        return frozenset(_referenced([*items(dataset, "ReferencedStructureSetSequence"), *plans]))
    if sop_class_uid == RTDoseStorage:
        return frozenset(_referenced(items(dataset, "ReferencedRTPlanSequence", required=False)))
    if sop_class_uid == RTStructureSetStorage:
        return frozenset(_drawn_on(dataset))
    return frozenset()


def _referenced(references: list[Dataset]) -> list[str]:
    return [uid(item, "ReferencedSOPInstanceUID") for item in references]


def _drawn_on(dataset: Dataset) -> list[str]:
    """List the CT images that a structure set names: for its series, or else contour by contour."""
    listed = [
        image
        for frame in items(dataset, "ReferencedFrameOfReferenceSequence", required=False)
        for study in items(frame, "RTReferencedStudySequence", required=False)
        for series in items(study, "RTReferencedSeriesSequence", required=False)
        for image in items(series, "ContourImageSequence", required=False)
    ] or [
        image
        for roi in items(dataset, "ROIContourSequence", required=False)
        for contour in items(roi, "ContourSequence", required=False)
        for image in items(contour, "ContourImageSequence", required=False)
    ]
    on_ct = [image for image in listed if optional_text(image, "ReferencedSOPClassUID") == CTImageStorage]
    if listed and not on_ct:
        other = optional_text(listed[0], "ReferencedSOPClassUID")
        raise DicomRefusal(
            "not-drawn-on-ct",
            f"The structure set was drawn on {len(listed)} images that are no CT ({UID(other).name}); draw it on the "
            "planning CT, or copy it there in the planning system.",
        )
    return _referenced(on_ct)
