"""The index of received instances: the spool's durable list, and what the assembly of cases reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.dicom.headers import InstanceHeader
from bridge.node.instances import RecordOutcome, Source, StoredInstance
from bridge.workflow import audit
from bridge.workflow.schema import InstanceRow
from bridge.workflow.store import Store

__all__ = ["SqlInstanceIndex", "hashes_of", "instances_of", "paths_of", "studies"]


class SqlInstanceIndex:
    """Instances in the database; implements :class:`bridge.node.instances.InstanceIndex`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, instance: StoredInstance) -> RecordOutcome:
        """Record one instance, in one transaction with the comparison and the audit event."""
        header = instance.header
        with self._store.transaction() as session:
            query = select(InstanceRow.sha256).where(InstanceRow.sop_instance_uid == header.sop_instance_uid)
            there = set(session.scalars(query))
            if instance.sha256 in there:
                return RecordOutcome.DUPLICATE
            session.add(
                InstanceRow(
                    sop_instance_uid=header.sop_instance_uid,
                    sha256=instance.sha256,
                    study_instance_uid=header.study_instance_uid,
                    header=_header_json(header),
                    path=str(instance.path),
                    size_bytes=instance.size_bytes,
                    received_utc=instance.received_utc,
                    source=asdict(instance.source),
                )
            )
            outcome = RecordOutcome.CONFLICT if there else RecordOutcome.NEW
            audit.append(
                session,
                audit.SYSTEM,
                "instance-conflict" if there else "instance-received",
                sop_instance_uid=header.sop_instance_uid,
                sha256=instance.sha256,
                modality=header.modality,
                source=asdict(instance.source),
            )
            return outcome

    def known_hashes(self) -> frozenset[str]:
        """Give the sha256 of all recorded instances."""
        with self._store.transaction() as session:
            return frozenset(session.scalars(select(InstanceRow.sha256)))


def studies(session: Session) -> Sequence[str]:
    """Give the Study Instance UIDs of everything that was received."""
    return list(session.scalars(select(InstanceRow.study_instance_uid).distinct()))


def instances_of(session: Session, study_instance_uid: str) -> tuple[StoredInstance, ...]:
    """Give the instances of one study in the order in which they came, but for contents that were set aside."""
    query = (
        select(InstanceRow)
        .where(InstanceRow.study_instance_uid == study_instance_uid, InstanceRow.set_aside.is_(False))
        .order_by(InstanceRow.id)
    )
    return tuple(_instance(row) for row in session.scalars(query))


def hashes_of(session: Session, sop_instance_uid: str) -> frozenset[str]:
    """Give the hashes of all contents that came under a SOP Instance UID, also of those that were set aside."""
    return frozenset(
        session.scalars(select(InstanceRow.sha256).where(InstanceRow.sop_instance_uid == sop_instance_uid))
    )


def paths_of(session: Session, sha256s: Sequence[str]) -> tuple[Path, ...]:
    """Give where the objects with these hashes lie."""
    rows = session.scalars(select(InstanceRow).where(InstanceRow.sha256.in_(list(sha256s))))
    return tuple(sorted({Path(row.path) for row in rows}))


def _header_json(header: InstanceHeader) -> dict[str, object]:
    referenced = sorted(header.referenced_sop_instance_uids)
    return {**asdict(header), "referenced_sop_instance_uids": referenced}


def _instance(row: InstanceRow) -> StoredInstance:
    header = {**row.header, "referenced_sop_instance_uids": frozenset(row.header["referenced_sop_instance_uids"])}
    return StoredInstance(
        header=InstanceHeader(**header),
        path=Path(row.path),
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        received_utc=row.received_utc,
        source=Source(**row.source),
    )
