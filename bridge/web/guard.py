"""The one way to every page: host, origin, session, permission and form token are looked at here, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.rt.errors import AccessRefusal, BridgeError, Failure, Refusal
from bridge.web.errors import error_response
from bridge.web.origin import require_csrf_token, require_host, require_own_origin
from bridge.web.pages import see_other
from bridge.web.permission import Permission, require
from bridge.web.room import ReviewRoom
from bridge.web.visit import Visit
from bridge.workflow import audit
from bridge.workflow.sessions import session_user
from bridge.workflow.users import User

__all__ = ["GuardedRoute", "View"]

logger = logging.getLogger(__name__)

View = Callable[[Visit], Response]

_LARGEST_BODY = 1_000_000
_LONGEST_BODY_S = 30.0
_MOST_AUDITED = 100
"""Refusals from one address, or of one user, that go into the audit trail within ten minutes."""

_LONGEST_MESSAGE = 500


class GuardedRoute(Route):
    """A route that says who may use it, and lets nobody else.

    Parameters
    ----------
    path
        With parts in braces.
    view
        Answers a visit; runs in a thread of its own.
    permission
        What a user must be allowed.
    method
        ``"GET"``, ``"POST"``, ``"PUT"`` or ``"DELETE"``.
    asks_by_itself
        Whether pages ask for it again and again: that keeps nobody logged in.
    lists_patients
        Whether it names the patients of many cases: who looked is kept, as for those of one case.
    """

    def __init__(
        self,
        path: str,
        view: View,
        permission: Permission,
        method: str = "GET",
        *,
        asks_by_itself: bool = False,
        lists_patients: bool = False,
    ) -> None:
        self.view = view
        self.permission = permission
        self.is_change = method != "GET"
        self.asks_by_itself = asks_by_itself
        self.lists_patients = lists_patients

        async def endpoint(request: Request) -> Response:
            body = await _body(request)
            return await run_in_threadpool(self._answer, request, body)

        super().__init__(path, endpoint, methods=[method])

    def _answer(self, request: Request, body: bytes | Refusal) -> Response:
        room: ReviewRoom = request.app.state.room
        address = request.client.host if request.client else "unknown"
        path = {name: str(value) for name, value in request.path_params.items()}
        sent = b"" if isinstance(body, Refusal) else body
        visit = Visit(room, path, dict(request.headers), sent, address, request.url.query)
        user: User | None = None
        try:
            require_host(request.headers.get("host"), room.origin)
            if isinstance(body, Refusal):
                raise body
            token = request.cookies.get(room.cookie)
            if token is not None:
                visit = _with_session(visit, token, is_present=not self.asks_by_itself)
                user = None if visit.session is None else visit.session[0]
            self._require(visit)
            answer = self.view(visit)
            self._audit_look(visit)
            return answer
        except Refusal as error:
            if self.is_change or isinstance(error, AccessRefusal):
                self._audit(visit, user, error)
            if error.code == "not-logged-in" and visit.wants_page and not self.is_change:
                return see_other("/login")
            return error_response(error, visit.wants_page, visit.case_id, self.is_change)
        except BridgeError as error:
            logger.warning("%s failed: %s", self.path, error)
            return error_response(error, visit.wants_page, visit.case_id, self.is_change)
        except Exception:
            logger.exception("%s met a bug", self.path)  # the pattern of the path: nothing that was sent
            return error_response(Failure("internal", "An internal error, see the log."), visit.wants_page)

    def _require(self, visit: Visit) -> None:
        if self.is_change:
            require_own_origin(visit.headers, visit.room.origin)
        if self.permission is Permission.PUBLIC:
            return
        require(visit.user, self.permission)
        if self.is_change:
            given = visit.headers.get("x-csrf-token")
            require_csrf_token(visit.form().get("csrf") if given is None else given, visit.token)

    def _audit_look(self, visit: Visit) -> None:
        """Keep who looked at which patient or list, once an hour for each session and case, or show nothing."""
        is_look = visit.case_id is not None or self.lists_patients
        asks_without_names = self.asks_by_itself and not self.lists_patients
        if visit.session is None or not is_look or self.is_change or asks_without_names:
            return
        (user, token), looks = visit.session, visit.room.looks
        key = f"{token} {visit.case_id}"
        if looks.wait_s({key: 1}):
            return
        try:
            with visit.room.store.transaction() as session:
                action = "worklist-looked-at" if visit.case_id is None else "case-looked-at"
                audit.append(session, user.name, action, visit.case_id, address=visit.address)
        except Failure:
            looks.forgive(key)
            raise

    def _audit(self, visit: Visit, user: User | None, error: Refusal) -> None:
        """Keep what was refused, but for what is no attempt at anything.

        That is a page that nobody is logged in for, and a move of a slider that a newer one overtook.
        """
        if error.code == "superseded" or (error.code == "not-logged-in" and not self.is_change):
            return
        by = user.name if user else "nobody"
        if visit.room.audited.wait_s({by if user else visit.address: _MOST_AUDITED}):
            return
        detail = {"route": self.path, "code": error.code, "message": error.message[:_LONGEST_MESSAGE]}
        if error.code == "login-refused":
            detail |= error.where
        try:
            with visit.room.store.transaction() as session:
                audit.append(session, by, "request-refused", visit.case_id, **detail, address=visit.address)
        except Failure:
            logger.exception("a refusal could not be kept; it is refused all the same")


def _with_session(visit: Visit, token: str, is_present: bool) -> Visit:
    room = visit.room
    try:
        with room.store.transaction() as session:
            user = session_user(session, token, room.clock(), room.session_policy, is_present)
    except AccessRefusal:
        return visit  # a public page is shown all the same; any other one says that nobody is logged in
    return replace(visit, session=(user, token))


async def _body(request: Request) -> bytes | Refusal:
    """Read what was sent, or say that it is more, or comes more slowly, than anybody has reason to send."""
    body = bytearray()
    try:
        async with asyncio.timeout(_LONGEST_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _LARGEST_BODY:
                    return Refusal("body-too-large", f"The review room takes {_LARGEST_BODY:,} bytes at once.")
    except TimeoutError:
        return Refusal("body-too-slow", f"What was sent did not come within {_LONGEST_BODY_S:g} s. Send it again.")
    return bytes(body)
