"""Write the reference of all settings as Markdown, from the settings themselves.

``python -m config.reference`` prints it; ``make docs`` puts it into docs/reference/configuration.md.
"""

from __future__ import annotations

import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic_core import PydanticUndefined

from config.base import Section, section_of
from config.load import load_settings
from config.settings import Settings

__all__ = ["Key", "all_keys", "configuration_reference"]

_HEAD = """\
# Configuration

<!-- Made by `make docs` from config/settings.py and config/defaults.yaml; edit those. -->

A site's configuration is one YAML file (`--config FILE`) that holds only what differs from the defaults below.
`fdp-bridge check-config FILE` checks it and lists every problem at once. Unknown and repeated keys are refused.
Relative paths count from the folder of the file. A list replaces the default list as a whole.
`config/example.yaml` is an annotated example.
"""


class Key(typing.NamedTuple):
    """One line of the reference."""

    path: str
    kind: str
    default: str
    help: str


def all_keys(section: type[Section] = Settings, prefix: str = "") -> Iterator[Key]:
    """Give every key below a section, depth first.

    Members of lists have ``[]`` in their path, those of mappings ``.NAME``.
    """
    for name, info in section.model_fields.items():
        path = prefix + name
        below = section_of(info.annotation)
        if below is None or typing.get_origin(info.annotation) is not None:
            kind = _kind(info.annotation, info.metadata)
            yield Key(path, kind, _default(path, info.default), info.description or "")
        if below is not None:
            origin = typing.get_origin(info.annotation)
            member = "[]" if origin is tuple else ".NAME" if origin is Mapping else ""
            yield from all_keys(below, f"{path}{member}.")


def configuration_reference() -> str:
    """Give the whole page."""
    parts = [_HEAD]
    for name, info in Settings.model_fields.items():
        keys = [key for key in all_keys() if key.path.partition("[")[0].partition(".")[0] == name]
        parts.append(
            f"\n## {name}\n\n{info.description}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |"
        )
        parts += [f"| `{key.path}` | {key.kind} | {key.default} | {key.help} |" for key in keys]
    return "\n".join(parts) + "\n"


def _default(path: str, own: Any) -> str:
    """Give the value in the defaults; a member of a list or an optional section has its own or is required."""
    value: Any = load_settings(None).model_dump(mode="json", exclude={"data_dir"}) | {"data_dir": "fdp-bridge-data"}
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            if own is PydanticUndefined:
                return "required"
            value = own
            break
        value = value[part]
    text = json.dumps(value)
    return f"`{text}`" if len(text) <= 60 else "see `config/defaults.yaml`"


def _kind(annotation: Any, metadata: list[Any]) -> str:
    """Give the type of a value in words, with its range."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(args[0], [*metadata, *_flat(args[1:])])
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if part is type(None) else _kind(part, metadata) for part in args)
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in args)
    if origin is tuple:
        return f"list of {_kind(args[0], [])}"
    if origin is not None and issubclass(origin, Mapping):
        return f"mapping of {_kind(args[0], [])} to {_kind(args[1], [])}"
    if section_of(annotation) is not None:
        return "section"
    name = {str: "text", int: "integer", float: "number", bool: "`true` or `false`", Path: "path"}[annotation]
    return name + _range(metadata)


def _flat(metadata: tuple[Any, ...]) -> Iterator[Any]:
    """Give constraints, also those wrapped in a pydantic Field."""
    for item in metadata:
        yield from getattr(item, "metadata", [item])


def _range(metadata: list[Any]) -> str:
    bounds = {name: getattr(item, name) for item in metadata for name in ("ge", "gt", "le") if hasattr(item, name)}
    low = f"at least {bounds['ge']:g}" if "ge" in bounds else f"more than {bounds['gt']:g}" if "gt" in bounds else ""
    high = f"at most {bounds['le']}" if "le" in bounds else ""
    return "".join(f", {part}" for part in (low, high) if part)


if __name__ == "__main__":
    sys.stdout.write(configuration_reference())
