"""Read a site's configuration: its YAML over the defaults, checked as a whole."""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.base import section_of
from config.checks import cross_check
from config.errors import ConfigError, Problem
from config.settings import Settings
from config.yaml_file import read_yaml

__all__ = ["load_settings"]

_DEFAULTS = Path(__file__).parent / "defaults.yaml"


def load_settings(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read the site's settings.

    Parameters
    ----------
    path
        The site's YAML file, which holds only what differs from the defaults: sections are merged key by key, and a
        list replaces the default list. None gives the defaults.
    overrides
        Sections with keys that come before those of the file: what a command line asks for.

    Returns
    -------
    Settings
        Relative paths are resolved against the folder of the file, or the current folder where there is none.

    Raises
    ------
    ConfigError
        Every problem that was found, each with the path of its key.
    """
    site = read_yaml(path) if path is not None else {}
    folder = path.resolve().parent if path is not None else Path.cwd()
    source = str(path) if path is not None else "the default configuration"
    try:
        text = json.dumps(_merged(_merged(_defaults(), site), overrides or {}))
    except (TypeError, ValueError) as error:
        raise ConfigError(source, [Problem("", f"a value is of no kind that a setting has: {error}")]) from error
    try:
        settings = Settings.model_validate_json(text, context={"folder": folder})
    except ValidationError as error:
        # a list with a bad member is called too short as well
        items = [item for item in error.errors() if not (item["type"] == "too_short" and item["input"])]
        raise ConfigError(source, [_problem(item) for item in items]) from None
    if problems := cross_check(settings):
        raise ConfigError(source, problems)
    return settings


@cache
def _defaults() -> dict[str, Any]:
    return read_yaml(_DEFAULTS)


def _merged(default: Mapping[str, Any], site: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(default)
    for key, value in site.items():
        below = default.get(key)
        merged[key] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def _problem(item: Mapping[str, Any]) -> Problem:
    """Say one pydantic error in words of the configuration."""
    place: tuple[str | int, ...] = tuple(part for part in item["loc"] if part != "[key]")
    match item["type"]:
        case "extra_forbidden":
            known = sorted(_keys_at(place[:-1]))
            near = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.6)
            message = f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known: {', '.join(known)}"
        case "missing":
            message = "is missing"
        case "value_error":
            message = f"{item['ctx']['error']}, got {item['input']!r}"
        case "model_type" | "dict_type" | "mapping_type":
            message = f"must be a section with keys below it, got {item['input']!r}"
        case "tuple_type":
            message = f"must be a list, got {item['input']!r}"
        case _:
            message = f"{item['msg'].replace('Input should', 'must', 1)}, got {item['input']!r}"
    return Problem(_path(place), message)


def _path(place: Sequence[str | int]) -> str:
    """Give ``("node", "peers", 0, "port")`` as ``node.peers[0].port``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _keys_at(place: Sequence[str | int]) -> set[str]:
    """Give the known keys of the section at a place."""
    section: Any = Settings
    is_named = False  # by a site's own name, in a mapping of sections
    for part in place:
        if isinstance(part, str) and not is_named:
            annotation = section.model_fields[part].annotation
            section, is_named = section_of(annotation), typing.get_origin(annotation) is Mapping
        else:
            is_named = False
    return set(section.model_fields)
