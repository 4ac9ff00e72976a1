"""What all written objects share: patient and study, who made them, safe decimal strings, atomic files."""

from __future__ import annotations

import hashlib
import os
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from pydicom.config import RAISE
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import validate_value

from bridge.rt.case import CaseIdentity
from bridge.rt.errors import DicomRefusal, StorageFailure
from bridge.rt.provenance import Provenance

__all__ = [
    "MODEL_NAME",
    "bounded_text",
    "contribution",
    "decimal_string",
    "new_dataset",
    "reference",
    "save",
    "sequence_code",
    "set_equipment",
]

_DS_BYTES = 16
_NOT_TEXT = frozenset(("SQ", "OB", "OW", "US", "AT"))
"""Value representations, among those written, whose values are no text to be checked."""

_IMPLEMENTATION_CLASS_UID = UID("2.25.240268307275322405826019614927370086633")
"""As the node's: with it what is written here has the same bytes after it was sent to a bridge."""
_MANUFACTURER = "fdp-bridge project"
MODEL_NAME = "fdp-bridge"
"""Manufacturer's Model Name of what the bridge writes."""


def decimal_string(value: float) -> str:
    """Give the most precise decimal string of at most 16 bytes (VR DS, PS3.5 table 6.2-1).

    Raises
    ------
    DicomRefusal
        ``value-not-finite``.
    """
    exact = Decimal(float(value))
    if not exact.is_finite():
        raise DicomRefusal("value-not-finite", "A number to be written is not finite.")
    if exact == 0:
        return "0"
    for digits in range(_DS_BYTES, 0, -1):
        quantum = Decimal(1).scaleb(exact.adjusted() - digits + 1)
        rounded = exact.quantize(quantum, rounding=ROUND_HALF_EVEN)
        forms = (format(rounded.normalize(), "f"), format(rounded.normalize(), "E").replace("E+", "E"))
        fitting = [form for form in forms if len(form) <= _DS_BYTES]
        if fitting:
            return fitting[0]
    raise DicomRefusal("value-not-finite", "A number to be written has no decimal string.")  # pragma: no cover


def bounded_text(value: str, length: int, what: str) -> str:
    """Give a text that fits its value representation.

    Raises
    ------
    DicomRefusal
        ``text-too-long``: cutting it would change what it says.
    """
    if len(value) > length or not value.isprintable() or "\\" in value:
        raise DicomRefusal(
            "text-too-long", f"{what} must be at most {length} printable characters without a backslash."
        )
    return value


def new_dataset(
    *,
    sop_class_uid: UID,
    sop_instance_uid: str,
    series_instance_uid: str,
    series_number: int,
    modality: str,
    identity: CaseIdentity,
    frame_of_reference_uid: str,
) -> Dataset:
    """Start an object in a case's study with the patient, study, series and frame of reference modules filled."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class_uid
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = "FDP_BRIDGE"
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = sop_instance_uid
    dataset.Modality = modality
    dataset.SeriesInstanceUID = series_instance_uid
    dataset.SeriesNumber = series_number
    dataset.FrameOfReferenceUID = frame_of_reference_uid
    for keyword, value in (
        ("StudyInstanceUID", identity.study_instance_uid),
        ("StudyID", identity.study_id),
        ("StudyDate", identity.study_date),
        ("StudyTime", identity.study_time),
        ("AccessionNumber", identity.accession_number),
        ("ReferringPhysicianName", identity.referring_physician_name),
        ("PatientName", identity.patient_name),
        ("PatientID", identity.patient_id),
        ("PatientBirthDate", identity.patient_birth_date),
        ("PatientSex", identity.patient_sex),
        ("PositionReferenceIndicator", identity.position_reference_indicator),
    ):
        setattr(dataset, keyword, value)
    return dataset


def set_equipment(dataset: Dataset, provenance: Provenance, engine: str = "") -> None:
    """Say what made an object and when, which model or dose engine and which input (PS3.3 C.7.5.1, C.12.1).

    The date and time are UTC. The whole hashes stand in the Contribution Description.
    """
    date, time = provenance.created_utc.strftime("%Y%m%d"), provenance.created_utc.strftime("%H%M%S")
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    dataset.SeriesDate, dataset.SeriesTime = date, time
    dataset.Manufacturer = _MANUFACTURER
    dataset.ManufacturerModelName = MODEL_NAME
    dataset.SoftwareVersions = bounded_text(provenance.software_version, 64, "The software version")
    dataset.OperatorsName = ""
    equipment = Dataset()
    equipment.Manufacturer = _MANUFACTURER
    equipment.ManufacturerModelName = MODEL_NAME
    equipment.SoftwareVersions = dataset.SoftwareVersions
    equipment.ContributionDateTime = f"{date}{time}+0000"
    equipment.ContributionDescription = contribution(provenance, engine)
    equipment.PurposeOfReferenceCodeSequence = [sequence_code("109102", "DCM", "Processing Equipment")]
    dataset.ContributingEquipmentSequence = [equipment]


def contribution(provenance: Provenance, engine: str = "") -> str:
    """Say in one text (VR ST, 1024 characters) which engine or model, settings and input made an object.

    What there is none of is left out. :mod:`bridge.dicom.dose_origin` reads it.
    """
    inputs = hashlib.sha256()
    for uid, sha256 in sorted(provenance.input_uids.items()):
        inputs.update(f"{uid} {sha256}\n".encode())
    preference, used = (
        " ".join(f"{name}={value:g}" for name, value in sorted(values.items()))
        for values in (provenance.preference, provenance.preference_used)
    )
    lines = [
        f"engine {engine}" if engine else "",
        f"model {provenance.model_id} sha256 {provenance.model_sha256}" if provenance.model_id else "",
        f"config sha256 {provenance.config_sha256}" if provenance.config_sha256 else "",
        f"{len(provenance.input_uids)} inputs sha256 {inputs.hexdigest()}",
        f"preference {preference}" if preference else "",
        f"of it used {used}" if used else "",
    ]
    return "; ".join(filter(None, lines))[:1024]


def sequence_code(value: str, scheme: str, meaning: str) -> Dataset:
    """Make a code sequence item (PS3.3 section 8)."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def reference(sop_class_uid: UID, sop_instance_uid: str) -> Dataset:
    """Make an item that refers to an instance (PS3.3 table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def save(dataset: Dataset, path: Path) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut.

    Raises
    ------
    DicomRefusal
        ``attribute-invalid``: a value, perhaps one received with the case, that its value representation forbids.
    StorageFailure
        The disk did not take it; nothing is left behind under the final name.
    """
    _require_valid_values(dataset)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            dataset.save_as(stream, enforce_file_format=True)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageFailure(
            "file-not-written", f"The file cannot be written: {error.strerror}.", file=path.name
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _require_valid_values(dataset: Dataset) -> None:
    """Check every value against PS3.5 table 6.2-1; on reading they are taken as they come."""
    for element in dataset.iterall():
        if element.VR in _NOT_TEXT or element.is_empty:
            continue
        for value in element.value if element.VM > 1 else [element.value]:
            try:
                validate_value(element.VR, str(value), RAISE)
            except Exception:
                # the text of the error quotes the value
                raise DicomRefusal(
                    "attribute-invalid",
                    f"No object can be written with a value of {element.keyword} that DICOM does not allow; where it "
                    "was received with the case, correct it in the planning system.",
                    attribute=element.keyword,
                ) from None
