"""Logging in and out."""

from __future__ import annotations

from starlette.responses import Response

from bridge.web.guard import GuardedRoute
from bridge.web.identify import require_password
from bridge.web.pages import page, see_other
from bridge.web.permission import Permission
from bridge.web.visit import Visit
from bridge.workflow.sessions import end_session, open_session

__all__ = ["login_routes"]


def login_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/login", _form, Permission.PUBLIC),
        GuardedRoute("/login", _login, Permission.PUBLIC, "POST"),
        GuardedRoute("/logout", _logout, Permission.LOOK, "POST"),
    ]


def _form(visit: Visit) -> Response:
    return see_other("/") if visit.session else page("login.html.j2")


def _login(visit: Visit) -> Response:
    form, room = visit.form(), visit.room
    name = form.get("name", "")
    require_password(room, name, form.get("password", ""), visit.address)
    with room.store.transaction() as session:
        token = open_session(session, name, room.clock(), room.session_policy)
    response = see_other("/")
    response.set_cookie(
        room.cookie, token, path="/", secure=room.is_encrypted, httponly=True, samesite="strict",
        max_age=int(room.session_policy.longest.total_seconds()),
    )  # fmt: skip
    return response


def _logout(visit: Visit) -> Response:
    with visit.room.store.transaction() as session:
        end_session(session, visit.token, visit.user.name)
    response = see_other("/login")
    response.delete_cookie(visit.room.cookie, path="/", secure=visit.room.is_encrypted, httponly=True)
    return response
