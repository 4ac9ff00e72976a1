"""Logging in and out."""

from __future__ import annotations

from starlette.responses import Response

from bridge.rt.errors import AccessRefusal
from bridge.web.guard import GuardedRoute
from bridge.web.pages import page, see_other
from bridge.web.permission import Permission
from bridge.web.visit import Visit
from bridge.workflow.sessions import end_session, open_session
from bridge.workflow.users import password_hash_of

__all__ = ["login_routes"]

_MOST_BY_NAME_AND_ADDRESS, _MOST_BY_NAME, _MOST_BY_ADDRESS = 10, 50, 50
"""Attempts within ten minutes. A name alone has more: nobody is to lock a colleague out from his own desk."""


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
    name, password = form.get("name", ""), form.get("password", "")
    both = f"{name}@{visit.address}"
    limits = {both: _MOST_BY_NAME_AND_ADDRESS, f"{name}@": _MOST_BY_NAME, f"@{visit.address}": _MOST_BY_ADDRESS}
    wait_s = room.logins.wait_s(limits)
    if wait_s:
        raise AccessRefusal("login-throttled", f"Too many attempts to log in. Wait {wait_s} s.", wait_s=wait_s)
    with room.store.transaction() as session:
        password_hash = password_hash_of(session, name)
    if not room.passwords.fits(password, password_hash):
        # a password may have been typed in the place of the name: only a user's name is kept
        known = {} if password_hash is None else {"user": name}
        raise AccessRefusal("login-refused", "There is no such user, or the password is wrong.", **known)
    room.logins.forgive(both)
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
