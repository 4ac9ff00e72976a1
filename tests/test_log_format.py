"""The log says where a bug is, and never what it held."""

from __future__ import annotations

import io
import logging

from bridge.log_format import NamelessFormatter
from bridge.rt.errors import Failure


def logged(error: BaseException, cause: BaseException | None = None) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(NamelessFormatter("%(levelname)s %(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    try:
        raise error from cause
    except type(error):
        logger.exception("/bug met a bug")
    return stream.getvalue()


def test_a_bug_says_where_and_what_kind_and_names_nobody() -> None:
    said = logged(RuntimeError("DOE^JANE lies in the scanner"), KeyError("DOE^JANE"))
    assert "DOE" not in said
    first, _, last = said.partition("led to")
    assert first == "ERROR /bug met a bug\nKeyError\n"
    assert "in logged\n" in last
    assert last.endswith("RuntimeError\n")


def test_our_own_errors_keep_their_words() -> None:
    assert "Failure: The disk is full. [database]" in logged(Failure("database", "The disk is full."))
