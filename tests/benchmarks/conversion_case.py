"""An OpenKBP patient as a planning system has it: contours, CT, levels and beams."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.rt.prescription import Prescription
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume, Dose
from bridge.workflow.library.case import PlanningCase
from esapi_stub.planning import PlannedBeam
from models.openkbp.reader import GANTRY_ANGLES_DEG


@dataclass(frozen=True, eq=False)
class ConversionCase:
    """One patient; the dose is the reference plan's."""

    id: str
    ct: CtVolume
    structures: tuple[Structure, ...]
    prescription: Prescription
    beams: tuple[PlannedBeam, ...]
    dose: Dose


def case_of(planning: PlanningCase) -> ConversionCase:
    """Give a patient of the plan library with the beams of OpenKBP's plans."""
    beams = tuple(
        PlannedBeam(f"G{angle:.0f}", angle, 0.0, 0.0, planning.isocentre_mm, "6X") for angle in GANTRY_ANGLES_DEG
    )
    return ConversionCase(
        planning.id, planning.ct, planning.structures, planning.prescription, beams, planning.patient.dose
    )
