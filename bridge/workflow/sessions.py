"""Sessions: who is logged in, for how long. The database knows the hash of a token, the browser the token."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from bridge.rt.errors import AccessRefusal
from bridge.workflow import audit
from bridge.workflow.schema import SessionRow
from bridge.workflow.users import User, get_user

__all__ = ["SessionPolicy", "end_session", "open_session", "session_user"]

_NOTED_EVERY = timedelta(seconds=30)
"""A visit is noted no more often: every note is a write that is synced to the disk."""


@dataclass(frozen=True)
class SessionPolicy:
    """How long a session lasts.

    Attributes
    ----------
    idle
        Without a request.
    longest
        In any case.
    """

    idle: timedelta
    longest: timedelta


def open_session(session: Session, user_name: str, now: datetime, policy: SessionPolicy) -> str:
    """Log a user in and give the token of the new session; sessions that ran out are cleared away."""
    session.execute(
        delete(SessionRow).where(
            (SessionRow.seen_utc < now - policy.idle) | (SessionRow.opened_utc < now - policy.longest)
        )
    )
    token = secrets.token_urlsafe(32)
    session.add(SessionRow(token_sha256=_hash(token), user_name=user_name, opened_utc=now, seen_utc=now))
    audit.append(session, user_name, "logged-in")
    return token


def session_user(session: Session, token: str, now: datetime, policy: SessionPolicy) -> User:
    """Give who sends this token, and note that he did.

    Raises
    ------
    AccessRefusal
        There is no such session, or it ran out (``not-logged-in``).
    """
    row = session.get(SessionRow, _hash(token))
    if row is None or now - row.seen_utc > policy.idle or now - row.opened_utc > policy.longest:
        raise AccessRefusal("not-logged-in", "You are not logged in, or your session ran out. Log in again.")
    if now - row.seen_utc > _NOTED_EVERY:
        row.seen_utc = now
    return get_user(session, row.user_name)


def end_session(session: Session, token: str, user_name: str) -> None:
    """Log a user out."""
    session.execute(delete(SessionRow).where(SessionRow.token_sha256 == _hash(token)))
    audit.append(session, user_name, "logged-out")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
