"""Functions that numba compiles to run on all cores."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock

import numba

__all__ = ["on_all_cores"]

_ONE_AT_A_TIME = Lock()
"""Where a machine has neither TBB nor OpenMP, numba ends the whole process when two threads enter such functions."""


def on_all_cores(function: Callable[..., None], *, fastmath: bool = False) -> Callable[..., None]:
    """Compile a function with parallel loops; threads that call it, or another like it, wait for each other."""
    compiled = numba.njit(parallel=True, nogil=True, cache=True, fastmath=fastmath)(function)

    @wraps(function)
    def alone(*arguments: object) -> None:
        with _ONE_AT_A_TIME:
            compiled(*arguments)

    return alone
