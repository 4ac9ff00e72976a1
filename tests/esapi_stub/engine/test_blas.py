"""The setting of the process is put back when the last who needs it is done."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from esapi_stub.engine.blas import one_blas_thread


def threads() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_one_who_is_done_does_not_give_the_other_more_threads() -> None:
    with threadpool_limits(2, user_api="blas"):
        with ExitStack() as first, ExitStack() as second:
            first.enter_context(one_blas_thread())
            second.enter_context(one_blas_thread())
            assert threads() == {1}
            first.close()
            assert threads() == {1}, "the other is still at work"
        assert threads() == {2}


def test_an_error_puts_it_back() -> None:
    with threadpool_limits(2, user_api="blas"):
        try:
            with one_blas_thread():
                raise RuntimeError
        except RuntimeError:
            assert threads() == {2}
