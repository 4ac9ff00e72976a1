"""Tiny but whole CT, RTSTRUCT, RTPLAN and RTDOSE objects for the node, which never looks at what they mean."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
)

STUDY = "1.2.826.0.1.3680043.10.999.1"
FRAME = f"{STUDY}.9"
PATIENT_NAME = "Secret^Name"


def _common(sop_class: str, uid: str, modality: str, patient_id: str, series: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid
    dataset.StudyDate = ""
    dataset.Modality = modality
    dataset.PatientName = PATIENT_NAME
    dataset.PatientID = patient_id
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = series
    dataset.FrameOfReferenceUID = FRAME
    return dataset


def ct(
    number: int, *, z_mm: float | None = None, patient_id: str = "PHANTOM-1", series: int = 2, side: int = 4
) -> Dataset:
    dataset = _common(CTImageStorage, f"{STUDY}.{series}.{number}", "CT", patient_id, f"{STUDY}.{series}")
    dataset.ImagePositionPatient = [0, 0, 3.0 * number if z_mm is None else z_mm]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = side
    dataset.PixelSpacing = [2, 1]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 1
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
    dataset.PixelData = bytes([number % 256, 0]) * side * side
    return dataset


def mr(number: int) -> Dataset:
    dataset = ct(number, series=7)
    dataset.SOPClassUID, dataset.Modality = MRImageStorage, "MR"
    return dataset


def structure_set(ct_uids: list[str], *, number: int = 1, patient_id: str = "PHANTOM-1") -> Dataset:
    uid = f"{STUDY}.3.{number}"
    dataset = _common(RTStructureSetStorage, uid, "RTSTRUCT", patient_id, f"{STUDY}.3")
    dataset.StructureSetLabel = "TEST"
    images = []
    for ct_uid in ct_uids:
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CTImageStorage, ct_uid
        images.append(image)
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = f"{STUDY}.2", images
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", STUDY
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = FRAME, [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    roi, contour, observation = Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ReferencedFrameOfReferenceUID, roi.ROIName, roi.ROIGenerationAlgorithm = 1, FRAME, "PTV_60", ""
    contour.ReferencedROINumber = 1
    observation.ObservationNumber, observation.ReferencedROINumber = 1, 1
    observation.RTROIInterpretedType, observation.ROIInterpreter = "PTV", ""
    dataset.StructureSetROISequence = [roi]
    dataset.ROIContourSequence = [contour]
    dataset.RTROIObservationsSequence = [observation]
    return dataset


def plan() -> Dataset:
    dataset = _common(RTPlanStorage, f"{STUDY}.4.1", "RTPLAN", "PHANTOM-1", f"{STUDY}.4")
    dataset.RTPlanLabel, dataset.RTPlanGeometry = "TEST", "PATIENT"
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = RTStructureSetStorage, f"{STUDY}.3.1"
    dataset.ReferencedStructureSetSequence = [reference]
    return dataset


def dose(frames: int = 2, side: int = 4) -> Dataset:
    dataset = ct(1, side=side)
    dataset.SOPClassUID, dataset.Modality = RTDoseStorage, "RTDOSE"
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = f"{STUDY}.5.1", f"{STUDY}.5"
    dataset.NumberOfFrames = frames
    dataset.GridFrameOffsetVector = [3.0 * frame for frame in range(frames)]
    dataset.FrameIncrementPointer = 0x3004000C
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    dataset.DoseGridScaling = 0.001
    dataset.PixelRepresentation = 0
    dataset.PixelData = b"\x01\x00" * side * side * frames
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = RTPlanStorage, f"{STUDY}.4.1"
    dataset.ReferencedRTPlanSequence = [reference]
    return dataset


def encoded(dataset: Dataset, *, implicit: bool = False) -> bytes:
    """Give the data set alone, as C-STORE carries it."""
    buffer, bare = BytesIO(), Dataset()
    bare.update(dataset)  # without file meta information
    dcmwrite(buffer, bare, implicit_vr=implicit, little_endian=True)
    return buffer.getvalue()


def written(dataset: Dataset, path: Path, *, implicit: bool = False) -> Path:
    """Write a file in pydicom's own envelope."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def study(folder: Path, slices: int = 5) -> list[Path]:
    """Write one study: the CT slices, then the structure set that names them all."""
    images = [ct(number) for number in range(1, slices + 1)]
    paths = [written(image, folder / f"ct{number:03d}.dcm") for number, image in enumerate(images)]
    paths.append(written(structure_set([image.SOPInstanceUID for image in images]), folder / "rs.dcm"))
    return paths
