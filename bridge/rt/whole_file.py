"""A file that appears whole or not at all, also after a power cut and whoever else writes it at the same time."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["sync_folder", "write_whole"]


def write_whole(path: Path, data: bytes) -> None:
    """Write a file in one step, synced to the disk; nothing is left beside it, whatever happens.

    Raises
    ------
    OSError
        It cannot be written; what lay there before still does.
    """
    part = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        with part.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    finally:
        with suppress(OSError):  # must not hide what went wrong before it
            part.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system can: Windows cannot, and some shares cannot either.

    Raises
    ------
    OSError
        The folder cannot be opened, or the disk has trouble.
    """
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
