"""Phantoms: made-up patients as DICOM files, with shapes whose volume and centroid are known in closed form.

They serve the demonstration and the tests, in any of the eight standard patient positions. No real person is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, RTStructureSetStorage

from bridge.dicom.common import decimal_string, new_dataset, reference
from bridge.dicom.orientation import STANDARD_ORIENTATIONS
from bridge.dicom.phantom_shapes import HEAD_AND_NECK, PhantomStructure
from bridge.dicom.uids import derived_uid
from bridge.rt.arrays import FloatArray, Loop
from bridge.rt.case import CaseIdentity
from bridge.rt.grid import Grid

__all__ = [
    "HEAD_AND_NECK",
    "PhantomCase",
    "PhantomStructure",
    "phantom_grid",
    "write_head_and_neck_phantom",
    "write_phantom",
]

_INTERCEPT_HU = -1024
_DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
"""Detached Study Management, the retired class by which RTSTRUCTs refer to a study (PS3.3 C.8.8.5)."""


@dataclass(frozen=True, eq=False)
class PhantomCase:
    """What was written, and the truth about it.

    Attributes
    ----------
    ct_paths
        In slice order along row x column.
    structure_set_path
        The RTSTRUCT.
    grid
        Grid of the CT.
    identity
        As in the files.
    structures
        ROI numbers run from 1 in this order.
    """

    ct_paths: tuple[Path, ...]
    structure_set_path: Path
    grid: Grid
    identity: CaseIdentity
    structures: tuple[PhantomStructure, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (*self.ct_paths, self.structure_set_path)


def phantom_grid(
    patient_position: str,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    centre_mm: tuple[float, float, float],
    frame_of_reference_uid: str,
) -> Grid:
    """Make the grid that a scanner would give in a patient position.

    Parameters
    ----------
    shape, spacing_mm
        Slices, rows, columns and the distances between them.
    centre_mm
        Patient position (x, y, z) of the middle of the grid.
    """
    orientation = np.array(STANDARD_ORIENTATIONS[patient_position])
    row, column = orientation[:3], orientation[3:]
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([np.cross(row, column), column, row]) * spacing_mm
    affine[:3, 3] = np.array(centre_mm) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine, frame_of_reference_uid)


def write_phantom(
    directory: Path,
    structures: Sequence[PhantomStructure] = HEAD_AND_NECK,
    *,
    patient_position: str = "HFS",
    shape: tuple[int, int, int] = (60, 128, 128),
    spacing_mm: tuple[float, float, float] = (2.5, 1.75, 1.5),
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    patient_id: str = "PHANTOM-1",
    modify: Callable[[Dataset], None] | None = None,
) -> PhantomCase:
    """Write CT slices and an RTSTRUCT into a folder that exists.

    Parameters
    ----------
    structures
        Painted into the CT in this order over air at -1000 HU.
    patient_position, shape, spacing_mm, centre_mm
        See :func:`phantom_grid`.
    patient_id
        Also the seed of all UIDs: the same phantom always gets the same ones.
    modify
        Called with every data set before it is written, to break it.
    """
    key = "/".join(map(str, (patient_id, patient_position, shape, spacing_mm, centre_mm)))
    grid = phantom_grid(patient_position, shape, spacing_mm, centre_mm, derived_uid(key, "frame"))
    identity = CaseIdentity(
        patient_id=patient_id,
        patient_name="Phantom^Closed Form",
        patient_birth_date="",
        patient_sex="O",
        study_instance_uid=derived_uid(key, "study"),
        study_id="1",
        study_date="20240102",
        study_time="030405",
        accession_number="",
        referring_physician_name="",
        structure_set_uid=derived_uid(key, "structure set"),
        patient_position=patient_position,
    )
    uids = [derived_uid(key, "ct", str(k)) for k in range(shape[0])]
    values = _painted(structures, grid)
    ct_paths = []
    for k, uid in enumerate(uids):
        path = directory / f"CT.{k + 1:03d}.dcm"
        _write(_ct_slice(values[k], grid, k, uid, derived_uid(key, "ct"), identity), path, modify)
        ct_paths.append(path)
    path = directory / "RS.dcm"
    dataset = _structure_set(structures, grid, uids, derived_uid(key, "ct"), derived_uid(key, "rs"), identity)
    _write(dataset, path, modify)
    return PhantomCase(tuple(ct_paths), path, grid, identity, tuple(structures))


def write_head_and_neck_phantom(directory: Path) -> PhantomCase:
    """Write the demonstration phantom: 60 slices of 128 x 128, a body, two targets, four organs."""
    directory.mkdir(parents=True, exist_ok=True)
    return write_phantom(directory)


def _write(dataset: Dataset, path: Path, modify: Callable[[Dataset], None] | None) -> None:
    if modify is not None:
        modify(dataset)
    dataset.save_as(path, enforce_file_format=True)


def _painted(structures: Sequence[PhantomStructure], grid: Grid) -> NDArray[np.int32]:
    index = np.indices(grid.shape).reshape(3, -1).T.astype(np.float64)
    positions = grid.positions_mm(index).reshape(*grid.shape, 3)
    values = np.full(grid.shape, -1000, dtype=np.int32)
    for structure in structures:
        if structure.hu is not None:
            values[structure.contains(positions)] = structure.hu
    return values


def _decimals(values: Sequence[float] | FloatArray) -> list[str]:
    return [decimal_string(float(value)) for value in values]


def _equipment(dataset: Dataset) -> None:
    dataset.Manufacturer, dataset.ManufacturerModelName, dataset.SoftwareVersions = "fdp-bridge project", "phantom", "1"
    dataset.SeriesDate, dataset.SeriesTime, dataset.OperatorsName = "20240102", "030405", ""


def _ct_slice(
    values: NDArray[np.int32],
    grid: Grid,
    k: int,
    uid: str,
    series_uid: str,
    identity: CaseIdentity,
) -> Dataset:
    dataset = new_dataset(
        sop_class_uid=CTImageStorage,
        sop_instance_uid=uid,
        series_instance_uid=series_uid,
        series_number=1,
        modality="CT",
        identity=identity,
        frame_of_reference_uid=grid.frame_of_reference_uid,
    )
    _equipment(dataset)
    dz, dy, dx = grid.spacing_mm
    position = grid.positions_mm(np.array([[k, 0.0, 0.0]]))[0]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ContentDate, dataset.ContentTime = identity.study_date, identity.study_time
    dataset.BodyPartExamined = "HEADNECK"
    dataset.KVP, dataset.AcquisitionNumber, dataset.InstanceNumber = "120", 1, k + 1
    dataset.PatientPosition = identity.patient_position
    dataset.ImageOrientationPatient = list(STANDARD_ORIENTATIONS[identity.patient_position])
    dataset.ImagePositionPatient = _decimals(position)
    dataset.PixelSpacing, dataset.SliceThickness = _decimals([dy, dx]), decimal_string(dz)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = str(_INTERCEPT_HU), "1", "HU"
    dataset.PixelData = (values - _INTERCEPT_HU).astype("<u2").tobytes()
    return dataset


def _structure_set(
    structures: Sequence[PhantomStructure],
    grid: Grid,
    ct_uids: Sequence[str],
    ct_series_uid: str,
    series_uid: str,
    identity: CaseIdentity,
) -> Dataset:
    dataset = new_dataset(
        sop_class_uid=RTStructureSetStorage,
        sop_instance_uid=identity.structure_set_uid,
        series_instance_uid=series_uid,
        series_number=2,
        modality="RTSTRUCT",
        identity=identity,
        frame_of_reference_uid=grid.frame_of_reference_uid,
    )
    _equipment(dataset)
    dataset.StructureSetLabel = "PHANTOM"
    dataset.StructureSetDate, dataset.StructureSetTime = identity.study_date, identity.study_time
    frame, study, series = Dataset(), Dataset(), Dataset()
    frame.FrameOfReferenceUID = grid.frame_of_reference_uid
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _DETACHED_STUDY, identity.study_instance_uid
    series.SeriesInstanceUID = ct_series_uid
    series.ContourImageSequence = [reference(CTImageStorage, uid) for uid in ct_uids]
    study.RTReferencedSeriesSequence = [series]
    frame.RTReferencedStudySequence = [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.StructureSetROISequence, dataset.ROIContourSequence, dataset.RTROIObservationsSequence = [], [], []
    z_mm = grid.positions_mm(np.array([[k, 0.0, 0.0] for k in range(grid.shape[0])]))[:, 2]
    for number, structure in enumerate(structures, 1):
        roi, drawn, observation = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ReferencedFrameOfReferenceUID = number, grid.frame_of_reference_uid
        roi.ROIName, roi.ROIGenerationAlgorithm = structure.name, "AUTOMATIC"
        drawn.ReferencedROINumber = number
        drawn.ROIDisplayColor = [int(channel) for channel in np.array([67, 131, 199]) * number % 256]
        drawn.ContourSequence = [
            _contour(loop, float(z), uid)
            for z, uid in zip(z_mm, ct_uids, strict=True)
            if (loop := structure.contour_at(float(z))) is not None
        ]
        observation.ObservationNumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType, observation.ROIInterpreter = structure.interpreted_type, ""
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
        dataset.RTROIObservationsSequence.append(observation)
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def _contour(loop: Loop, z_mm: float, ct_uid: str) -> Dataset:
    contour = Dataset()
    contour.ContourImageSequence = [reference(CTImageStorage, ct_uid)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(loop)
    contour.ContourData = [f"{value:.5f}" for value in np.column_stack([loop, np.full(len(loop), z_mm)]).ravel()]
    return contour
