"""What can be wrong with a configuration: every problem at once, each with its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ConfigError", "Problem"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    path
        Where: ``node.peers[0].port``, or empty for the file as a whole.
    message
        What was found and what was expected.
    """

    path: str
    message: str

    def __str__(self) -> str:
        """Give ``path: message``."""
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(ValueError):
    """A configuration that cannot be used.

    Attributes
    ----------
    source
        The file, or a word for it.
    problems
        All that is wrong, in the order of the settings.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join([f"{source} cannot be used:", *(f"  {problem}" for problem in self.problems)]))
