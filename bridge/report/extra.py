"""The packages of the extra ``[report]``, asked for only when a report is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from bridge.rt.errors import Failure

__all__ = ["report_extra", "require_report_extra"]

_PACKAGES = frozenset({"contourpy", "jinja2", "matplotlib"})


@contextmanager
def report_extra() -> Iterator[None]:
    """Say which extra to install when an import inside the block does not find its package.

    Raises
    ------
    Failure
        A package of the extra is not installed (``report-extra-missing``).
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES:
            raise
        raise Failure(
            "report-extra-missing",
            f"Writing a report needs {package}, which is not installed: pip install 'fdp-bridge[report]'.",
            package=package,
        ) from error


def require_report_extra() -> None:
    """Say now which package is missing for a report that is written at the end of long work.

    Raises
    ------
    Failure
        A package of the extra is not installed (``report-extra-missing``).
    """
    with report_extra():
        for package in sorted(_PACKAGES):
            import_module(package)
