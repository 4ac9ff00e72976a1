"""Closed-form patients as DICOM files, small enough for every test.

The default geometry hides no mistake: slices, rows and columns differ in number and spacing, pixels are not square,
the origin is far from zero, and no structure lies in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from bridge.dicom.orientation import STANDARD_ORIENTATIONS
from bridge.dicom.phantom import PhantomCase, write_phantom
from bridge.dicom.phantom_shapes import PhantomStructure
from bridge.dicom.uids import derived_uid
from bridge.dicom.write_plan import write_rtplan
from bridge.rt.arrays import FloatArray, Points
from bridge.rt.dose_reference import DoseReference
from bridge.rt.grid import Grid
from bridge.rt.provenance import Provenance
from bridge.rt.volume import Dose

PATIENT_POSITIONS = tuple(STANDARD_ORIENTATIONS)

CENTRE_MM = (31.5, -120.25, 415.0)

STRUCTURES = (
    PhantomStructure("BODY", "EXTERNAL", "cylinder", (31.5, -120.25, 415.0), (26.0, 25.0, 18.0), 0),
    PhantomStructure("PTV_6000", "PTV", "cylinder", (37.0, -126.0, 412.0), (9.0, 7.0, 9.0), 20),
    PhantomStructure("PTV_5000", "PTV", "cylinder", (24.0, -117.0, 421.0), (6.0, 8.0, 6.0), 20),
    PhantomStructure("SpinalCord", "ORGAN", "cylinder", (33.0, -102.0, 415.0), (4.0, 4.0, 18.0), 40),
)
"""Cylinders that begin and end half way between slices, so that their contours have exactly their volume."""

CORD_OUTSIDE_BODY = (*STRUCTURES[:3], replace(STRUCTURES[3], centre_mm=(33.0, -95.0, 415.0)))
"""The same with half of the cord behind the patient's back."""

PROVENANCE = Provenance(
    software_version="0.1.0",
    model_id="test-model",
    model_sha256="ab" * 32,
    config_sha256="cd" * 32,
    input_uids={"1.2.3": "ef" * 32},
    created_utc=datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    preference={"target_weight": 1.0},
)


def write_small_phantom(
    directory: Path,
    structures: Sequence[PhantomStructure] = STRUCTURES,
    *,
    patient_position: str = "HFS",
    patient_id: str = "PHANTOM-1",
    slices: int = 12,
    modify: Callable[[Dataset], None] | None = None,
) -> PhantomCase:
    """Write a CT of 12 slices of 40 x 36 pixels, 3.0 x 2.2 x 1.7 mm, with its structure set."""
    directory.mkdir(parents=True, exist_ok=True)
    if modify is not None:
        return _write(directory, tuple(structures), patient_position, patient_id, slices, modify)
    phantom, files = _written_once(tuple(structures), patient_position, patient_id, slices)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return replace(
        phantom,
        ct_paths=tuple(directory / path.name for path in phantom.ct_paths),
        structure_set_path=directory / phantom.structure_set_path.name,
    )


def _write(
    directory: Path,
    structures: tuple[PhantomStructure, ...],
    patient_position: str,
    patient_id: str,
    slices: int,
    modify: Callable[[Dataset], None] | None = None,
) -> PhantomCase:
    return write_phantom(
        directory,
        structures,
        patient_position=patient_position,
        shape=(slices, 40, 36),
        spacing_mm=(3.0, 2.2, 1.7),
        centre_mm=CENTRE_MM,
        patient_id=patient_id,
        modify=modify,
    )


@cache
def _written_once(
    structures: tuple[PhantomStructure, ...], patient_position: str, patient_id: str, slices: int
) -> tuple[PhantomCase, dict[str, bytes]]:
    """Keep the files of a phantom: hundreds of tests begin with the same one."""
    with TemporaryDirectory() as folder:
        phantom = _write(Path(folder), structures, patient_position, patient_id, slices)
        return phantom, {path.name: path.read_bytes() for path in phantom.paths}


def write_plan_for(
    phantom: PhantomCase, path: Path, doses_gy: Mapping[int, float], *, fractions: int | None = 30, key: str = "plan"
) -> str:
    """Write an RTPLAN that prescribes doses to ROI numbers of a phantom, and give its SOP Instance UID."""
    uid = derived_uid(phantom.identity.structure_set_uid, key)
    references = [
        DoseReference(number, f"target {number}", True, target_prescription_gy=dose)
        for number, dose in doses_gy.items()
    ]
    write_rtplan(
        phantom.identity,
        references,
        PROVENANCE,
        label="TEST",
        fractions=fractions,
        frame_of_reference_uid=phantom.grid.frame_of_reference_uid,
        sop_instance_uid=uid,
        series_instance_uid=derived_uid(uid, "series"),
        path=path,
    )
    return uid


def linear_dose_gy(positions_mm: Points) -> FloatArray:
    """Give a dose that is linear in x, y and z: trilinear interpolation must give it back exactly."""
    offset = positions_mm - np.array(CENTRE_MM)
    return np.asarray(35.0 + offset @ np.array([0.21, -0.17, 0.34]))


def linear_dose(grid: Grid) -> Dose:
    """Give :func:`linear_dose_gy` on a grid."""
    index = np.indices(grid.shape).reshape(3, -1).T.astype(np.float64)
    return Dose(linear_dose_gy(grid.positions_mm(index)).reshape(grid.shape).astype(np.float32), grid)


def edit(path: Path, change: Callable[[Dataset], None]) -> None:
    """Change a DICOM file in place."""
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path, enforce_file_format=True)
