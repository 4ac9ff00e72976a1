"""Files that pages load: a fixed list of our own, so that no path ever comes from a request."""

from __future__ import annotations

from importlib.resources import files

from starlette.responses import Response

from bridge.web.guard import GuardedRoute
from bridge.web.permission import Permission
from bridge.web.visit import Visit

__all__ = ["asset_routes"]

_TYPES = {"review.css": "text/css"}


def asset_routes() -> list[GuardedRoute]:
    """Give a route for every file."""
    return [_route(name, media_type) for name, media_type in _TYPES.items()]


def _route(name: str, media_type: str) -> GuardedRoute:
    content = files("bridge.web").joinpath("static", name).read_bytes()

    def asset(_visit: Visit) -> Response:
        return Response(content, media_type=media_type)

    return GuardedRoute(f"/static/{name}", asset, Permission.PUBLIC)
