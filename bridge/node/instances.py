"""The values that pass between the doors, the spool and the database above it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Literal, Protocol

from bridge.dicom.headers import InstanceHeader

__all__ = ["Announcement", "InstanceIndex", "Receipt", "RecordOutcome", "Source", "StoredInstance"]


@dataclass(frozen=True)
class Source:
    """Where an instance came from.

    Attributes
    ----------
    kind
        ``"recovered"`` is an object found on disk at start whose origin was not recorded before a crash.
    calling_ae, called_ae, host, association_id
        For the network; None otherwise.
    """

    kind: Literal["network", "folder", "recovered"]
    calling_ae: str | None = None
    called_ae: str | None = None
    host: str | None = None
    association_id: str | None = None


@dataclass(frozen=True)
class Announcement:
    """What the C-STORE command, or the file meta information, says that the data set is."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class StoredInstance:
    """One instance that is durably on disk.

    Attributes
    ----------
    sha256
        Of the whole file. The spool writes the file meta information itself, always the same way,
        so that one data set has one hash whichever door it came through.
    received_utc
        Aware, in UTC.
    """

    header: InstanceHeader
    path: Path
    sha256: str
    size_bytes: int
    received_utc: datetime
    source: Source


class RecordOutcome(Enum):
    """What the index found when it recorded an instance."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """The same SOP Instance UID with the same bytes: nothing was added."""
    CONFLICT = "conflict"
    """The same SOP Instance UID with other bytes: both are recorded, for a person to decide."""


class InstanceIndex(Protocol):
    """The durable list of instances; the workflow implements it with its database.

    Both methods are called from several threads.
    """

    def record(self, instance: StoredInstance) -> RecordOutcome:
        """Record one instance durably, atomically with the comparison to what is there under its SOP Instance UID.

        Raises
        ------
        StorageFailure
            The database could not commit.
        """
        ...

    def known_hashes(self) -> AbstractSet[str]:
        """Give the sha256 of all recorded instances."""
        ...


@dataclass(frozen=True)
class Receipt:
    """Proof that an instance is on disk and in the index."""

    instance: StoredInstance
    outcome: RecordOutcome

    @property
    def duplicate(self) -> bool:
        """True if the same bytes were there before."""
        return self.outcome is RecordOutcome.DUPLICATE

    @property
    def conflict(self) -> bool:
        """True if other bytes are there under the same SOP Instance UID."""
        return self.outcome is RecordOutcome.CONFLICT
