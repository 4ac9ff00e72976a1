"""Whose case it is: read from the objects that were received, for pages alone; never into logs, paths or messages."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.dicom.patient import PatientLabel, patient_label
from bridge.rt.errors import ApprovalRefusal, StorageFailure
from bridge.workflow.cases import CaseView
from bridge.workflow.schema import InstanceRow

__all__ = ["PatientFile", "patient_file"]

_MOST_LABELS = 4096


@dataclass(frozen=True)
class PatientFile:
    """A received object that says whose the case is."""

    path: str
    sha256: str

    def read(self) -> PatientLabel:
        """Read the label; no transaction need be open.

        Raises
        ------
        ApprovalRefusal
            The file is not the one that was received (``input-changed``).
        Refusal, StorageFailure
            It cannot be read.
        """
        return _label(self.path, self.sha256)


def patient_file(session: Session, case: CaseView) -> PatientFile | None:
    """Find who tells the patient of a case: its structure set, or anything of its study where none has come.

    Returns
    -------
    PatientFile or None
        None where nothing was received.
    """
    query = select(InstanceRow).where(
        InstanceRow.study_instance_uid == case.study_instance_uid, InstanceRow.set_aside.is_(False)
    )
    if case.structure_set_uid is not None:
        query = query.where(InstanceRow.sop_instance_uid == case.structure_set_uid)
    row = session.scalars(query.order_by(InstanceRow.id).limit(1)).first()
    return None if row is None else PatientFile(row.path, row.sha256)


@lru_cache(_MOST_LABELS)
def _label(path: str, sha256: str) -> PatientLabel:
    """Read what does not change: the same path and hash are the same bytes."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StorageFailure("file-unreadable", f"A received file cannot be read: {error.strerror}.") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ApprovalRefusal(
            "input-changed", "The structure set in the spool is not the one that was received. Send the case again."
        )
    return patient_label(data)
