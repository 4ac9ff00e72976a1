"""Which files a patient is: what was made of other files under the same id belongs to somebody else."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bridge.rt.errors import StorageFailure

__all__ = ["source_sha256"]


def source_sha256(path: Path) -> str:
    """Give the hash of a packed patient, or of the files of a folder with their names.

    Raises
    ------
    StorageFailure
        A file cannot be read (``file-unreadable``).
    """
    digest = hashlib.sha256()
    try:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    except OSError as error:
        raise StorageFailure("file-unreadable", f"{path.name} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
