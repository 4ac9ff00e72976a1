"""A report as one HTML page with everything inside, from a template beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bridge.report.extra import report_extra

__all__ = ["asset", "rendered", "study_css"]

_HERE = Path(__file__).parent


def rendered(template: str, **values: Any) -> str:
    """Give the page of a template; the same values give the same text.

    Raises
    ------
    Failure
        The extra ``[report]`` is not installed (``report-extra-missing``).
    """
    with report_extra():
        import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def asset(name: str) -> str:
    """Give a style sheet or script that goes into pages."""
    return (_HERE / name).read_text(encoding="utf-8")


def study_css() -> str:
    """Give the style sheet of reports about many patients."""
    return asset("case_report.css") + asset("cohort_report.css")
