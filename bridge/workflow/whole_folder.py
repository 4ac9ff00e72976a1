"""A folder of results that appears whole or not at all, and never in the place of anything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.rt.errors import StorageFailure

__all__ = ["require_replaceable", "whole_folder"]


@contextmanager
def whole_folder(folder: Path, names: Collection[str], what: str) -> Iterator[Path]:
    """Give a folder to write into, and put it in its place when the block ends without an error.

    Parameters
    ----------
    folder
        Made by this call. Earlier results in it are replaced; a folder with anything else in it is left alone.
    names
        Of the files that are results.
    what
        Whose results they are, for messages.

    Raises
    ------
    StorageFailure
        The folder holds something that is not a result (``folder-in-use``), or a file cannot be written (``export``).
    """
    folder = folder.resolve()
    staging = folder.with_name(f".{folder.name}.part")
    try:
        require_replaceable(folder, names)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        yield staging
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(staging, folder)
    except OSError as error:
        raise StorageFailure(
            "export", f"The results of {what} cannot be written: {error.strerror or error}."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def require_replaceable(folder: Path, names: Collection[str]) -> None:
    """Refuse to replace a folder that holds anything but results: it may be somebody's patients.

    Raises
    ------
    StorageFailure
        It does (``folder-in-use``), or cannot be looked into (``export``).
    """
    try:
        found = {path.name for path in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise StorageFailure("export", f"The folder for the results cannot be read: {error.strerror}.") from error
    if others := found - set(names):
        raise StorageFailure(
            "folder-in-use",
            f"The folder for the results holds {len(others)} files or folders that are no results; name a new folder.",
        )
