"""Where tests find the patients and programs that are not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def missing(what: str) -> None:
    """Skip the test with a reason; in continuous integration nothing may be missing, so fail there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and continuous integration must not skip this test")
    pytest.skip(f"{what} is missing")


def shared_dir() -> Path:
    """Give the folder with OpenKBP patients and independent tools that lies beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        missing("the folder ../shared")
    return folder
