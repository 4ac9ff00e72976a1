"""OpenKBP patients as DICOM studies, with contours that enclose exactly the voxels of the masks.

The studies are written by an independent program, ``../shared/tools/openkbp_to_dicom.py``. It draws its contours half
way between pixel centres inside and outside, and so cuts across every corner of a mask: a loop encloses half a pixel
less than the pixels it goes round, whatever its length. ``tests/e2e/test_openkbp_contours.py`` measures what that
costs. Where voxels and contours have to be one patient, the contours are drawn again along the borders of the pixels.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import shapely
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from bridge.rt.arrays import Loop
from bridge.rt.grid import Grid
from bridge.rt.volume import Mask
from models.openkbp.reader import OpenKbpPatient
from tests.shared_data import shared_dir

TARGET_NAMES = {"PTV_5600": "PTV56", "PTV_6300": "PTV63", "PTV_7000": "PTV70"}
"""ROI names of the program to names of the anatomy; all other names are the same."""


def packed_patient(patient_id: str) -> Path:
    return shared_dir() / "openkbp" / "validation" / f"{patient_id}.npz"


def write_study(patient_id: str, study: Path, *options: str) -> None:
    """Write a study with the independent program, corners cut."""
    program = shared_dir() / "tools" / "openkbp_to_dicom.py"
    subprocess.run([sys.executable, program, packed_patient(patient_id), study, *options], check=True, timeout=240)


def write_exact_study(patient: OpenKbpPatient, study: Path, *options: str) -> Grid:
    """Write a study whose contours enclose the voxels of the patient, and give the grid of these voxels in it."""
    write_study(patient.id, study, *options)
    path = study / "RS.dcm"
    dataset = pydicom.dcmread(path)
    names = {roi.ROINumber: str(roi.ROIName) for roi in dataset.StructureSetROISequence}
    drawn = {names[item.ReferencedROINumber]: item for item in dataset.ROIContourSequence}
    masks = {name: patient.anatomy.masks[TARGET_NAMES.get(name, name)] for name in drawn if name != "BODY"}
    grid = _grid_in_study(patient.anatomy.grid, drawn["PTV_7000"], masks["PTV_7000"])
    for name, mask in {**masks, "BODY": patient.anatomy.body}.items():
        drawn[name].ContourSequence = _contours(mask.values >= 0.5, grid)
    dataset.save_as(path, enforce_file_format=True)
    return grid


def border_loops(inside: NDArray[np.bool_]) -> list[Loop]:
    """Give the borders of the pixels inside as closed loops ``(n, 2)`` of pixel corners, column and row.

    Pixel ``[r, c]`` covers the columns ``c`` to ``c + 1`` and the rows ``r`` to ``r + 1``. Each hole is a loop.
    """
    steps = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(int), axis=1)
    row, first = np.nonzero(steps == 1)
    _, stop = np.nonzero(steps == -1)
    union = shapely.union_all(shapely.box(first, row, stop, row + 1))
    rings = [ring for part in shapely.get_parts(union) for ring in (part.exterior, *part.interiors)]
    return [np.array(ring.coords)[:-1] for ring in rings]


def _grid_in_study(grid: Grid, drawn: Dataset, mask: Mask) -> Grid:
    """Move the patient's grid along z, as the program does when it drops empty slices: the masks tell how far."""
    slices = np.flatnonzero(mask.values.any(axis=(1, 2)))
    before = grid.positions_mm(np.column_stack([slices, 0.0 * slices, 0.0 * slices]))[:, 2]
    planes = np.unique([float(contour.ContourData[2]) for contour in drawn.ContourSequence])
    shift = planes - before
    assert np.ptp(shift) < 0.002, "the program drew the target on other slices than those of its mask"
    affine = grid.affine.copy()
    affine[2, 3] += shift[0]
    return Grid(grid.shape, affine, "moved")


def _contours(inside: NDArray[np.bool_], grid: Grid) -> list[Dataset]:
    contours = []
    for k in np.flatnonzero(inside.any(axis=(1, 2))):
        for loop in border_loops(inside[k]):
            corners = np.column_stack([np.full(len(loop), float(k)), loop[:, ::-1] - 0.5])
            contour = Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(loop)
            contour.ContourData = [f"{value:.3f}" for value in grid.positions_mm(corners).ravel()]
            contours.append(contour)
    return contours
