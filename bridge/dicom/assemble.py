"""Assemble: from a pile of DICOM files to one patient case, or a refusal that says which file is the trouble."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.uid import CTImageStorage, RTDoseStorage, RTPlanStorage, RTStructureSetStorage

from bridge.dicom.ct import ct_series
from bridge.dicom.instances import Instance, read_instance
from bridge.dicom.plan import PlanPrescription, plan_prescription_of
from bridge.dicom.structure_set import StructureSet, structure_set_of
from bridge.dicom.values import optional_text
from bridge.rt.case import CaseIdentity, PatientCase
from bridge.rt.errors import DicomRefusal, IdentityRefusal, StorageFailure, StructureRefusal
from bridge.rt.findings import Finding

__all__ = ["CaseInput", "collect", "read_case"]

_SHOWN_UIDS = 5


@dataclass(frozen=True, eq=False)
class CaseInput:
    """A case and, where an RTPLAN came along, what it prescribes.

    Attributes
    ----------
    case
        Without a prescription yet: which source counts is not for the reader to decide.
    plan
        None where no plan refers to the structure set.
    """

    case: PatientCase
    plan: PlanPrescription | None


def collect(directory: Path) -> list[Path]:
    """List all regular files below a folder, sorted. :func:`read_case` refuses those that are not DICOM.

    Raises
    ------
    StorageFailure
        The folder is not there or cannot be read.
    """
    if not directory.is_dir():
        raise StorageFailure("folder-unreadable", "The folder does not exist or cannot be read.", folder=directory.name)
    return sorted(path for path in directory.rglob("*") if path.is_file())


def read_case(paths: Sequence[Path]) -> CaseInput:
    """Read one patient's CT and structure set, with the plan if there is one.

    The CT is the series that the structure set names; each file is read once.

    Parameters
    ----------
    paths
        Files in any order: one RTSTRUCT, its CT, perhaps RTPLANs; RTDOSEs are passed over.

    Raises
    ------
    DicomRefusal
        A file that cannot be read safely; ``structure-set-count``, ``ct-missing``, ``ct-incomplete``,
        ``ct-ambiguous``, ``several-plans``.
    IdentityRefusal
        ``two-patients``, ``two-studies``, ``same-uid-other-content``, ``patient-differs``.
    GeometryRefusal, StructureRefusal
        See :mod:`bridge.dicom.ct` and :mod:`bridge.dicom.structure_set`.
    """
    instances = _distinct(read_instance(path) for path in paths)
    _require_one_patient(instances)
    by_class: dict[str, list[Instance]] = defaultdict(list)
    for instance in instances:
        by_class[instance.header.sop_class_uid].append(instance)
    rtstruct = _only_structure_set(by_class[RTStructureSetStorage])
    findings: list[Finding] = []
    slices = _slices_of(rtstruct, by_class[CTImageStorage], findings)
    ct = ct_series(slices)
    structures = structure_set_of(rtstruct, ct.volume.grid)
    plan = _plan_for(structures, by_class[RTPlanStorage], findings)
    if by_class[RTDoseStorage]:
        message = f"{len(by_class[RTDoseStorage])} RTDOSE came along; a prediction does not look at doses."
        findings.append(Finding("dose-ignored", "info", message))
    prescription = None if plan is None else plan_prescription_of(plan)
    used = [*slices, rtstruct, *([plan] if plan is not None else [])]
    case = PatientCase(
        identity=_identity(slices[0], rtstruct, ct.patient_position),
        ct=ct.volume,
        structures=structures.structures,
        gantry_angles_deg=prescription.gantry_angles_deg or None if prescription else None,
        findings=(*findings, *ct.findings, *structures.findings),
        input_uids={item.header.sop_instance_uid: item.sha256 for item in used},
    )
    return CaseInput(case, prescription)


def _distinct(instances: Iterable[Instance]) -> list[Instance]:
    """Drop repeated copies; two contents under one UID are refused (which one is meant?)."""
    found: dict[str, Instance] = {}
    for instance in instances:
        uid = instance.header.sop_instance_uid
        earlier = found.setdefault(uid, instance)
        if earlier.sha256 != instance.sha256 and earlier.dataset != instance.dataset:
            raise IdentityRefusal(
                "same-uid-other-content",
                "Two files have the same SOP Instance UID and different content. Remove the one that is not meant, or "
                "export the object again under a new UID.",
                sop_instance_uid=uid,
            )
    return list(found.values())


def _require_one_patient(instances: Sequence[Instance]) -> None:
    for code, what, keys in (
        ("two-patients", "patients (by Patient ID)", [item.header.patient_key for item in instances]),
        ("two-studies", "studies", [item.header.study_instance_uid for item in instances]),
    ):
        if len(set(keys)) > 1:
            other = next(item for item, key in zip(instances, keys, strict=True) if key != keys[0])
            raise IdentityRefusal(
                code,
                f"The files are of {len(set(keys))} different {what}; send each on its own.",
                sop_instance_uid=other.header.sop_instance_uid,
            )
    for keyword in ("PatientName", "PatientBirthDate"):
        # absent parts of a name may be written or left out: DOE^JANE and Doe^Jane^^^ are one
        shown = {_plain(optional_text(item.dataset, keyword)) for item in instances} - {""}
        if len(shown) > 1:
            raise IdentityRefusal(
                "patient-differs",
                f"The files have one Patient ID but differ in {keyword}; make sure that they are of one patient.",
            )


def _plain(name: str) -> str:
    return " ".join(name.replace("^", " ").casefold().split())


def _only_structure_set(found: Sequence[Instance]) -> Instance:
    if len(found) != 1:
        uids = ", ".join(item.header.sop_instance_uid for item in found[:_SHOWN_UIDS])
        raise DicomRefusal(
            "structure-set-count",
            f"There are {len(found)} RTSTRUCT, exactly one is needed" + (f": {uids}." if found else "."),
        )
    return found[0]


def _slices_of(rtstruct: Instance, images: Sequence[Instance], findings: list[Finding]) -> list[Instance]:
    """Pick the CT series that the structure set was drawn on and check that all of it is there."""
    if not images:
        raise DicomRefusal("ct-missing", "There is no CT; send the planning CT with its RTSTRUCT.")
    named = rtstruct.header.referenced_sop_instance_uids
    missing = sorted(named - {item.header.sop_instance_uid for item in images})
    if missing:
        shown = ", ".join(missing[:_SHOWN_UIDS]) + (", ..." if len(missing) > _SHOWN_UIDS else "")
        raise DicomRefusal(
            "ct-incomplete",
            f"{len(missing)} of the {len(named)} CT slices that the structure set was drawn on are missing: {shown}",
            missing=" ".join(missing[:_SHOWN_UIDS]),
            missing_count=len(missing),
        )
    series = {item.header.series_instance_uid for item in images}
    wanted = {item.header.series_instance_uid for item in images if item.header.sop_instance_uid in named} or series
    if len(wanted) != 1:
        raise DicomRefusal(
            "ct-ambiguous",
            f"The structure set {'names slices of' if named else 'names no slices, and there are'} {len(wanted)} CT "
            "series; send the one that it was drawn on.",
        )
    slices = [item for item in images if item.header.series_instance_uid in wanted]
    if len(slices) < len(images):
        message = f"{len(images) - len(slices)} CT slices of {len(series) - 1} other series were passed over."
        findings.append(Finding("ct-other-series", "info", message))
    unnamed = sum(item.header.sop_instance_uid not in named for item in slices)
    if not named:
        findings.append(
            Finding("ct-not-named", "warning", "The structure set names no CT slices: nothing shows that all are here.")
        )
    elif unnamed:
        message = f"{unnamed} slices of the CT series are not named by the structure set; they are used all the same."
        findings.append(Finding("ct-extra-slices", "warning", message))
    return slices


def _plan_for(structures: StructureSet, plans: Sequence[Instance], findings: list[Finding]) -> Instance | None:
    fitting = [plan for plan in plans if structures.sop_instance_uid in plan.header.referenced_sop_instance_uids]
    if len(fitting) > 1:
        uids = ", ".join(plan.header.sop_instance_uid for plan in fitting[:_SHOWN_UIDS])
        raise DicomRefusal("several-plans", f"{len(fitting)} plans refer to the structure set: {uids}. Send one.")
    if len(fitting) < len(plans):
        message = f"{len(plans) - len(fitting)} RTPLAN refer to another structure set and were passed over."
        findings.append(Finding("plan-ignored", "warning", message))
    if not fitting:
        return None
    numbers = {structure.number for structure in structures.structures}
    unknown = sorted({roi for roi, _ in plan_prescription_of(fitting[0]).doses} - numbers)
    if unknown:
        raise StructureRefusal(
            "plan-roi-unknown",
            f"The RTPLAN prescribes a dose to ROI number {unknown[0]}, which the structure set does not define.",
            roi=unknown[0],
            sop_instance_uid=fitting[0].header.sop_instance_uid,
        )
    return fitting[0]


def _identity(image: Instance, rtstruct: Instance, patient_position: str) -> CaseIdentity:
    def received(keyword: str) -> str:
        return optional_text(image.dataset, keyword)

    return CaseIdentity(
        patient_id=received("PatientID"),
        patient_name=received("PatientName"),
        patient_birth_date=received("PatientBirthDate"),
        patient_sex=received("PatientSex"),
        study_instance_uid=image.header.study_instance_uid,
        study_id=received("StudyID"),
        study_date=received("StudyDate"),
        study_time=received("StudyTime"),
        accession_number=received("AccessionNumber"),
        referring_physician_name=received("ReferringPhysicianName"),
        structure_set_uid=rtstruct.header.sop_instance_uid,
        patient_position=patient_position,
        position_reference_indicator=received("PositionReferenceIndicator"),
    )
