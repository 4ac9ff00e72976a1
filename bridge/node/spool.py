"""The durable store of received instances.

An instance is either wholly here (file synced, renamed to its final name, recorded in the index) or not at all. Success
is said to a sender only after the last of these steps. File names come from our own random ids and hashes; no received
text is ever part of a path.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bridge.dicom.headers import InstanceHeader
from bridge.node.instances import Announcement, InstanceIndex, Receipt, Source, StoredInstance
from bridge.node.part10 import read_meta, write_meta
from bridge.rt.errors import BridgeError, DicomRefusal, Refusal, StorageFailure

__all__ = ["Recovery", "Spool"]

_COPY_BYTES = 1 << 20
_OBJECT_NAME = re.compile(r"[0-9a-f]{64}\.dcm")


@dataclass(frozen=True)
class Recovery:
    """What was put right at start.

    Attributes
    ----------
    recorded
        Objects that were on disk but not in the index: the process had died between the two.
    removed_partials
        Number of half-received files removed; their senders were never told that they had arrived.
    unreadable
        Objects on disk, not in the index, that no longer match their hash or cannot be read. They are left in place.
    """

    recorded: tuple[Receipt, ...]
    removed_partials: int
    unreadable: tuple[Path, ...]


class Spool:
    """Content-addressed files below `root`, described in an index.

    Parameters
    ----------
    root
        Made if absent. ``incoming/`` holds what is arriving, ``objects/<2 hex>/<sha256>.dcm`` what has arrived.
    index
        The durable list of instances.
    read_header
        Reads and checks one file; :func:`bridge.dicom.headers.read_header`.
    """

    def __init__(self, root: Path, index: InstanceIndex, read_header: Callable[[Path], InstanceHeader]) -> None:
        self.root = root
        self._index = index
        self._read_header = read_header
        self._incoming = root / "incoming"
        self._objects = root / "objects"
        self._started = datetime.now(UTC)
        self._incoming.mkdir(parents=True, exist_ok=True)
        for number in range(256):
            (self._objects / f"{number:02x}").mkdir(parents=True, exist_ok=True)
        for folder in (self._objects, root):
            _sync_directory(folder)

    def new_partial(self) -> Path:
        """Give a fresh path on the spool's own disk, for a file that is about to arrive."""
        return self._incoming / f"{uuid.uuid4().hex}.part"

    def free_bytes(self) -> int:
        """Give the free space on the spool's disk."""
        return shutil.disk_usage(self.root).free

    def adopt(self, original: Path) -> tuple[Path, Announcement]:
        """Copy a DICOM file into the spool's incoming folder, in the spool's own envelope; the original stays.

        Raises
        ------
        DicomRefusal
            The envelope cannot be read, or names a transfer syntax that is not accepted.
        StorageFailure
            The original could not be read, or the copy not written.
        """
        partial = self.new_partial()
        try:
            descriptor = os.open(original, os.O_RDONLY | os.O_NOFOLLOW)
            with open(descriptor, "rb") as file:
                meta = read_meta(file)
                file.seek(meta.data_set_offset)
                with open(partial, "xb") as copy:
                    write_meta(
                        copy,
                        sop_class_uid=meta.sop_class_uid,
                        sop_instance_uid=meta.sop_instance_uid,
                        transfer_syntax_uid=meta.transfer_syntax_uid,
                    )
                    shutil.copyfileobj(file, copy, _COPY_BYTES)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise _storage_failure(error) from error
        return partial, Announcement(meta.sop_class_uid, meta.sop_instance_uid)

    def receive(self, partial: Path, source: Source, announced: Announcement | None = None) -> Receipt:
        """Check, store and record one file. The spool owns `partial` from here on, and it is gone afterwards.

        Parameters
        ----------
        partial
            A file on the spool's disk, from :meth:`new_partial` or :meth:`adopt`.
        source
            Where it came from.
        announced
            What the sender said it is; the data set must agree.

        Raises
        ------
        Refusal
            The file cannot be accepted. Nothing is kept.
        StorageFailure
            Disk or database trouble. The sender must try again.
        """
        try:
            header = self._read_header(partial)
            if announced is not None:
                _require_agreement(announced, header)
            digest, size = _digest_and_sync(partial)
            final = self._path_of(digest)
            os.replace(partial, final)
            _sync_directory(final.parent)
        except OSError as error:
            raise _storage_failure(error) from error
        finally:
            partial.unlink(missing_ok=True)
        # The row comes last: a file without a row is found again by recover(), a row without a file would be a lie.
        instance = StoredInstance(header, final, digest, size, datetime.now(UTC), source)
        return Receipt(instance, self._index.record(instance))

    def recover(self) -> Recovery:
        """Bring disk and index together after a crash. Call once at start, before anything is received.

        Raises
        ------
        StorageFailure
            Disk or database trouble.
        """
        try:
            removed = self._remove_old_partials()
            known = self._index.known_hashes()
            recorded: list[Receipt] = []
            unreadable: list[Path] = []
            for path in sorted(self._objects.glob("??/*.dcm")):
                if path.stem in known or not _OBJECT_NAME.fullmatch(path.name):
                    continue
                digest, size = _digest_and_sync(path)
                try:
                    if digest != path.stem:
                        raise DicomRefusal("hash-mismatch", "The object's bytes are not those that it was named by.")
                    header = self._read_header(path)
                except Refusal:
                    unreadable.append(path)
                    continue
                modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                instance = StoredInstance(header, path, digest, size, modified, Source("recovered"))
                recorded.append(Receipt(instance, self._index.record(instance)))
        except OSError as error:
            raise _storage_failure(error) from error
        return Recovery(tuple(recorded), removed, tuple(unreadable))

    def _remove_old_partials(self) -> int:
        removed = 0
        for path in self._incoming.glob("*.part"):
            if datetime.fromtimestamp(path.stat().st_mtime, UTC) < self._started:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _path_of(self, digest: str) -> Path:
        return self._objects / digest[:2] / f"{digest}.dcm"


def _require_agreement(announced: Announcement, header: InstanceHeader) -> None:
    for code, keyword, said, found in (
        ("class-mismatch", "SOP Class UID", announced.sop_class_uid, header.sop_class_uid),
        ("uid-mismatch", "SOP Instance UID", announced.sop_instance_uid, header.sop_instance_uid),
    ):
        if said != found:
            raise DicomRefusal(
                code,
                f"The {keyword} of the data set is not the one that it was announced with; "
                "the sender mixed up two objects, or the file was edited.",
                announced=said,
                found=found,
            )


def _digest_and_sync(path: Path) -> tuple[str, int]:
    """Give sha256 and size of a file, and make sure that its bytes are on the disk."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_COPY_BYTES):
            digest.update(block)
        os.fsync(file.fileno())
        return digest.hexdigest(), file.tell()


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_failure(error: OSError) -> BridgeError:
    # The path in an OSError may be a file name that someone chose; only the cause goes into the message.
    return StorageFailure(
        "storage", f"The spool could not store the instance: {error.strerror or 'input/output error'}."
    )
