"""Getting in once without a password: for the room that somebody opens for himself on his own computer.

The link shows a page with a button, because a browser may load a link by itself; the button opens the session.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime, timedelta
from threading import Lock

from bridge.rt.errors import AccessRefusal

__all__ = ["Entrance"]

_OPEN_FOR = timedelta(hours=1)


class Entrance:
    """One way in for one user, once, for an hour.

    Parameters
    ----------
    user_name
        Who gets in.
    now
        Time in UTC.
    """

    def __init__(self, user_name: str, now: datetime) -> None:
        self.user_name = user_name
        self.token = secrets.token_urlsafe(32)
        self._until = now + _OPEN_FOR
        self._is_used = False
        self._lock = Lock()

    def use(self, token: str, now: datetime) -> str:
        """Give who gets in.

        Raises
        ------
        AccessRefusal
            It is another token, was used, or is too old (``entrance-closed``).
        """
        with self._lock:
            fits = hmac.compare_digest(token.encode(), self.token.encode())
            if self._is_used or not fits or now > self._until:
                raise AccessRefusal(
                    "entrance-closed",
                    "This link was used already, or is too old. Log in with the name and password in the terminal.",
                )
            self._is_used = True
            return self.user_name
