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


_CLOCK_SLACK = timedelta(minutes=1)
"""By how much a clock may be put back: more, and nobody knows how old a session is."""


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


def session_user(session: Session, token: str, now: datetime, policy: SessionPolicy, is_present: bool = True) -> User:
    """Give who sends this token, and note that he did.

    Parameters
    ----------
    is_present
        Whether a person asks. A page that asks by itself must not keep somebody logged in who went away.

    Raises
    ------
    AccessRefusal
        There is no such session, or it ran out (``not-logged-in``).
    """
    row = session.get(SessionRow, _hash(token))
    if row is None or not _lasts(row, now, policy):
        raise AccessRefusal("not-logged-in", "You are not logged in, or your session ran out. Log in again.")
    user = get_user(session, row.user_name)
    if user.is_disabled:  # his password was being compared while his sessions were ended
        raise AccessRefusal("not-logged-in", "You are not logged in, or your session ran out. Log in again.")
    if is_present and now - row.seen_utc > _NOTED_EVERY:
        row.seen_utc = now
    return user


def end_session(session: Session, token: str, user_name: str) -> None:
    """Log a user out."""
    session.execute(delete(SessionRow).where(SessionRow.token_sha256 == _hash(token)))
    audit.append(session, user_name, "logged-out")


def _lasts(row: SessionRow, now: datetime, policy: SessionPolicy) -> bool:
    """Tell if a session did not run out; a clock that was put back must not make it last longer."""
    return -_CLOCK_SLACK <= now - row.seen_utc <= policy.idle and now - row.opened_utc <= policy.longest


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
