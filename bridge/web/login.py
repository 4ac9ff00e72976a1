"""Logging in and out."""

from __future__ import annotations

from starlette.responses import Response

from bridge.rt.errors import Refusal
from bridge.web.entrance import Entrance
from bridge.web.guard import GuardedRoute
from bridge.web.identify import require_password
from bridge.web.pages import page, see_other
from bridge.web.permission import Permission
from bridge.web.visit import Visit
from bridge.workflow.sessions import end_session, open_session

__all__ = ["logged_in", "login_routes"]


def login_routes() -> list[GuardedRoute]:
    """Give the routes."""
    return [
        GuardedRoute("/login", _form, Permission.PUBLIC),
        GuardedRoute("/login", _login, Permission.PUBLIC, "POST"),
        GuardedRoute("/enter/{token}", _door, Permission.PUBLIC),
        GuardedRoute("/enter", _enter, Permission.PUBLIC, "POST"),
        GuardedRoute("/logout", _logout, Permission.LOOK, "POST"),
    ]


def _form(visit: Visit) -> Response:
    return see_other("/") if visit.session else page("login.html.j2")


def _login(visit: Visit) -> Response:
    form, room = visit.form(), visit.room
    name = form.get("name", "")
    require_password(room, name, form.get("password", ""), visit.address)
    return logged_in(visit, name)


def logged_in(visit: Visit, name: str) -> Response:
    """Open a session for somebody who showed who he is, and send him to the worklist."""
    room = visit.room
    with room.store.transaction() as session:
        token = open_session(session, name, room.clock(), room.session_policy)
    response = see_other("/")
    response.set_cookie(
        room.cookie, token, path="/", secure=room.is_encrypted, httponly=True, samesite="strict",
        max_age=int(room.session_policy.longest.total_seconds()),
    )  # fmt: skip
    return response


def _door(visit: Visit) -> Response:
    return page("enter.html.j2", visit=visit, token=visit.path["token"], user_name=_entrance(visit).user_name)


def _enter(visit: Visit) -> Response:
    return logged_in(visit, _entrance(visit).use(visit.form().get("token", ""), visit.room.clock()))


def _entrance(visit: Visit) -> Entrance:
    """Give the way in without a password; in a room that has none there is no such page."""
    entrance = visit.room.entrance
    if entrance is None:
        raise Refusal("page-unknown", "There is no such page.")
    return entrance


def _logout(visit: Visit) -> Response:
    with visit.room.store.transaction() as session:
        end_session(session, visit.token, visit.user.name)
    response = see_other("/login")
    response.delete_cookie(visit.room.cookie, path="/", secure=visit.room.is_encrypted, httponly=True)
    return response
