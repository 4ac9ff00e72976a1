"""Worker processes that do not outlive the process that started them."""

from __future__ import annotations

import os
import threading
import time

__all__ = ["end_with"]

_LOOK_EVERY_S = 1.0


def end_with(parent: int) -> None:
    """End this process as soon as its parent is another one than the given: that was killed, and nobody waits.

    Parameters
    ----------
    parent
        Process number of the starter, found out by itself: a child that is late would ask too late.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
