"""Pages from templates. All text is escaped; there is no way to switch that off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bridge.rt.provenance import NOT_FOR_CLINICAL_USE

__all__ = ["page", "see_other"]


def page(template: str, status: int = 200, **content: object) -> Response:
    """Give a page made of a template."""
    return HTMLResponse(_environment().get_template(template).render(content), status)


def see_other(path: str) -> Response:
    """Send the browser on after a change, so that loading the page again does not repeat it."""
    return RedirectResponse(path, 303)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bridge.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals["notice"] = NOT_FOR_CLINICAL_USE
    environment.filters["utc"] = _utc
    environment.filters["age"] = _age
    return environment


def _utc(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _age(time: datetime, now: datetime) -> str:
    """Say how long ago something was, in one unit."""
    minutes = max(now - time, timedelta()) // timedelta(minutes=1)
    for unit, length in (("d", 1440), ("h", 60)):
        if minutes >= 2 * length:
            return f"{minutes // length} {unit}"
    return f"{minutes} min"
