"""What every answer says to the browser: load nothing from elsewhere, run nothing written into a page, keep nothing."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["SecurityHeaders"]

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # with no-referrer a browser would hide the origin of our own forms as well
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_ONE_YEAR = "max-age=31536000"


class SecurityHeaders:
    """Adds the headers to every answer, also to errors.

    Parameters
    ----------
    app
        What answers.
    is_encrypted
        Whether browsers come by https: then they are told to come in no other way.
    """

    def __init__(self, app: ASGIApp, is_encrypted: bool) -> None:
        self._app = app
        self._headers = _HEADERS | ({"Strict-Transport-Security": _ONE_YEAR} if is_encrypted else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, with_headers)
