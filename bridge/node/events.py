"""What the node reports to whoever keeps the audit trail."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, TypeAlias

__all__ = ["EventReporter", "EventSink", "NodeEvent", "printable"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeEvent:
    """Something that happened at the node's doors.

    Attributes
    ----------
    code
        Stable, hyphenated identifier (``"association-rejected"``).
    severity
        ``"info"`` or ``"warning"``.
    message
        One sentence for a physicist, with no patient data.
    where
        Identifiers that say where: host, AE titles, SOP Instance UID.
    """

    code: str
    severity: Literal["info", "warning"]
    message: str
    where: Mapping[str, str] = field(default_factory=dict)


EventSink: TypeAlias = Callable[[NodeEvent], None]


class EventReporter:
    """Log and count events, and hand them on.

    A sink that fails is logged and changes nothing else: it must never decide whether an instance is kept.
    """

    def __init__(self, sink: EventSink | None = None) -> None:
        self._sink = sink
        self._counts: Counter[str] = Counter()
        self._lock = Lock()

    @property
    def counts(self) -> dict[str, int]:
        """Number of events so far, by code."""
        with self._lock:
            return dict(self._counts)

    def report(self, code: str, severity: Literal["info", "warning"], message: str, /, **where: object) -> None:
        """Log, count and hand on one event."""
        event = NodeEvent(code, severity, message, {key: str(value) for key, value in where.items()})
        with self._lock:
            self._counts[code] += 1
        level = logging.WARNING if severity == "warning" else logging.INFO
        place = ", ".join(f"{key}={value}" for key, value in event.where.items())
        logger.log(level, "%s [%s: %s]", message, code, place)
        if self._sink is not None:
            try:
                self._sink(event)
            except Exception:
                # whoever listens must not stop the node
                logger.exception("The receiver of node events failed on %s", code)


def printable(text: str | None, most: int = 64) -> str:
    """Give received text in a form that is safe in a log line: ASCII, quoted, and at most `most` characters."""
    return ascii((text or "").strip()[:most])
