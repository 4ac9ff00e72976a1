"""Passwords: kept as argon2id hashes only, and compared in the same time whether a user is there or not."""

from __future__ import annotations

from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bridge.rt.errors import AccessRefusal

__all__ = ["Passwords", "require_strong"]

_SHORTEST, _LONGEST = 12, 256
_AT_A_TIME = 2
"""A comparison takes 64 MiB and a core: a crowd of them must not take the node's."""


class Passwords:
    """Makes and compares hashes.

    Parameters
    ----------
    hasher
        The default has the parameters of RFC 9106 for little memory.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobodys = self._hasher.hash("the password of nobody at all")
        self._turns = BoundedSemaphore(_AT_A_TIME)

    def hash(self, password: str) -> str:
        """Give the hash of a new password; raises as :func:`require_strong`."""
        require_strong(password)
        return self._hasher.hash(password)

    def fits(self, password: str, password_hash: str | None) -> bool:
        """Tell if a password is the one of a hash; for no hash it never is, and that takes as long."""
        if len(password) > _LONGEST:
            return False
        with self._turns:
            try:
                return self._hasher.verify(password_hash or self._nobodys, password) and password_hash is not None
            except (VerificationError, InvalidHashError):
                return False


def require_strong(password: str) -> None:
    """Refuse a password that can be guessed (``password-weak``)."""
    if not _SHORTEST <= len(password) <= _LONGEST or len(set(password)) < 5:
        raise AccessRefusal(
            "password-weak",
            f"A password has {_SHORTEST} to {_LONGEST} characters, at least 5 of them different. A sentence is best.",
        )
