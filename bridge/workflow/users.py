"""Users: who may log in, and as what. A name is given once and never again: the audit trail says it for ever."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from bridge.rt.errors import AccessRefusal
from bridge.workflow import audit
from bridge.workflow.schema import SessionRow, UserRow

__all__ = ["Role", "User", "add_user", "change_password", "disable_user", "get_user", "list_users", "password_hash_of"]


class Role(StrEnum):
    """What a user is. What a role may do is decided where it is asked for."""

    VIEWER = "viewer"
    PLANNER = "planner"
    PHYSICIST = "physicist"
    ADMIN = "admin"


@dataclass(frozen=True)
class User:
    """A person who may log in, or no longer may."""

    name: str
    role: Role
    is_disabled: bool
    created_utc: datetime


def add_user(session: Session, name: str, role: Role, password_hash: str, actor: str) -> None:
    """Let somebody log in.

    Parameters
    ----------
    name
        1 to 28 characters a-z, 0-9, dot, hyphen and underscore. Lower case alone, so that two names that look the
        same are the same: one person must not count as two. Two of them fit into the name of an approval.
    password_hash
        With its algorithm and parameters in it.

    Raises
    ------
    AccessRefusal
        Such a name cannot be (``user-name``), or is or was somebody's (``user-exists``).
    """
    if not re.fullmatch("[a-z0-9][a-z0-9._-]{0,27}", name) or name == audit.SYSTEM:
        raise AccessRefusal(
            "user-name",
            "A user name has 1 to 28 characters a-z, 0-9, '.', '-' and '_', begins with a letter or digit, and is not "
            f"{audit.SYSTEM!r}.",
        )
    if session.get(UserRow, name) is not None:
        raise AccessRefusal("user-exists", f"The name {name!r} is or was somebody's; choose another one.", user=name)
    session.add(
        UserRow(
            name=name, role=role.value, password_hash=password_hash, is_disabled=False, created_utc=datetime.now(UTC)
        )
    )
    audit.append(session, actor, "user-added", None, user=name, role=role.value)


def change_password(session: Session, name: str, password_hash: str, actor: str) -> None:
    """Give a user another password, and end what he is logged in with.

    Raises
    ------
    AccessRefusal
        There is no such user (``user-unknown``), or he may not log in any more (``user-disabled``).
    """
    if get_user(session, name).is_disabled:
        raise AccessRefusal("user-disabled", f"{name!r} may not log in any more.", user=name)
    session.get_one(UserRow, name).password_hash = password_hash
    session.execute(delete(SessionRow).where(SessionRow.user_name == name))
    audit.append(session, actor, "user-password-changed", None, user=name)


def disable_user(session: Session, name: str, actor: str) -> None:
    """Let somebody log in no more, and end what he is logged in with; once is enough.

    Raises
    ------
    AccessRefusal
        There is no such user (``user-unknown``).
    """
    if get_user(session, name).is_disabled:
        return
    session.get_one(UserRow, name).is_disabled = True
    session.execute(delete(SessionRow).where(SessionRow.user_name == name))
    audit.append(session, actor, "user-disabled", None, user=name)


def get_user(session: Session, name: str) -> User:
    """Give one user; raises as :func:`disable_user`."""
    row = session.get(UserRow, name)
    if row is None:
        raise AccessRefusal("user-unknown", f"There is no user {name!r}.", user=name)
    return _user(row)


def list_users(session: Session) -> Sequence[User]:
    """Give all users by name, also those who no longer may log in."""
    return [_user(row) for row in session.scalars(select(UserRow).order_by(UserRow.name))]


def password_hash_of(session: Session, name: str) -> str | None:
    """Give the hash of the password of a user who may log in, or None."""
    row = session.get(UserRow, name)
    return None if row is None or row.is_disabled else row.password_hash


def _user(row: UserRow) -> User:
    return User(row.name, Role(row.role), row.is_disabled, row.created_utc)
