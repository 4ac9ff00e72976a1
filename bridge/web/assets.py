"""Files that pages load: a fixed list of our own, so that no path ever comes from a request."""

from __future__ import annotations

from importlib.resources import files

from starlette.responses import Response

from bridge.web.guard import GuardedRoute
from bridge.web.permission import Permission
from bridge.web.visit import Visit

__all__ = ["asset_routes"]

_TYPES = {
    "icon.svg": "image/svg+xml", "live.js": "text/javascript", "review.css": "text/css",
    "signing.js": "text/javascript", "viewer.css": "text/css",
}  # fmt: skip


def asset_routes() -> list[GuardedRoute]:
    """Give a route for every file; the viewer's modules are those that are installed when the bridge starts."""
    modules = files("bridge.web").joinpath("static", "viewer").iterdir()
    scripts = sorted(f"viewer/{one.name}" for one in modules if one.name.endswith(".js"))
    return [
        *(_route(name, media_type) for name, media_type in _TYPES.items()),
        *(_route(name, "text/javascript") for name in scripts),
    ]


def _route(name: str, media_type: str) -> GuardedRoute:
    content = files("bridge.web").joinpath("static", *name.split("/")).read_bytes()

    def asset(_visit: Visit) -> Response:
        return Response(content, media_type=media_type)

    return GuardedRoute(f"/static/{name}", asset, Permission.PUBLIC)
