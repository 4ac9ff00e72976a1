"""RTDOSE out: a predicted dose as an object that a planning system takes, and that says what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.uid import RTDoseStorage, RTPlanStorage

from bridge.dicom.common import bounded_text, decimal_string, new_dataset, reference, save, set_equipment
from bridge.dicom.orientation import axial_normal
from bridge.rt.case import CaseIdentity
from bridge.rt.errors import GeometryRefusal, ModelRefusal
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE, Provenance
from bridge.rt.volume import Dose

__all__ = ["write_rtdose"]

_LARGEST_PIXEL = {16: 2**16 - 1, 32: 2**31 - 1}
"""32 bit pixels stay below 2**31, because some readers take them as signed."""

_SERIES_NUMBER = 9001


def write_rtdose(
    dose: Dose,
    identity: CaseIdentity,
    provenance: Provenance,
    *,
    plan_uid: str,
    bits: Literal[16, 32],
    sop_instance_uid: str,
    series_instance_uid: str,
    path: Path,
    label: str = "PREDICTED DOSE",
    engine: str = "",
) -> None:
    """Write a plan's total dose as RTDOSE (PS3.3 C.8.8.3), atomically.

    Parameters
    ----------
    dose
        On an axial grid, not zero everywhere.
    plan_uid
        SOP Instance UID of the RTPLAN that the dose is attached to; PLAN summation asks for one that resolves.
    bits
        Per pixel; the error is at most half of maximum / 65535 or maximum / 2147483647.
    label
        Begins the Series Description, which ends in NOT FOR CLINICAL USE whatever the label; at most 41 characters.
    engine
        Dose engine that calculated it, where no model predicted it.

    Raises
    ------
    GeometryRefusal
        ``dose-single-frame`` or ``orientation-oblique``.
    ModelRefusal
        ``dose-zero``: a dose of nothing is a failed prediction.
    StorageFailure
        The file cannot be written.
    """
    if dose.maximum_gy == 0:
        raise ModelRefusal("dose-zero", "The dose is zero everywhere; nothing is written.")
    if dose.grid.shape[0] < 2:
        raise GeometryRefusal("dose-single-frame", "A dose of a single slice is not written.")
    values, affine = dose.values, np.array(dose.grid.affine)
    spacing = dose.grid.spacing_mm
    orientation = np.concatenate([affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]])
    if float(axial_normal(orientation) @ affine[:3, 0]) < 0:
        # frames ascend along row x column, so that every offset is positive
        affine[:3, 3] += affine[:3, 0] * (len(values) - 1)
        values = values[::-1]

    dataset = new_dataset(
        sop_class_uid=RTDoseStorage,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        series_number=_SERIES_NUMBER,
        modality="RTDOSE",
        identity=identity,
        frame_of_reference_uid=dose.grid.frame_of_reference_uid,
    )
    set_equipment(dataset, provenance, engine)
    dataset.SeriesDescription = bounded_text(f"{label} - {NOT_FOR_CLINICAL_USE}", 64, "The dose label")
    dataset.InstanceNumber = 1
    dataset.ContentDate, dataset.ContentTime = dataset.InstanceCreationDate, dataset.InstanceCreationTime
    dataset.ImagePositionPatient = [decimal_string(value) for value in affine[:3, 3]]
    dataset.ImageOrientationPatient = [decimal_string(value) for value in orientation]
    dataset.PixelSpacing = [decimal_string(spacing[1]), decimal_string(spacing[2])]
    dataset.SliceThickness = decimal_string(spacing[0])
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = dose.grid.shape
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    dataset.DoseComment = _comment(provenance, engine)
    dataset.FrameIncrementPointer = 0x3004000C
    dataset.GridFrameOffsetVector = [decimal_string(frame * spacing[0]) for frame in range(len(values))]
    dataset.ReferencedRTPlanSequence = [reference(RTPlanStorage, plan_uid)]
    dataset.DoseGridScaling = decimal_string(dose.maximum_gy / _LARGEST_PIXEL[bits])
    # The pixels are made with the scaling as written, not with the one it was rounded from. Its 11 or more digits
    # leave the largest pixel within 0.02 of its place, so it cannot pass the limit.
    pixels = np.rint(values.astype(np.float64) / float(dataset.DoseGridScaling))
    content = pixels.astype(f"<u{bits // 8}").tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    save(dataset, path)


def _comment(provenance: Provenance, engine: str) -> str:
    """Name engine or model within 64 characters (VR LO); the whole hash stands with the contributing equipment."""
    model = f"{provenance.model_id[:20]} {provenance.model_sha256[:8]}".strip()
    start, end = f"{NOT_FOR_CLINICAL_USE}; ", f" v{provenance.software_version[:10]}"
    maker = (engine or model or "fdp-bridge")[: 64 - len(start) - len(end)]
    return bounded_text(f"{start}{maker}{end}", 64, "The dose comment")
