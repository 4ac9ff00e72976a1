"""How long a study has been quiet, on a clock that no time change can move."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

__all__ = ["QuietTimer"]


class QuietTimer:
    """Seconds since something last arrived, by key.

    What arrived before a restart counts as having arrived at the restart: it waits a little longer, and is never lost.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_s = clock()
        self._last_s: dict[str, float] = {}
        self._lock = Lock()

    def touch(self, key: str) -> None:
        """Note that something arrived."""
        with self._lock:
            self._last_s[key] = self._clock()

    def quiet_s(self, key: str) -> float:
        """Give the seconds since the last arrival."""
        with self._lock:
            return self._clock() - self._last_s.get(key, self._started_s)

    def forget(self, key: str) -> None:
        """Drop a key that is done with."""
        with self._lock:
            self._last_s.pop(key, None)
