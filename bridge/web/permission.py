"""What a role may do. Every route names one permission; there is no other place where access is decided."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from bridge.rt.errors import AccessRefusal
from bridge.workflow.users import Role, User

__all__ = ["Permission", "may", "require"]


class Permission(StrEnum):
    """What a route is about."""

    PUBLIC = "be seen by everybody"
    LOOK = "look at cases"
    EDIT = "try preferences, edit objectives, hold cases and have them predicted again"
    DECIDE = "approve, reject, send and discard cases, and say which templates hold"


_GRANTED: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Permission.LOOK}),
        Role.PLANNER: frozenset({Permission.LOOK, Permission.EDIT}),
        Role.PHYSICIST: frozenset({Permission.LOOK, Permission.EDIT, Permission.DECIDE}),
        # who gives out the roles does not decide about patients
        Role.ADMIN: frozenset({Permission.LOOK}),
    }
)


def may(user: User, permission: Permission) -> bool:
    """Tell if the role of a user covers something."""
    return permission is Permission.PUBLIC or permission in _GRANTED[user.role]


def require(user: User, permission: Permission) -> None:
    """Refuse what the role of a user does not cover (``role-too-low``)."""
    if not may(user, permission):
        raise AccessRefusal(
            "role-too-low",
            f"A {user.role.value} may not {permission.value}. Ask somebody who may, or for another role.",
            user=user.name,
        )
