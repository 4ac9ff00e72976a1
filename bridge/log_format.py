"""What a bug may say in the log: where it is and what kind it is, and not what it holds, which may name a patient."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

from bridge.rt.errors import BridgeError

__all__ = ["NamelessFormatter"]


class NamelessFormatter(logging.Formatter):
    """Leaves out what errors say, but for our own: those never name a patient."""

    def formatException(  # noqa: N802 - the name is that of logging
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """Give the way to an error and to those that led to it, the first one first."""
        error, told = ei[1], list[str]()
        while error is not None:
            said = f": {error}" if isinstance(error, BridgeError) else ""
            told.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__ + said)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nled to\n".join(reversed(told))
