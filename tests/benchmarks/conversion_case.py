"""An OpenKBP patient as a planning system has it: contours, CT, levels and beams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from bridge.rt.arrays import Loop
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.structure import Plane, RoiKind, Structure
from bridge.rt.volume import CtVolume, Dose, Mask
from esapi_stub.planning import PlannedBeam
from models.openkbp.reader import GANTRY_ANGLES_DEG, read_patient

BODY_NAME = "BODY"
FRACTIONS = 35


@dataclass(frozen=True, eq=False)
class ConversionCase:
    """One patient; the dose is the reference plan's."""

    id: str
    ct: CtVolume
    structures: tuple[Structure, ...]
    prescription: Prescription
    beams: tuple[PlannedBeam, ...]
    dose: Dose


def read_case(path: Path) -> ConversionCase:
    """Read a patient and draw contours along the edges of its voxels; the body has number 1."""
    patient = read_patient(path)
    anatomy = patient.anatomy
    assert anatomy.ct is not None
    structures = [outlined(anatomy.body, 1, BODY_NAME, "external")]
    for number, (name, mask) in enumerate(anatomy.masks.items(), start=2):
        structures.append(outlined(mask, number, name, "target" if name in anatomy.target_levels_gy else "organ"))
    levels = tuple(
        TargetLevel(structure.number, structure.name, anatomy.target_levels_gy[structure.name], "target_name")
        for structure in structures
        if structure.kind == "target"
    )
    inside = np.logical_or.reduce([anatomy.masks[level.roi_name].values > 0 for level in levels])
    x, y, z = anatomy.grid.positions_mm(np.argwhere(inside).astype(np.float64)).mean(axis=0)
    isocentre = (float(x), float(y), float(z))
    beams = tuple(PlannedBeam(f"G{angle:.0f}", angle, 0.0, 0.0, isocentre, "6X") for angle in GANTRY_ANGLES_DEG)
    return ConversionCase(
        patient.id, anatomy.ct, tuple(structures), Prescription(levels, FRACTIONS), beams, patient.dose
    )


def outlined(mask: Mask, number: int, name: str, kind: RoiKind) -> Structure:
    """Give the structure whose contours run along the edges of the voxels of a mask, on their slices.

    Between the first and the last slice, one without voxels is an empty plane: its neighbours must not fill it.
    """
    slices = np.flatnonzero(mask.values.any(axis=(1, 2)))
    planes = []
    for index in range(slices[0], slices[-1] + 1):
        z_mm = float(mask.grid.positions_mm(np.array([[index, 0.0, 0.0]]))[0, 2])
        planes.append(Plane(z_mm, tuple(_to_mm(loop, mask) for loop in _outlines(mask.values[index] > 0))))
    return Structure(
        number, name, kind, tuple(planes), mask.grid.frame_of_reference_uid, mask.grid.spacing_mm[0],
        standard_name=name if kind == "organ" else None,
    )  # fmt: skip


def _outlines(voxels: np.ndarray) -> list[Loop]:
    """Give the boundaries of the voxels of a slice in (column, row), holes as loops of their own."""
    boxes = []
    for row in np.flatnonzero(voxels.any(axis=1)):
        edges = np.flatnonzero(np.diff(np.pad(voxels[row].astype(np.int8), 1)))
        boxes += [shapely.box(start, row, stop, row + 1) for start, stop in edges.reshape(-1, 2)]
    loops: list[Loop] = []
    for part in shapely.get_parts(shapely.union_all(boxes)):
        for boundary in (part.exterior, *part.interiors):
            loops.append(shapely.get_coordinates(shapely.simplify(boundary, 0.0))[:-1])
    return loops


def _to_mm(loop: Loop, mask: Mask) -> Loop:
    index = np.column_stack([np.zeros(len(loop)), loop[:, 1] - 0.5, loop[:, 0] - 0.5])
    return mask.grid.positions_mm(index)[:, :2]
