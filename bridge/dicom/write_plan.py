"""RTPLAN out: a plan that carries the constraints and gives a dose a plan to belong to; optimized ones have beams."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage, RTStructureSetStorage

from bridge.dicom.common import bounded_text, contribution, decimal_string, new_dataset, reference, save, set_equipment
from bridge.dicom.uids import derived_uid
from bridge.dicom.write_beams import set_beams
from bridge.rt.case import CaseIdentity
from bridge.rt.dose_reference import DoseReference
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE, Provenance
from bridge.rt.treatment_beam import TreatmentBeam

__all__ = ["write_rtplan"]

_SERIES_NUMBER = 9002

_DECIMALS = {
    "weight": "ConstraintWeight",
    "target_minimum_gy": "TargetMinimumDose",
    "target_prescription_gy": "TargetPrescriptionDose",
    "target_maximum_gy": "TargetMaximumDose",
    "target_underdose_percent": "TargetUnderdoseVolumeFraction",
    "organ_full_volume_gy": "OrganAtRiskFullVolumeDose",
    "organ_limit_gy": "OrganAtRiskLimitDose",
    "organ_maximum_gy": "OrganAtRiskMaximumDose",
    "organ_overdose_percent": "OrganAtRiskOverdoseVolumeFraction",
}


def write_rtplan(
    identity: CaseIdentity,
    references: Sequence[DoseReference],
    provenance: Provenance,
    *,
    label: str,
    fractions: int | None,
    frame_of_reference_uid: str,
    sop_instance_uid: str,
    series_instance_uid: str,
    path: Path,
    beams: Sequence[TreatmentBeam] = (),
    predecessor_uid: str | None = None,
    engine: str = "",
    remark: str = "",
) -> None:
    """Write constraints, and beams that were optimized for them, as an RTPLAN (PS3.3 A.20, C.8.8.9 to 14), atomically.

    Parameters
    ----------
    references
        In the order in which they are numbered, from 1; an ROI may have several.
    label
        RT Plan Label, at most 16 characters; Eclipse takes 13 for a plan id.
    fractions
        Number of Fractions Planned, or None where it is not known.
    beams
        Of an optimized plan, with monitor units of one fraction; none for a plan of constraints alone.
    predecessor_uid
        SOP Instance UID of the RTPLAN that the plan was derived from, or None.
    engine
        Dose engine that optimized the beams.
    remark
        More for the plan's description.

    Raises
    ------
    DicomRefusal
        ``text-too-long`` for the label or a description.
    StorageFailure
        The file cannot be written.
    """
    dataset = new_dataset(
        sop_class_uid=RTPlanStorage,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        series_number=_SERIES_NUMBER,
        modality="RTPLAN",
        identity=identity,
        frame_of_reference_uid=frame_of_reference_uid,
    )
    set_equipment(dataset, provenance, engine)
    title = "OPTIMIZED PLAN" if beams else "OPTIMIZATION OBJECTIVES"
    holds = "fluence without leaf motions, not deliverable" if beams else "no beams"
    said = "; ".join(filter(None, (NOT_FOR_CLINICAL_USE, holds, remark, contribution(provenance, engine))))
    dataset.SeriesDescription = f"{title} - {NOT_FOR_CLINICAL_USE}"
    dataset.RTPlanLabel = bounded_text(label, 16, "The plan label")
    dataset.RTPlanName = f"{'Optimized' if beams else 'Objectives'} - {NOT_FOR_CLINICAL_USE}"
    dataset.RTPlanDescription = said[:1024]
    dataset.RTPlanDate, dataset.RTPlanTime = dataset.SeriesDate, dataset.SeriesTime
    dataset.PlanIntent = "RESEARCH"
    dataset.RTPlanGeometry = "PATIENT"
    dataset.ReferencedStructureSetSequence = [reference(RTStructureSetStorage, identity.structure_set_uid)]
    if predecessor_uid is not None:
        predecessor = reference(RTPlanStorage, predecessor_uid)
        predecessor.RTPlanRelationship = "PREDECESSOR"
        dataset.ReferencedRTPlanSequence = [predecessor]
    if references:
        dataset.DoseReferenceSequence = [
            _dose_reference(number, item, sop_instance_uid) for number, item in enumerate(references, 1)
        ]
    group = Dataset()
    group.FractionGroupNumber = 1
    group.NumberOfFractionsPlanned = fractions
    group.NumberOfBeams = 0
    group.NumberOfBrachyApplicationSetups = 0
    if beams:
        set_beams(dataset, group, beams, identity.patient_position)
    dataset.FractionGroupSequence = [group]
    dataset.ApprovalStatus = "UNAPPROVED"
    save(dataset, path)


def _dose_reference(number: int, constraint: DoseReference, plan_uid: str) -> Dataset:
    item = Dataset()
    item.DoseReferenceNumber = number
    item.DoseReferenceUID = derived_uid(plan_uid, "dose reference", str(number))
    item.DoseReferenceStructureType = "VOLUME"
    item.DoseReferenceDescription = bounded_text(constraint.description, 64, "A dose reference description")
    item.ReferencedROINumber = constraint.roi_number
    item.DoseReferenceType = "TARGET" if constraint.is_target else "ORGAN_AT_RISK"
    for attribute, keyword in _DECIMALS.items():
        value = getattr(constraint, attribute)
        if value is not None:
            setattr(item, keyword, decimal_string(value))
    return item
