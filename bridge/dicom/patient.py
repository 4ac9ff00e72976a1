"""Whose object it is, for a person who is to recognise the patient; read without pixels or contours."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from bridge.dicom.headers import parse
from bridge.dicom.values import optional_text

__all__ = ["PatientLabel", "patient_label"]


@dataclass(frozen=True)
class PatientLabel:
    """A patient as the object says; each as received but for separators, empty where it says nothing.

    Attributes
    ----------
    name
        Family and given names, "DOE, Jane"; a name in another script follows in parentheses.
    patient_id
        Patient ID.
    birth_date
        "1950-01-31".
    sex
        Patient's Sex.
    """

    name: str
    patient_id: str
    birth_date: str
    sex: str


def patient_label(data: bytes) -> PatientLabel:
    """Read the label of a DICOM object.

    Parameters
    ----------
    data
        The whole file.

    Raises
    ------
    DicomRefusal
        It cannot be decoded.
    """
    # the character set is needed to read names in other scripts
    dataset = parse(
        BytesIO(data), ["SpecificCharacterSet", "PatientName", "PatientID", "PatientBirthDate", "PatientSex"]
    )
    born = optional_text(dataset, "PatientBirthDate")
    is_date = len(born) == 8 and born.isdecimal()
    return PatientLabel(
        name=_readable(optional_text(dataset, "PatientName")),
        patient_id=optional_text(dataset, "PatientID"),
        birth_date=f"{born[:4]}-{born[4:6]}-{born[6:]}" if is_date else born,
        sex=optional_text(dataset, "PatientSex"),
    )


def _readable(name: str) -> str:
    """Give a person name (PS3.5 6.2.1.2) as it is read."""
    groups = []
    for group in name.split("="):
        family, *others = group.split("^")
        given = " ".join(part for part in others[:2] if part)
        groups.append(", ".join(part for part in (family.strip(), given) if part))
    first, *rest = [group for group in groups if group] or [""]
    return f"{first} ({'; '.join(rest)})" if rest else first
