"""Protocols: what a plan of one kind must reach, as data with its sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from config.base import Percent, Positive, Section
from config.errors import ConfigError, Problem
from config.structure_names import StructureNames
from config.yaml_file import read_yaml

__all__ = ["OrganGoal", "Protocol", "TargetGoal", "load_protocol", "protocol_names", "read_protocol"]

_FOLDER = Path(__file__).parent / "protocols"


class TargetGoal(Section):
    """At least (lower) or at most (upper) ``volume_percent`` of a target gets ``dose_percent`` of its prescription.

    Attributes
    ----------
    of_highest
        Whether the percent are of the plan's highest prescription: beside it, another target must be hotter than its
        own.
    hard
        Whether a plan has to meet it. Other goals are wishes: they wait until all hard goals are met.
    source
        Key of the protocol's sources.
    """

    volume_percent: Percent
    operator: Literal["lower", "upper"]
    dose_percent: Annotated[float, Field(ge=50, le=200)]
    of_highest: bool = False
    hard: bool
    source: str


class OrganGoal(Section):
    """At most ``dose_gy`` to the hottest ``volume_cc`` of an organ, or on average where that is None.

    ``hard`` and ``source`` are as of :class:`TargetGoal`. A mean dose is never hard: how much of the organ the targets
    take settles how low it can be.
    """

    volume_cc: Positive | None
    dose_gy: Annotated[float, Field(gt=0, le=120)]
    hard: bool
    source: str

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.hard and self.volume_cc is None:
            raise ValueError("a mean dose cannot be a hard goal")
        return self


class Protocol(Section):
    """The goals of one kind of plan.

    Attributes
    ----------
    title
        For a person.
    sources
        Where the goals come from, by key.
    targets
        Goals of every target.
    organs
        Goals by standard name.
    """

    title: str = Field(min_length=1)
    sources: Mapping[str, str]
    targets: tuple[TargetGoal, ...]
    organs: Mapping[str, tuple[OrganGoal, ...]]

    @model_validator(mode="after")
    def _known(self) -> Self:
        used = {goal.source for goal in self.targets}
        used |= {goal.source for of_one in self.organs.values() for goal in of_one}
        unknown = sorted(used - set(self.sources))
        if unknown:
            raise ValueError(f"the source {unknown[0]!r} is not among the sources")
        names = StructureNames.load()
        strange = sorted(name for name in self.organs if not names.is_standard(name))
        if strange:
            raise ValueError(f"{strange[0]!r} is not a standard structure name")
        return self


def protocol_names() -> list[str]:
    """Give the names of the protocols that come with the project."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_protocol(name: str) -> Protocol:
    """Read one of the protocols that come with the project.

    Parameters
    ----------
    name
        ``"head_and_neck"``.

    Raises
    ------
    ConfigError
        There is none of that name, or it holds goals that cannot be.
    """
    known = protocol_names()
    if name not in known:
        raise ConfigError(name, [Problem("", f"there is no such protocol; known: {', '.join(known)}")])
    return read_protocol(_FOLDER / f"{name}.yaml")


def read_protocol(path: Path) -> Protocol:
    """Read a protocol file; raises as :func:`load_protocol`."""
    try:
        return Protocol.model_validate_json(json.dumps(read_yaml(path)))
    except ValidationError as error:
        problems = [Problem(".".join(map(str, item["loc"])), item["msg"]) for item in error.errors()]
        raise ConfigError(str(path), problems) from None
