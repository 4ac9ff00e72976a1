"""RTPLAN: what a plan that came along says about prescription and beams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage

from bridge.dicom.instances import Instance, read_instance
from bridge.dicom.values import has_value, integer, items, numbers, optional_text, text
from bridge.rt.errors import error_context

__all__ = ["PlanPrescription", "plan_label", "plan_prescription_of", "plan_prescriptions"]


@dataclass(frozen=True)
class PlanPrescription:
    """The part of an RTPLAN that matters before planning.

    Attributes
    ----------
    doses
        ``(roi_number, dose_gy)`` of every dose reference of type TARGET that names an ROI and has a Target
        Prescription Dose; equal pairs once, contradicting ones side by side.
    fractions
        Number of Fractions Planned, or None where the plan has no or more than one fraction group, or no number.
    gantry_angles_deg
        IEC 61217 gantry angles of the treatment beams, in beam order, each once; an arc gives those of its control
        points.
    """

    doses: tuple[tuple[int, float], ...]
    fractions: int | None
    gantry_angles_deg: tuple[float, ...]


def plan_prescriptions(path: Path) -> PlanPrescription:
    """Read the prescription of an RTPLAN file (PS3.3 C.8.8.10, C.8.8.13, C.8.8.14).

    Raises
    ------
    DicomRefusal
        The file is not a whole RTPLAN, or an attribute is not valid.
    """
    return plan_prescription_of(read_instance(path, RTPlanStorage))


def plan_label(path: Path) -> str:
    """Read the RT Plan Label, which Eclipse shows as the plan's id; empty where there is none. Raises as above."""
    return optional_text(read_instance(path, RTPlanStorage).dataset, "RTPlanLabel")


def plan_prescription_of(instance: Instance) -> PlanPrescription:
    """Interpret an RTPLAN; see :func:`plan_prescriptions`."""
    with error_context({"sop_instance_uid": instance.header.sop_instance_uid}):
        return PlanPrescription(
            _doses(instance.dataset), _fractions(instance.dataset), _gantry_angles_deg(instance.dataset)
        )


def _doses(dataset: Dataset) -> tuple[tuple[int, float], ...]:
    doses = [
        (integer(item, "ReferencedROINumber"), float(numbers(item, "TargetPrescriptionDose", 1)[0]))
        for item in items(dataset, "DoseReferenceSequence", required=False)
        if text(item, "DoseReferenceType") == "TARGET"
        and has_value(item, "ReferencedROINumber")
        and has_value(item, "TargetPrescriptionDose")
    ]
    return tuple(dict.fromkeys(doses))


def _fractions(dataset: Dataset) -> int | None:
    groups = items(dataset, "FractionGroupSequence", required=False)
    if len(groups) != 1 or not has_value(groups[0], "NumberOfFractionsPlanned"):
        return None
    return integer(groups[0], "NumberOfFractionsPlanned")


def _gantry_angles_deg(dataset: Dataset) -> tuple[float, ...]:
    angles = [
        float(numbers(point, "GantryAngle", 1)[0])
        for beam in items(dataset, "BeamSequence", required=False)
        if optional_text(beam, "TreatmentDeliveryType") in ("", "TREATMENT")
        for point in items(beam, "ControlPointSequence")
        if has_value(point, "GantryAngle")
    ]
    return tuple(dict.fromkeys(angles))
