"""One bridge for one data folder: two would take each other's half-received files for leftovers of a crash."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.rt.errors import StorageFailure

__all__ = ["data_folder_lock"]


@contextmanager
def data_folder_lock(folder: Path) -> Iterator[None]:
    """Hold a data folder; the operating system lets go of it however the process ends.

    Raises
    ------
    StorageFailure
        Another bridge, or another run, holds it (``data-folder-in-use``), or it cannot be written
        (``data-folder-unusable``).
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise StorageFailure(
            "data-folder-unusable", f"The folder {folder.name!r} cannot be written: {error.strerror}."
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StorageFailure(
                "data-folder-in-use",
                f"Another bridge, or another run, works in the folder {folder.name!r}; end it, or name another folder.",
            ) from None
        yield
