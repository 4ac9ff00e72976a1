"""What a run leaves beside the plans: a line for each patient that was worked on, and why others were left out."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bridge.rt.errors import ModelRefusal, StorageFailure
from models.library.files import read_checked, write_whole

__all__ = [
    "LEFT_OUT_FILE",
    "RECORD_FILE",
    "LeftOut",
    "Work",
    "add_work",
    "read_left_out",
    "read_work",
    "write_left_out",
]

RECORD_FILE, LEFT_OUT_FILE = "record.csv", "left_out.json"

_COLUMNS = ("finished_utc", "patient", "plans", "seconds", "processes")


@dataclass(frozen=True)
class Work:
    """One patient that a run has done.

    Attributes
    ----------
    finished_utc
        ISO 8601.
    patient
        ``pt_N``.
    plans
        Made in this run.
    seconds
        By the clock, of one process.
    processes
        That worked at the same time.
    """

    finished_utc: str
    patient: str
    plans: int
    seconds: float
    processes: int


@dataclass(frozen=True)
class LeftOut:
    """A patient who is not in the library.

    Attributes
    ----------
    patient
        ``pt_N``.
    error
        As errors are reported: kind, code, message and where.
    """

    patient: str
    error: Mapping[str, object]


def add_work(library: Path, work: Work) -> None:
    """Add a line.

    Raises
    ------
    StorageFailure
        It cannot be written (``library-unwritable``).
    """
    path = library / RECORD_FILE
    try:
        before = path.read_bytes() if path.exists() else b""
        with path.open("a", encoding="utf-8", newline="") as stream:
            rows = csv.writer(stream)
            if not before:
                rows.writerow(_COLUMNS)
            elif not before.endswith(b"\n"):
                stream.write("\r\n")  # a crash cut the last line; it must not take this one with it
            rows.writerow([asdict(work)[column] for column in _COLUMNS])
    except OSError as error:
        raise StorageFailure("library-unwritable", f"{path.name} cannot be written: {error.strerror}.") from error


def read_work(library: Path) -> tuple[Work, ...]:
    """Read all lines that are whole; a crash may have cut the last one."""
    path = library / RECORD_FILE
    if not path.exists():
        return ()
    found = []
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines()):
        try:
            plans, seconds, processes = int(row["plans"]), float(row["seconds"]), int(row["processes"])
        except (KeyError, TypeError, ValueError):
            continue
        if processes > 0:
            found.append(Work(row["finished_utc"], row["patient"], plans, seconds, processes))
    return tuple(found)


def write_left_out(library: Path, left_out: tuple[LeftOut, ...]) -> None:
    """Write who is left out and why."""
    rows = {one.patient: dict(one.error) for one in left_out}
    write_whole(library / LEFT_OUT_FILE, (json.dumps(rows, indent=1) + "\n").encode())


def read_left_out(library: Path) -> tuple[LeftOut, ...]:
    """Read who is left out, also by earlier runs; nobody before the first.

    Raises
    ------
    ModelRefusal
        The file is damaged (``library-file-damaged``).
    """
    path = library / LEFT_OUT_FILE
    if not path.exists():
        return ()
    content = read_checked(path, None)
    try:
        rows = json.loads(content)
    except ValueError:
        rows = None
    if not isinstance(rows, dict) or not all(isinstance(error, dict) for error in rows.values()):
        raise ModelRefusal(
            "library-file-damaged",
            f"{path.parent.name}/{path.name} does not say who is left out and why, by patient, as a run writes it; "
            "delete it, and the next run that comes to them finds out anew.",
            file=path.name,
        )
    return tuple(LeftOut(patient, error) for patient, error in rows.items())
