"""Write the reference of all commands as Markdown, from the commands themselves.

``python -m bridge.cli_reference`` prints it; ``make docs`` puts it into docs/reference/command-line.md.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import typer
from typer.models import ArgumentInfo

from bridge.cli import app

__all__ = ["command_line_reference"]

_HEAD = """\
# Command line

<!-- Made by `make docs` from bridge/cli.py; edit that. -->

`fdp-bridge [--json-errors] COMMAND ...` runs one command; `fdp-bridge COMMAND --help` explains it in the terminal.

| exit code | meaning |
| --- | --- |
| 0 | done |
| 2 | wrong use: an unknown command or option, or a value of the wrong kind |
| 3 | refused: the input, the settings or the approval is not acceptable; trying again will not help |
| 4 | failed: a file, the disk, the database or a peer did not do its part; trying again may help |

With `--json-errors` before the command, what is refused or failed is one line of JSON on stderr with `kind`
(`refused` or `failed`), `code`, `message` and `where`; an error of the settings lists them in `problems` as well.
"""

_KINDS = {Path: "path", str: "text", float: "number", int: "integer", bool: "flag"}


def command_line_reference() -> str:
    """Give the whole page. It is the same whatever the width and the colours of the terminal."""
    root = app.registered_callback
    parts = [_HEAD, "## fdp-bridge", "", str(app.info.help), "", *_table(root.callback if root else None)]
    for name, function in _commands(app, "fdp-bridge"):
        arguments = [part.name.upper() + part.more for part in _parameters(function) if part.is_argument]
        usage = " ".join([name, *arguments, "[OPTIONS]"])
        parts += ["", f"## {name}", "", f"    {usage}", "", " ".join((function.__doc__ or "").split())]
        parts += ["", *_table(function)] if _table(function) else []
    return "\n".join(parts) + "\n"


class _Parameter(NamedTuple):
    """One argument or option of a command."""

    name: str
    is_argument: bool
    kind: str
    more: str
    default: object
    help: str

    @property
    def row(self) -> str:
        """The line of the table."""
        if self.default is inspect.Parameter.empty:
            default = "required"
        else:
            default = "" if self.default in (None, False) else f"`{self.default}`"
        kind = f"{self.kind}, may be repeated" if self.more else self.kind
        shown = self.name.upper() if self.is_argument else self.name
        return f"| `{shown}` | {kind} | {default} | {self.help} |"


def _commands(program: typer.Typer, path: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Give every command by its full name, in the order of the program."""
    for command in program.registered_commands:
        if command.callback is not None:
            yield f"{path} {command.name or command.callback.__name__}", command.callback
    for group in program.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(group.typer_instance, f"{path} {group.name}")


def _table(function: Callable[..., Any] | None) -> list[str]:
    rows = [parameter.row for parameter in _parameters(function)] if function else []
    return ["| argument or option | value | default | meaning |", "| --- | --- | --- | --- |", *rows] if rows else []


def _parameters(function: Callable[..., Any]) -> Iterator[_Parameter]:
    """Read arguments and options from a command's signature, as Typer does."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        if get_origin(hints[name]) is not Annotated:
            continue  # the context
        annotation, info = get_args(hints[name])[:2]
        kinds = [part for part in get_args(annotation) if part is not NoneType] or [annotation]
        repeated = get_origin(kinds[0]) is list or get_origin(annotation) is list
        kind = (get_args(kinds[0]) or kinds)[0]
        # a choice lists its words, which are texts
        word = str if isinstance(kind, str) else kind
        is_argument = isinstance(info, ArgumentInfo)
        # in an annotation, Typer keeps the first name that was given in the place of the default
        given = [*(info.param_decls or ()), *([info.default] if isinstance(info.default, str) else [])]
        shown = name if is_argument else [*given, "--" + name.replace("_", "-")][0]
        yield _Parameter(shown, is_argument, _KINDS[word], "..." if repeated else "", parameter.default, str(info.help))


if __name__ == "__main__":
    sys.stdout.write(command_line_reference())
