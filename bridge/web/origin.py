"""Where a request comes from: the review room's own pages, or somewhere else."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from bridge.rt.errors import AccessRefusal

__all__ = ["csrf_token", "require_csrf_token", "require_host", "require_own_origin"]


def require_host(host: str | None, origin: str) -> None:
    """Refuse a request to another name than ours (``other-host``): a foreign name may be made to point at us."""
    if host != urlsplit(origin).netloc:
        raise AccessRefusal("other-host", f"The review room is reached at {origin} only.")


def require_own_origin(headers: Mapping[str, str], origin: str) -> None:
    """Refuse a change that another site's page asked for (``other-origin``); every browser says which page asks."""
    asked = headers.get("origin")
    if asked != origin or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise AccessRefusal("other-origin", f"A change can be asked for from the pages at {origin} only.")


def csrf_token(session_token: str) -> str:
    """Give the token that the pages of a session carry: another site can send the cookie, but not read this."""
    return hmac.new(session_token.encode(), b"csrf", hashlib.sha256).hexdigest()


def require_csrf_token(given: str | None, session_token: str) -> None:
    """Refuse a change that does not come from a page of this session (``csrf-token``)."""
    if given is None or not hmac.compare_digest(given.encode(), csrf_token(session_token).encode()):
        raise AccessRefusal("csrf-token", "This form is not of your session. Load the page again.")
