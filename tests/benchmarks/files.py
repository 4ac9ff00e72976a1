"""Contours and doses as the RTSTRUCT and RTDOSE files that every measured program reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from bridge.dicom.common import new_dataset
from bridge.dicom.uids import derived_uid
from bridge.dicom.write_dose import write_rtdose
from bridge.rt.arrays import FloatArray, Loop
from bridge.rt.case import CaseIdentity
from bridge.rt.grid import Grid
from bridge.rt.volume import Dose
from tests.phantom import PROVENANCE

FRAME = derived_uid("dvh benchmark", "frame")


@dataclass(frozen=True, eq=False)
class DrawnItem:
    """One item of a Contour Sequence: points ``(n, 3)`` in mm."""

    points_mm: FloatArray
    geometric_type: str = "CLOSED_PLANAR"


def drawn(loop: Loop, z_mm: float) -> DrawnItem:
    return DrawnItem(np.column_stack([loop, np.full(len(loop), z_mm)]))


def write_structures(path: Path, rois: Sequence[tuple[str, Sequence[DrawnItem]]]) -> Path:
    """Write an RTSTRUCT whose ROI numbers run from 1; the file's name is the seed of its UIDs."""
    dataset = new_dataset(
        sop_class_uid=RTStructureSetStorage,
        sop_instance_uid=derived_uid("dvh benchmark", path.name),
        series_instance_uid=derived_uid("dvh benchmark", path.name, "series"),
        series_number=1,
        modality="RTSTRUCT",
        identity=_identity(),
        frame_of_reference_uid=FRAME,
    )
    dataset.StructureSetLabel = "BENCHMARK"
    dataset.StructureSetROISequence, dataset.ROIContourSequence, dataset.RTROIObservationsSequence = [], [], []
    for number, (name, items) in enumerate(rois, 1):
        roi, contours, observation = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ReferencedFrameOfReferenceUID, roi.ROIName = number, FRAME, name
        contours.ReferencedROINumber = number
        contours.ContourSequence = [_contour(item) for item in items]
        observation.ObservationNumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType, observation.ROIInterpreter = "ORGAN", ""
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(contours)
        dataset.RTROIObservationsSequence.append(observation)
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_dose(path: Path, dose: Dose) -> Path:
    """Write an RTDOSE with 32 bit pixels and with UIDs of its own: doses that share one get mixed up by caches."""
    write_rtdose(
        dose,
        _identity(),
        PROVENANCE,
        plan_uid=derived_uid("dvh benchmark", path.name, "plan"),
        bits=32,
        sop_instance_uid=derived_uid("dvh benchmark", path.name),
        series_instance_uid=derived_uid("dvh benchmark", path.name, "series"),
        path=path,
    )
    return path


def linear_dose(grid: Grid, gradient_gy_mm: Mapping[str, float], at_origin_gy: float) -> Dose:
    """A dose that rises linearly, and that is nowhere below zero."""
    index = np.indices(grid.shape).reshape(3, -1).T.astype(np.float64)
    slope = np.array([gradient_gy_mm.get(axis, 0.0) for axis in "xyz"])
    return Dose((at_origin_gy + grid.positions_mm(index) @ slope).clip(0.0).reshape(grid.shape), grid)


def _contour(item: DrawnItem) -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType = item.geometric_type
    contour.NumberOfContourPoints = len(item.points_mm)
    contour.ContourData = [f"{value:.6f}" for value in item.points_mm.ravel()]
    return contour


def _identity() -> CaseIdentity:
    return CaseIdentity(
        patient_id="BENCHMARK",
        patient_name="Phantom^Closed Form",
        patient_birth_date="",
        patient_sex="O",
        study_instance_uid=derived_uid("dvh benchmark", "study"),
        study_id="1",
        study_date="20240102",
        study_time="030405",
        accession_number="",
        referring_physician_name="",
        structure_set_uid=derived_uid("dvh benchmark", "structure set"),
        patient_position="HFS",
    )
