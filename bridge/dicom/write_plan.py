"""RTPLAN out: a plan without beams that carries the constraints and gives the predicted dose a plan to belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage, RTStructureSetStorage

from bridge.dicom.common import bounded_text, contribution, decimal_string, new_dataset, reference, save, set_equipment
from bridge.dicom.uids import derived_uid
from bridge.rt.case import CaseIdentity
from bridge.rt.dose_reference import DoseReference
from bridge.rt.provenance import NOT_FOR_CLINICAL_USE, Provenance

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
) -> None:
    """Write constraints as an RTPLAN without beams (PS3.3 A.20, C.8.8.9, C.8.8.10, C.8.8.13), atomically.

    Parameters
    ----------
    references
        In the order in which they are numbered, from 1; an ROI may have several.
    label
        RT Plan Label, at most 16 characters; Eclipse takes 13 for a plan id.
    fractions
        Number of Fractions Planned, or None where it is not known.

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
    set_equipment(dataset, provenance)
    dataset.SeriesDescription = f"OPTIMIZATION OBJECTIVES - {NOT_FOR_CLINICAL_USE}"
    dataset.RTPlanLabel = bounded_text(label, 16, "The plan label")
    dataset.RTPlanName = f"Objectives - {NOT_FOR_CLINICAL_USE}"
    dataset.RTPlanDescription = f"{NOT_FOR_CLINICAL_USE}; no beams; {contribution(provenance)}"[:1024]
    dataset.RTPlanDate, dataset.RTPlanTime = dataset.SeriesDate, dataset.SeriesTime
    dataset.PlanIntent = "RESEARCH"
    dataset.RTPlanGeometry = "PATIENT"
    dataset.ReferencedStructureSetSequence = [reference(RTStructureSetStorage, identity.structure_set_uid)]
    if references:
        dataset.DoseReferenceSequence = [
            _dose_reference(number, item, sop_instance_uid) for number, item in enumerate(references, 1)
        ]
    group = Dataset()
    group.FractionGroupNumber = 1
    group.NumberOfFractionsPlanned = fractions
    group.NumberOfBeams = 0
    group.NumberOfBrachyApplicationSetups = 0
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
