"""How the review room says no: the one shape of an error, as JSON for a program and as a page for a person."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import JSONResponse, Response

from bridge.rt.errors import AccessRefusal, ApprovalRefusal, BridgeError, Failure
from bridge.web.pages import page

__all__ = ["error_response", "status_of"]

_BY_CODE: Mapping[str, int] = MappingProxyType(
    {
        "not-logged-in": 401,
        "login-refused": 401,
        "case-unknown": 404,
        "file-unknown": 404,
        "template-unknown": 404,
        "page-unknown": 404,
        "method-unknown": 405,
        "body-too-slow": 408,
        "body-too-large": 413,
        "if-match-missing": 428,
        "login-throttled": 429,
        "other-host": 421,
        "internal": 500,
    }
)


def status_of(error: BridgeError) -> int:
    """Give the HTTP status of an error.

    403 for what somebody may not do, 409 for what does not fit the state of a case any more, 422 for input that cannot
    be, 503 for what may work later.
    """
    if error.code in _BY_CODE:
        return _BY_CODE[error.code]
    if isinstance(error, AccessRefusal):
        return 403
    if isinstance(error, ApprovalRefusal):
        return 409
    return 503 if isinstance(error, Failure) else 422


def error_response(
    error: BridgeError, wants_page: bool, case_id: str | None = None, is_change: bool = False
) -> Response:
    """Give the answer to a request that was refused or failed.

    Parameters
    ----------
    case_id
        The case that it was about, to lead back to; None where it was about none.
    is_change
        Whether a form was sent, which the browser still has.
    """
    status, told = status_of(error), error.as_dict()
    if error.code == "login-refused":
        told["where"] = {}  # whose password it was is for the audit trail: others must not learn which names there are
    if wants_page:
        return page("error.html.j2", status, error=told, case_id=case_id, is_change=is_change)
    return JSONResponse(told, status)
