"""Read one YAML file as plain values, with fewer surprises than YAML 1.1 has.

Repeated keys are refused. Only ``true`` and ``false`` are booleans (``no`` is a word), numbers with a leading zero
and dates are text, and ``1e3`` is a number: the core schema of YAML 1.2.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from config.errors import ConfigError, Problem

__all__ = ["read_yaml"]

_LARGEST_BYTES = 1_000_000
"""A larger file is not a configuration."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that knows the scalars of YAML 1.2 only, and refuses repeated keys and aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not used here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[object, yaml.Node] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} must be text; put it into quotes", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice, first in line {seen[key].start_mark.line + 1}",
                    key_node.start_mark,
                )  # fmt: skip
            seen[key] = key_node
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+.0123456789"),
    ("null", r"null|~|", ["n", "~", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping; an empty file is an empty mapping.

    Raises
    ------
    ConfigError
        The file cannot be read, is not YAML, or repeats a key.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError(str(path), [Problem("", f"the file is larger than {_LARGEST_BYTES} bytes")])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"the file cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [Problem("", f"the file is not UTF-8 text: {error}")]) from error
    try:
        values = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            str(path), [Problem(place, ": ".join(filter(None, (error.context, error.problem))))]
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(str(path), [Problem("", f"the file is not YAML: {error}")]) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(str(path), [Problem("", "the top level must be sections, such as 'node:'")])
    return values
