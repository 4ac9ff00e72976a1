"""The review room as an ASGI application: its routes, each with its permission, behind the headers."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from bridge.rt.errors import Refusal
from bridge.web.assets import asset_routes
from bridge.web.case_data import case_data_routes
from bridge.web.case_files import case_file_routes
from bridge.web.case_page import case_page_routes
from bridge.web.department import template_routes
from bridge.web.errors import error_response
from bridge.web.guard import GuardedRoute
from bridge.web.handling import handling_routes
from bridge.web.headers import SecurityHeaders
from bridge.web.login import login_routes
from bridge.web.objectives import objective_routes
from bridge.web.presets import preset_routes
from bridge.web.previews import preview_routes
from bridge.web.room import ReviewRoom
from bridge.web.worklist import worklist_routes

__all__ = ["all_routes", "review_application"]

_REFUSALS = {
    404: Refusal("page-unknown", "There is no such page."),
    405: Refusal("method-unknown", "This page is not asked for in that way."),
}


def all_routes() -> list[BaseRoute]:
    """Give every route of the review room."""
    return [
        *asset_routes(),
        *login_routes(),
        *worklist_routes(),
        *case_page_routes(),
        *case_file_routes(),
        *case_data_routes(),
        *preview_routes(),
        *preset_routes(),
        *objective_routes(),
        *template_routes(),
        *handling_routes(),
    ]


def review_application(room: ReviewRoom, routes: Sequence[BaseRoute] | None = None) -> Starlette:
    """Make the application.

    Parameters
    ----------
    room
        What its pages share.
    routes
        All of the review room's, where None.

    Raises
    ------
    TypeError
        A route does not say who may use it: then nothing starts.
    """
    chosen = all_routes() if routes is None else routes
    for route in chosen:
        if not isinstance(route, GuardedRoute):
            raise TypeError(f"{route!r} does not say who may use it; only guarded routes are served.")
    application = Starlette(
        routes=chosen,
        middleware=[Middleware(SecurityHeaders, is_encrypted=room.is_encrypted)],
        exception_handlers={HTTPException: _refused},
    )
    application.state.room = room
    return application


async def _refused(request: Request, error: Exception) -> Response:
    """Say in the one shape what Starlette itself refuses."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    refusal = _REFUSALS.get(status, _REFUSALS[404])
    return error_response(refusal, "text/html" in request.headers.get("accept", ""))
