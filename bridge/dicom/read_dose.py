"""RTDOSE in: scaled pixels become gray on a grid in patient coordinates."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage

from bridge.dicom.dose_origin import DoseOrigin, dose_origin
from bridge.dicom.headers import InstanceHeader
from bridge.dicom.instances import read_instance
from bridge.dicom.orientation import axial_normal
from bridge.dicom.values import has_value, integer, items, numbers, optional_text, text, uid
from bridge.rt.arrays import FloatArray
from bridge.rt.errors import DicomRefusal, GeometryRefusal, error_context
from bridge.rt.grid import POSITION_TOLERANCE_MM, Grid
from bridge.rt.volume import Dose

__all__ = ["DoseObject", "read_dose", "read_dose_object"]

_FRAME_TOLERANCE_MM = 0.02
"""How far a frame may lie from its place on a regular stack; see the CT's tolerance."""

_HIGHEST_GY = 1000.0
"""More is a wrong scaling, or a negative dose that wrapped round in unsigned pixels."""


@dataclass(frozen=True, eq=False)
class DoseObject:
    """An RTDOSE as read.

    Attributes
    ----------
    dose
        Total physical dose in Gy.
    summation_type
        Dose Summation Type, PLAN unless another was accepted.
    sop_instance_uid, study_instance_uid, series_instance_uid, patient_key
        What and whose it is; see :class:`bridge.dicom.headers.InstanceHeader`.
    referenced_plan_uid, referenced_structure_set_uid
        SOP Instance UIDs, or None where the object names none.
    series_description, comment
        As received, possibly empty.
    origin
        What made it, as far as it says so.
    sha256
        Of the file.
    """

    dose: Dose
    summation_type: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_key: str
    referenced_plan_uid: str | None
    referenced_structure_set_uid: str | None
    series_description: str
    comment: str
    origin: DoseOrigin
    sha256: str


def read_dose(path: Path) -> Dose:
    """Read the dose of a plan from an RTDOSE file; see :func:`read_dose_object`."""
    return read_dose_object(path).dose


def read_dose_object(path: Path, *, accept_summation: Collection[str] = ("PLAN",)) -> DoseObject:
    """Read an RTDOSE file (PS3.3 C.8.8.3).

    Parameters
    ----------
    accept_summation
        Dose summation types that the caller knows what to do with. One beam or one fraction is not a plan's dose.

    Raises
    ------
    DicomRefusal
        Not a whole RTDOSE; ``dose-units`` (RELATIVE), ``dose-type`` (EFFECTIVE, ERROR), ``dose-summation``,
        ``dose-pixel-format``, ``dose-scaling``, ``dose-implausible``.
    GeometryRefusal
        ``dose-single-frame``, ``dose-frames``, ``dose-frames-uneven``, or an orientation that is not axial.
    """
    instance = read_instance(path, RTDoseStorage)
    dataset, header = instance.dataset, instance.header
    with error_context({"sop_instance_uid": header.sop_instance_uid}):
        _require_term(dataset, "DoseUnits", ("GY",), "dose-units")
        _require_term(dataset, "DoseType", ("PHYSICAL",), "dose-type")
        _require_term(dataset, "DoseSummationType", accept_summation, "dose-summation")
        return DoseObject(
            dose=Dose(_dose_gy(dataset).astype(np.float32), _grid(dataset, header)),
            summation_type=text(dataset, "DoseSummationType"),
            sop_instance_uid=header.sop_instance_uid,
            study_instance_uid=header.study_instance_uid,
            series_instance_uid=header.series_instance_uid,
            patient_key=header.patient_key,
            referenced_plan_uid=_only_reference(dataset, "ReferencedRTPlanSequence"),
            referenced_structure_set_uid=_only_reference(dataset, "ReferencedStructureSetSequence"),
            series_description=optional_text(dataset, "SeriesDescription"),
            comment=optional_text(dataset, "DoseComment"),
            origin=dose_origin(dataset),
            sha256=instance.sha256,
        )


def _require_term(dataset: Dataset, keyword: str, accepted: Collection[str], code: str) -> None:
    found = text(dataset, keyword)
    if found not in accepted:
        shown = found if found.isascii() and found.isprintable() and len(found) <= 16 else "(unreadable)"
        raise DicomRefusal(code, f"{keyword} is {shown}, expected {' or '.join(sorted(accepted))}.")


