"""Independent programs that tests run against: DCMTK, dicom3tools, Orthanc, plastimatch."""

from __future__ import annotations

import shutil

from tests.shared_data import missing


def require_program(name: str) -> str:
    """Give the path of an installed program, or skip (fail in continuous integration)."""
    path = shutil.which(name)
    if path is None:
        missing(f"the program {name}")
    return str(path)
