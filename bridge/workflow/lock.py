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
        Another bridge holds it (``data-folder-in-use``).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StorageFailure(
                "data-folder-in-use", "Another bridge is running on this data folder; end it, or set another data_dir."
            ) from None
        yield
