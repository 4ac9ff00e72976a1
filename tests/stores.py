"""A new database without its migrations, which take longer than most tests: they run once, and their file is copied."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bridge.workflow.store import Store

_FILE = "bridge.sqlite3"


def new_store(data_dir: Path) -> Store:
    """Open the database of a data folder that has none yet."""
    data_dir.mkdir(parents=True)
    (data_dir / _FILE).write_bytes(_migrated())
    return Store.in_folder(data_dir)


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        Store.in_folder(Path(folder)).close()
        return (Path(folder) / _FILE).read_bytes()
