"""Linear algebra on one thread while anybody needs it.

Many small products: more threads cost up to forty times as much where cores are busy, and add up in another order. How
many threads there are is one setting for the whole process, so it is put back when the last who needs one is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import threadpool_limits

__all__ = ["one_blas_thread"]


class _Limit:
    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._set: threadpool_limits | None = None

    def take(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            if self._set is None:
                self._set = threadpool_limits(1, user_api="blas")
            self._users += 1

    def give_back(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._set is not None:
                self._set.restore_original_limits()
                self._set = None


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold linear algebra to one thread; threads may overlap in it."""
    _limit.take()
    try:
        yield
    finally:
        _limit.give_back()
