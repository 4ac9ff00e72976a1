"""The process in which previews are predicted: a model that crashes or hangs takes it along, and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress

from bridge.rt.errors import Failure
from bridge.workflow.preview import Preview, PreviewRequest, begin, preview

__all__ = ["PreviewProcess"]

_LONGEST_S = 120.0


class PreviewProcess:
    """Starts with the first preview, and anew after one that went wrong."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._number: int | None = None

    def __call__(self, request: PreviewRequest) -> Preview:
        """Predict; called by one thread at a time.

        Raises
        ------
        Refusal
            See :func:`bridge.workflow.preview.preview`.
        Failure
            The process died or took too long (``preview-failed``).
        """
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), initializer=begin, initargs=(os.getpid(),)
            )
        try:
            self._number = self._pool.submit(os.getpid).result(_LONGEST_S)
            return self._pool.submit(preview, request).result(_LONGEST_S)
        except BrokenProcessPool as error:
            self._pool, self._number = None, None  # it is gone already, and its number may be another's
            raise _failure("died") from error
        except TimeoutError as error:
            self.close()
            raise _failure("took too long") from error

    def close(self) -> None:
        """End the process at once; the next preview starts another one."""
        pool, number = self._pool, self._number
        self._pool, self._number = None, None
        if number is not None:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _failure(what: str) -> Failure:
    return Failure("preview-failed", f"The preview {what}. Try again.")
