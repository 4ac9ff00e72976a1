"""An OpenKBP patient as a planning system has it: contours, CT, levels and beams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge.rt.outline import outlined
from bridge.rt.prescription import Prescription, TargetLevel
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume, Dose
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
