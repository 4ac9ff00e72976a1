"""What all settings share: frozen sections, and the kinds of value that need a check of their own."""

from __future__ import annotations

import ipaddress
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, ValidationInfo

__all__ = [
    "AeTitle",
    "Host",
    "Network",
    "NonNegative",
    "Percent",
    "Port",
    "Positive",
    "Regex",
    "Section",
    "SitePath",
    "section_of",
]


class Section(BaseModel):
    """Base of all sections: frozen, no unknown keys, no silent change of type, no infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _ae_title(value: str) -> str:
    """Check the value representation AE (PS3.5 6.2): 1 to 16 characters, no backslash, no control characters."""
    if not re.fullmatch(r"(?=[ -~]{1,16}$)[^\\]+", value) or value != value.strip():
        raise ValueError("must be 1 to 16 printable ASCII characters without backslash or outer spaces")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.:_-]{0,252}[A-Za-z0-9:])?|::1?", value):
        raise ValueError("must be a host name or an IP address")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"must be an IP address or a network such as 192.0.2.0/24 ({error})") from None
    return value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from None
    return value


def _site_path(value: Path, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path.cwd())
    return (folder / value.expanduser()).resolve()


def _text(value: Any) -> str:
    return str(value)


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Host = Annotated[str, AfterValidator(_host)]
Network = Annotated[str, AfterValidator(_network)]
Regex = Annotated[str, AfterValidator(_regex)]
SitePath = Annotated[Path, AfterValidator(_site_path), PlainSerializer(_text)]
Port = Annotated[int, Field(ge=1, le=65535)]
Percent = Annotated[float, Field(ge=0, le=100)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


def section_of(annotation: Any) -> type[Section] | None:
    """Give the section type inside a union, a tuple or the values of a mapping, or None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple, Mapping):
        return next((found for part in typing.get_args(annotation) if (found := section_of(part))), None)
    return None
