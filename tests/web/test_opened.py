"""Open cases: what is given is of the result that was asked for, also where another one came while it was read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bridge.rt.errors import ApprovalRefusal
from bridge.web.opened import ShownCases


def test_a_result_that_came_while_a_case_was_read_is_not_given_for_the_one_before() -> None:
    newest = "before"

    def read(_case_id: str) -> Any:
        nonlocal newest
        newest = "after"  # a prediction ends
        return SimpleNamespace(result=newest)

    shown = ShownCases(read, lambda _case_id: newest)
    with pytest.raises(ApprovalRefusal, match="newer results") as refused:
        shown.get("case", "before")
    assert refused.value.code == "result-superseded"
    assert shown.get("case", "after").result == "after"
    assert shown.get("case").result == "after"
