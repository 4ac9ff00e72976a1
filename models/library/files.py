"""Files of a library: they appear whole or not at all, and are held against their hashes when they are read."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bridge.rt import whole_file
from bridge.rt.errors import ModelRefusal, StorageFailure

__all__ = ["PART_SUFFIX", "read_checked", "write_whole"]

PART_SUFFIX = ".part"
"""Of a file that is being written; its name begins with a dot."""


def write_whole(path: Path, content: bytes) -> str:
    """Write a file so that a crash, also of the machine, leaves the old one or the new one; give its SHA-256.

    Raises
    ------
    StorageFailure
        It cannot be written (``library-unwritable``).
    """
    try:
        whole_file.write_whole(path, content)
    except OSError as error:
        raise StorageFailure(
            "library-unwritable", f"{path.name} cannot be written: {error.strerror}.", file=path.name
        ) from error
    return hashlib.sha256(content).hexdigest()


def read_checked(path: Path, sha256: str | None) -> bytes:
    """Read a file of a library.

    Parameters
    ----------
    path
        The file.
    sha256
        That its content has to have; None only where nobody knows it yet.

    Raises
    ------
    ModelRefusal
        It is missing (``library-file-missing``), or another than it was (``library-file-changed``).
    StorageFailure
        It is there and cannot be read (``library-unreadable``).
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelRefusal(
            "library-file-missing",
            f"The library lacks {path.parent.name}/{path.name}. `fdp-bridge library build` into the same folder makes "
            "what is missing.",
            patient=path.parent.name,
            file=path.name,
        ) from error
    except OSError as error:
        raise StorageFailure(
            "library-unreadable", f"{path.parent.name}/{path.name} cannot be read: {error.strerror}.", file=path.name
        ) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ModelRefusal(
            "library-file-changed",
            f"{path.parent.name}/{path.name} is not the file that was written: its SHA-256 is not the manifest's. "
            "Restore it, or delete it and build the library again.",
            patient=path.parent.name,
            file=path.name,
        )
    return content