def _only_reference(dataset: Dataset, keyword: str) -> str | None:
    references = items(dataset, keyword, required=False)
    if len(references) > 1:
        raise DicomRefusal("dose-references", f"The dose names {len(references)} objects in {keyword}, expected one.")
    return uid(references[0], "ReferencedSOPInstanceUID") if references else None


def _frames(dataset: Dataset) -> int:
    frames = integer(dataset, "NumberOfFrames") if has_value(dataset, "NumberOfFrames") else 1
    if frames < 2:
        raise GeometryRefusal("dose-single-frame", "The dose has a single frame; a dose volume is needed.")
    return frames


def _grid(dataset: Dataset, header: InstanceHeader) -> Grid:
    frames = _frames(dataset)
    orientation = numbers(dataset, "ImageOrientationPatient", 6)
    normal = axial_normal(orientation)
    origin = numbers(dataset, "ImagePositionPatient", 3)
    spacing = numbers(dataset, "PixelSpacing", 2)
    offsets = _offsets_mm(dataset, frames, origin, normal)
    affine = np.eye(4)
    affine[:3, 0] = normal * (offsets[-1] - offsets[0]) / (frames - 1)
    affine[:3, 1] = orientation[3:] * spacing[0]
    affine[:3, 2] = orientation[:3] * spacing[1]
    affine[:3, 3] = origin + normal * offsets[0]
    shape = frames, integer(dataset, "Rows"), integer(dataset, "Columns")
    return Grid(shape, affine, str(header.frame_of_reference_uid))


def _offsets_mm(dataset: Dataset, frames: int, origin: FloatArray, normal: FloatArray) -> FloatArray:
    """Give the positions of the frames along row x column from the Image Position (PS3.3 C.8.8.3.2).

    A vector that begins with 0 holds just these. Otherwise it holds the frames' patient z, and begins with that of
    the Image Position.
    """
    offsets = numbers(dataset, "GridFrameOffsetVector", frames)
    if offsets[0] != 0:
        if abs(offsets[0] - origin[2]) > POSITION_TOLERANCE_MM:
            raise GeometryRefusal(
                "dose-frames",
                f"The first Grid Frame Offset is {offsets[0]:g} mm, neither 0 nor the z of the Image Position "
                f"({origin[2]:g} mm).",
            )
        offsets = (offsets - offsets[0]) * normal[2]
    steps = np.diff(offsets)
    regular = np.linspace(offsets[0], offsets[-1], frames)
    if np.sign(steps[0]) == 0 or np.abs(offsets - regular).max() > _FRAME_TOLERANCE_MM:
        raise GeometryRefusal(
            "dose-frames-uneven",
            f"The dose frames are not evenly spaced: steps of {np.abs(steps).min():g} to {np.abs(steps).max():g} mm.",
        )
    return offsets


def _dose_gy(dataset: Dataset) -> FloatArray:
    bits = integer(dataset, "BitsAllocated")
    if (
        bits not in (16, 32)
        or integer(dataset, "BitsStored") != bits
        or integer(dataset, "HighBit") != bits - 1
        or integer(dataset, "PixelRepresentation") != 0
        or integer(dataset, "SamplesPerPixel") != 1
        or text(dataset, "PhotometricInterpretation") != "MONOCHROME2"
    ):
        raise DicomRefusal(
            "dose-pixel-format", "The dose pixels are not whole 16 or 32 bit unsigned MONOCHROME2 (PS3.3 C.8.8.3.4)."
        )
    scaling = float(numbers(dataset, "DoseGridScaling", 1)[0])
    if scaling <= 0:
        raise DicomRefusal("dose-scaling", "Dose Grid Scaling must be positive.")
    shape = _frames(dataset), integer(dataset, "Rows"), integer(dataset, "Columns")
    pixels = np.frombuffer(dataset.PixelData, dtype=f"<u{bits // 8}", count=int(np.prod(shape)))
    dose_gy = pixels.reshape(shape) * scaling
    highest = float(dose_gy.max())
    if highest > _HIGHEST_GY:
        raise DicomRefusal(
            "dose-implausible", f"The dose reaches {highest:g} Gy; its scaling is wrong, or its unit is not Gy."
        )
    return dose_gy
