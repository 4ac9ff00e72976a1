"""What the commands share: how they read options, show results and write JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bridge.rt.errors import StorageFailure

__all__ = ["ConfigFile", "JsonFile", "RequiredConfigFile", "out", "pairs", "shown_time", "table", "times", "write_json"]

out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", dir_okay=False, help="Settings in YAML; without it the defaults hold.")
]
RequiredConfigFile = Annotated[Path, typer.Option("--config", dir_okay=False, help="Settings in YAML.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the result as JSON to this file.")]


def write_json(path: Path | None, content: object) -> None:
    """Write a result where one asked for it.

    Raises
    ------
    StorageFailure
        The file cannot be written.
    """
    if path is not None:
        try:
            path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise StorageFailure("file-unwritable", f"{path} cannot be written: {error.strerror}.") from error
        out.print(f"written: {path}")


def times(count: int, what: str) -> str:
    """Give a count with its noun: 1 attempt, 2 attempts."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def shown_time(utc: datetime) -> str:
    """Give a time as every command shows it."""
    return f"{utc.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def table(title: str, *columns: str) -> Table:
    """Give an empty table, names to the left and numbers to the right."""
    empty = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        empty.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return empty


def pairs(values: list[str] | None, option: str) -> dict[str, float]:
    """Read repeated ``NAME=NUMBER`` options, whose numbers are finite and not negative."""
    found = {}
    for value in values or []:
        name, _, number = value.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            raise typer.BadParameter(f"expected NAME=NUMBER, got {value!r}", param_hint=option) from None
        if not 0 <= found[name] < math.inf:
            raise typer.BadParameter(f"expected a number of 0 or more, got {value!r}", param_hint=option)
    return found
