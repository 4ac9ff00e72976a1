"""Whether objectives belong to a case: the same structure set, the same bytes, the same names and doses."""

from __future__ import annotations

from bridge.rt.case import PatientCase
from bridge.rt.errors import ApprovalRefusal, IdentityRefusal, PrescriptionRefusal, StructureRefusal
from bridge.rt.prescription import Prescription
from objective_extraction.objective_set import ObjectiveSet

__all__ = ["require_same_case"]

_SAME_DOSE_GY = 0.005


def require_same_case(objectives: ObjectiveSet, case: PatientCase) -> None:
    """Refuse objectives that were made for anything else than this case.

    An objective set names no patient. It names the structure set by its UID, and by the hash of the file that was
    read, in which the patient stands.

    Parameters
    ----------
    objectives
        As read from their file, which has been held against its own hash.
    case
        As read, with its prescription where one is known.

    Raises
    ------
    IdentityRefusal
        Another structure set, study or frame of reference (``objectives-of-other-case``).
    ApprovalRefusal
        The same structure set with other content than the objectives were made from (``input-changed``), or nothing
        says with which (``input-unknown``).
    StructureRefusal
        An ROI number means another structure here (``roi-name-conflict``).
    PrescriptionRefusal
        Another dose of a target, another target, or another number of fractions is prescribed here
        (``prescription-differs``).
    """
    _require_uids(objectives, case)
    _require_same_bytes(objectives, case)
    _require_names(objectives, case)
    if case.prescription is not None:
        _require_prescription(objectives.prescription, case.prescription)


def _require_names(objectives: ObjectiveSet, case: PatientCase) -> None:
    names = {structure.number: structure.name for structure in case.structures}
    levels = objectives.prescription.levels
    for number, name in [(o.roi_number, o.roi_name) for o in (*objectives.objectives, *levels)]:
        if number is not None and names.get(number) != name:
            raise StructureRefusal(
                "roi-name-conflict",
                f"The objectives call ROI {number} {name!r}; in the structure set it is {names.get(number)!r}.",
                roi=name,
            )


def _require_prescription(meant: Prescription, found: Prescription) -> None:
    names = {level.roi_number: level.roi_name for level in (*meant.levels, *found.levels)}
    for number, name in names.items():
        wanted, here = _dose_gy(meant, number), _dose_gy(found, number)
        if abs(wanted - here) > _SAME_DOSE_GY:
            raise PrescriptionRefusal(
                "prescription-differs",
                f"The objectives are for {wanted:g} Gy to {name!r}, the case has {here:g} Gy.",
                roi=name,
            )
    if None not in (meant.fractions, found.fractions) and meant.fractions != found.fractions:
        raise PrescriptionRefusal(
            "prescription-differs",
            f"The objectives are for {meant.fractions} fractions, the case has {found.fractions}.",
        )


def _dose_gy(prescription: Prescription, number: int) -> float:
    """Give what is prescribed to a structure, 0 where nothing is."""
    level = prescription.level_of(number)
    return 0.0 if level is None else level.dose_gy


def _require_uids(objectives: ObjectiveSet, case: PatientCase) -> None:
    meant, identity = objectives.case, case.identity
    for what, wanted, found in (
        ("structure set", meant.structure_set_uid, identity.structure_set_uid),
        ("study", meant.study_instance_uid, identity.study_instance_uid),
        ("frame of reference", meant.frame_of_reference_uid, case.ct.grid.frame_of_reference_uid),
    ):
        if wanted != found:
            raise IdentityRefusal(
                "objectives-of-other-case",
                f"The objectives are for another {what} than that of this case.",
                objectives=wanted,
                case=found,
            )


def _require_same_bytes(objectives: ObjectiveSet, case: PatientCase) -> None:
    read = objectives.provenance.input_uids
    if case.identity.structure_set_uid not in read:
        raise ApprovalRefusal(
            "input-unknown",
            "The objectives do not say which content of the structure set they were made from; extract them again.",
            sop_instance_uid=case.identity.structure_set_uid,
        )
    changed = sorted(uid for uid, sha256 in case.input_uids.items() if read.get(uid, sha256) != sha256)
    if changed:
        raise ApprovalRefusal(
            "input-changed",
            f"{len(changed)} of {len(case.input_uids)} files have the UIDs, but not the bytes, of those that the "
            "objectives were made from. Another export of the same case differs so, and so do edited contours; which "
            "it is cannot be told here. Plan from the files that the objectives were made from, or run `predict` or "
            "`extract` on these and plan from what that writes.",
            sop_instance_uid=changed[0],
        )
