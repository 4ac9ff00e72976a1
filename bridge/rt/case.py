"""PatientCase: what a planning system sent about one patient, checked, in patient coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.rt.errors import GeometryRefusal, StructureRefusal
from bridge.rt.findings import Finding
from bridge.rt.grid import Grid
from bridge.rt.prescription import Prescription
from bridge.rt.structure import Structure
from bridge.rt.volume import CtVolume, Mask

__all__ = ["Anatomy", "CaseIdentity", "PatientCase"]


@dataclass(frozen=True)
class CaseIdentity:
    """Who and what a case is, as its DICOM objects say. Goes into DICOM objects, never into logs or paths.

    Attributes
    ----------
    patient_id, patient_name, patient_birth_date, patient_sex
        PS3.3 C.7.1.1, as received, possibly empty.
    study_instance_uid, study_id, study_date, study_time, accession_number, referring_physician_name
        PS3.3 C.7.2.1, as received.
    structure_set_uid
        SOP Instance UID of the RTSTRUCT.
    position_reference_indicator
        PS3.3 C.7.4.1.
    patient_position
        HFS, HFP, HFDR, HFDL, FFS, FFP, FFDR or FFDL.
    """

    patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    study_instance_uid: str
    study_id: str
    study_date: str
    study_time: str
    accession_number: str
    referring_physician_name: str
    structure_set_uid: str
    patient_position: str
    position_reference_indicator: str = ""


@dataclass(frozen=True, eq=False)
class PatientCase:
    """One CT with the structures drawn on it and, once known, the prescription.

    Attributes
    ----------
    identity
        Patient, study and structure set.
    ct
        CT numbers in HU on the CT grid.
    structures
        In ROI number order; numbers are unique, and so are the names of the structures that have contours.
    prescription
        Target levels, or None until they have been found.
    gantry_angles_deg
        Beams of the plan that came along, IEC 61217 gantry angles, or None where no plan came.
    findings
        What the readers noticed.
    input_uids
        SOP Instance UID to SHA-256 of the bytes, for everything that was read.
    """

    identity: CaseIdentity
    ct: CtVolume
    structures: tuple[Structure, ...]
    prescription: Prescription | None = None
    gantry_angles_deg: tuple[float, ...] | None = None
    findings: tuple[Finding, ...] = ()
    input_uids: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = [structure.number for structure in self.structures]
        names = [structure.name for structure in self.structures if not structure.is_empty]
        for what, values in (("number", numbers), ("name", names)):
            repeated = sorted({str(value) for value in values if values.count(value) > 1})  # type: ignore[arg-type]
            if repeated:
                raise StructureRefusal(
                    f"roi-{what}-repeated",
                    f"Two structures with contours share the ROI {what} {', '.join(repeated)}; rename one in the TPS.",
                    roi=", ".join(repeated),
                )
        frame = self.ct.grid.frame_of_reference_uid
        for structure in self.structures:
            if structure.frame_of_reference_uid != frame:
                raise GeometryRefusal(
                    "frame-of-reference",
                    f"Structure {structure.name!r} is in frame of reference {structure.frame_of_reference_uid}, the CT "
                    f"in {frame}.",
                    roi=structure.name,
                )

    def structure(self, name: str) -> Structure:
        """Give the structure with contours of that ROI name or standard name.

        Raises
        ------
        StructureRefusal
            None has that name, or more than one.
        """
        found = [s for s in self.structures if name in (s.name, s.standard_name) and not s.is_empty]
        if len(found) != 1:
            problem = "No structure" if not found else "More than one structure"
            raise StructureRefusal("roi-unknown", f"{problem} with contours is named {name!r}.", roi=name)
        return found[0]


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What a dose predictor sees: CT, body, structures and target levels as masks on one grid.

    Nothing in it comes from a dose. A case from any planning system and an OpenKBP patient both become this.

    Attributes
    ----------
    grid
        The grid of every array here and of the predicted dose.
    ct
        CT numbers in HU, -1000 outside the body; None where no CT could be had.
    body
        Where dose can be (EXTERNAL contour, or the CT).
    masks
        Structure name (TG-263 where mapped, else the ROI name) to mask; targets and organs, body excluded.
    target_levels_gy
        Prescribed total dose of each target: keys are keys of ``masks``.
    gantry_angles_deg
        IEC 61217 gantry angles of the beams that the plan will have, or None where unknown.
    patient_position
        How the patient lies while these angles are meant.
    """

    grid: Grid
    ct: CtVolume | None
    body: Mask
    masks: Mapping[str, Mask]
    target_levels_gy: Mapping[str, float]
    gantry_angles_deg: tuple[float, ...] | None = None
    patient_position: str = "HFS"

    def __post_init__(self) -> None:
        volumes = [self.body, *self.masks.values(), *([self.ct] if self.ct is not None else [])]
        if not all(volume.grid.matches(self.grid) for volume in volumes):
            raise GeometryRefusal("anatomy-grid", "Every volume of an anatomy must lie on the anatomy's own grid.")
        missing = sorted(set(self.target_levels_gy) - set(self.masks))
        if missing or not self.target_levels_gy:
            raise StructureRefusal(
                "no-target", f"An anatomy needs a mask for every target; missing: {missing or 'all'}."
            )
