"""Showing who one is by a password: when logging in, and again when signing."""

from __future__ import annotations

from bridge.rt.errors import AccessRefusal
from bridge.web.room import ReviewRoom
from bridge.workflow import audit
from bridge.workflow.users import password_hash_of

__all__ = ["require_password"]

_MOST_BY_NAME_AND_ADDRESS, _MOST_BY_NAME, _MOST_BY_ADDRESS = 10, 50, 50
"""Wrong passwords within ten minutes. A name alone has more: nobody is to lock a colleague out from his own desk."""


def require_password(room: ReviewRoom, name: str, password: str, address: str) -> None:
    """Refuse a wrong password, and too many of them: from one place for one name, for one name, and from one place.

    Raises
    ------
    AccessRefusal
        ``login-refused``, the same whether there is such a user or not; ``login-throttled``.
    """
    both = f"{name}@{address}"
    limits = {both: _MOST_BY_NAME_AND_ADDRESS, f"{name}@": _MOST_BY_NAME, f"@{address}": _MOST_BY_ADDRESS}
    wait_s = room.logins.wait_s(limits)
    with room.store.transaction() as session:
        password_hash = password_hash_of(session, name)
        # once in that time for each name, however many refusals of this address were audited before
        if wait_s and password_hash is not None and not room.audited.wait_s({f"{name} waits": 1}):
            audit.append(session, "nobody", "login-throttled", user=name, address=address, wait_s=wait_s)
    if wait_s:
        raise AccessRefusal("login-throttled", f"Too many passwords were tried. Wait {wait_s} s.", wait_s=wait_s)
    if not room.passwords.fits(password, password_hash):
        # a password may have been typed in the place of the name: only a user's name is kept
        known = {} if password_hash is None else {"user": name}
        raise AccessRefusal("login-refused", "There is no such user, or the password is wrong.", **known)
    room.logins.uncount(limits)
    room.logins.forgive(both)
