"""The commands about who may log in to the review room."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from bridge.cli_shared import RequiredConfigFile, out
from config.load import load_settings

__all__ = ["users_app"]

users_app = typer.Typer(help="Who may log in to the review room, and as what.", no_args_is_help=True)

_ACTOR = "command line"
"""Who runs these commands may read and write the database itself; the system knows who that was."""


PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin, not the terminal.")
]


@users_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name to log in with: a-z, 0-9, dot, hyphen, underscore.")],
    role: Annotated[
        Literal["viewer", "planner", "physicist", "admin"],
        typer.Option(help="viewer looks; planner edits as well; physicist approves as well; admin looks."),
    ],
    config: RequiredConfigFile,
    password_stdin: PasswordStdin = False,
) -> None:
    """Let somebody log in; asks for the password. A name is given once and never again."""
    from bridge.web.passwords import Passwords
    from bridge.workflow.store import Store
    from bridge.workflow.users import Role, add_user

    settings = load_settings(config)
    password_hash = Passwords().hash(_password(password_stdin))
    with Store.in_folder(settings.data_dir).transaction() as session:
        add_user(session, name, Role(role), password_hash, _ACTOR)
    out.print(f"{name} may log in as {role}")


@users_app.command("password")
def password(
    name: Annotated[str, typer.Argument(help="Name of the user.")],
    config: RequiredConfigFile,
    password_stdin: PasswordStdin = False,
) -> None:
    """Give somebody another password, and log him out; asks for it."""
    from bridge.web.passwords import Passwords
    from bridge.workflow.store import Store
    from bridge.workflow.users import change_password

    settings = load_settings(config)
    password_hash = Passwords().hash(_password(password_stdin))
    with Store.in_folder(settings.data_dir).transaction() as session:
        change_password(session, name, password_hash, _ACTOR)
    out.print(f"{name} has another password")


@users_app.command("list")
def list_(config: RequiredConfigFile) -> None:
    """List who may log in, and who no longer may."""
    from bridge.workflow.store import Store
    from bridge.workflow.users import list_users

    with Store.in_folder(load_settings(config).data_dir).transaction() as session:
        users = list_users(session)
    for user in users:
        state = "disabled" if user.is_disabled else "active"
        out.print(f"{user.name:<32}  {user.role.value:<9}  {state:<8}  since {user.created_utc:%Y-%m-%d}")
    if not users:
        out.print("no users")


@users_app.command("disable")
def disable(
    name: Annotated[str, typer.Argument(help="Name of the user.")],
    config: RequiredConfigFile,
) -> None:
    """Let somebody log in no more, and log him out at once."""
    from bridge.workflow.store import Store
    from bridge.workflow.users import disable_user

    with Store.in_folder(load_settings(config).data_dir).transaction() as session:
        disable_user(session, name, _ACTOR)
    out.print(f"{name} may log in no more")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return typed
