"""A limit on how often something may be tried, by whom."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from threading import Lock

__all__ = ["Throttle"]

_MOST_KEYS = 10_000


class Throttle:
    """Admits so many attempts in any stretch of time.

    An attempt counts when it begins: ten that run side by side are ten.

    Parameters
    ----------
    window_s
        Length of the stretch.
    clock
        Monotonic seconds.
    """

    def __init__(self, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._attempts: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = Lock()

    def wait_s(self, limits: Mapping[str, int]) -> int:
        """Count an attempt for all keys, each with its limit, and give 0; or give the seconds to wait, and count none.

        The keys that were quiet longest are forgotten when there are too many.
        """
        now = self._clock()
        with self._lock:
            recent = {
                key: [at for at in self._attempts.get(key, ()) if at > now - self._window_s][-limit:]
                for key, limit in limits.items()
            }
            waits = [
                recent[key][0] + self._window_s - now for key, limit in limits.items() if len(recent[key]) >= limit
            ]
            if waits:
                return math.ceil(max(waits))
            for key, attempts in recent.items():
                self._attempts[key] = [*attempts, now]
                self._attempts.move_to_end(key)
            while len(self._attempts) > _MOST_KEYS:
                self._attempts.popitem(last=False)
            return 0

    def uncount(self, keys: Iterable[str]) -> None:
        """Take one attempt of each key back: it was good, and says nothing of the others."""
        with self._lock:
            for key in keys:
                if attempts := self._attempts.get(key):
                    attempts.pop()

    def forgive(self, key: str) -> None:
        """Forget the attempts of a key: the last one was good."""
        with self._lock:
            self._attempts.pop(key, None)
