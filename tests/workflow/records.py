"""Received instances and finished jobs as the database sees them, without files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTDoseStorage, RTPlanStorage, RTStructureSetStorage

from bridge.dicom.headers import InstanceHeader
from bridge.node.instances import Receipt, RecordOutcome, Source, StoredInstance
from bridge.workflow.cases import get_case
from bridge.workflow.instances import SqlInstanceIndex
from bridge.workflow.store import Store

STUDY = "1.2.3.4"
CT_UIDS = tuple(f"{STUDY}.2.{number}" for number in range(1, 6))
STRUCTURES, PLAN = f"{STUDY}.3.1", f"{STUDY}.5.1"
_CLASSES = {
    "CT": CTImageStorage,
    "RTSTRUCT": RTStructureSetStorage,
    "RTPLAN": RTPlanStorage,
    "RTDOSE": RTDoseStorage,
}


def instance(
    uid: str,
    modality: str = "CT",
    *,
    refers_to: Iterable[str] = (),
    content: str = "",
    study: str = STUDY,
    patient: str = "one",
    z_mm: float | None = None,
) -> StoredInstance:
    """Give an instance as the spool would hand it over; `content` stands for its bytes."""
    sha256 = hashlib.sha256(f"{uid} {content}".encode()).hexdigest()
    header = InstanceHeader(
        sop_class_uid=str(_CLASSES[modality]),
        sop_instance_uid=uid,
        study_instance_uid=study,
        series_instance_uid=f"{study}.2",
        frame_of_reference_uid=f"{study}.9" if modality == "CT" else None,
        modality=modality,
        patient_key=hashlib.sha256(patient.encode()).hexdigest(),
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        referenced_sop_instance_uids=frozenset(refers_to),
        z_mm=z_mm,
    )
    source = Source("network", "TPS", "BRIDGE", "127.0.0.1", "a1")
    return StoredInstance(header, Path(f"/spool/{sha256}.dcm"), sha256, 100, datetime.now(UTC), source)


def slices(uids: Iterable[str] = CT_UIDS) -> list[StoredInstance]:
    """Give CT slices 3 mm apart, numbered as the last part of their UID."""
    return [instance(uid, z_mm=3.0 * int(uid.rpartition(".")[2])) for uid in uids]


def structure_set(uid: str = STRUCTURES, refers_to: Iterable[str] = CT_UIDS) -> StoredInstance:
    return instance(uid, "RTSTRUCT", refers_to=refers_to)


def plan(uid: str = PLAN, refers_to: str = STRUCTURES) -> StoredInstance:
    return instance(uid, "RTPLAN", refers_to=[refers_to])


def record(store: Store, *instances: StoredInstance) -> list[Receipt]:
    index = SqlInstanceIndex(store)
    return [Receipt(item, index.record(item)) for item in instances]


def state_of(store: Store, case_id: str) -> str:
    with store.transaction() as session:
        return get_case(session, case_id).state.value


__all__ = ["RecordOutcome", "instance", "plan", "record", "slices", "state_of", "structure_set"]
