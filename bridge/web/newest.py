"""Only the newest question of each asker is answered: one at a time is worked on, and those in between are let go."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

from bridge.rt.errors import ApprovalRefusal, Failure

__all__ = ["NewestOnly"]

_MOST_ASKERS = 16

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class NewestOnly(Generic[Question, Answer]):
    """Answers questions in turn.

    Parameters
    ----------
    work
        Takes seconds; is called for one question at a time.
    """

    def __init__(self, work: Callable[[Question], Answer]) -> None:
        self._work = work
        self._newest: dict[str, int] = {}
        self._asked = 0
        self._is_busy = False
        self._changed = Condition()

    def ask(self, asker: str, question: Question) -> Answer:
        """Wait for the answer.

        Raises
        ------
        ApprovalRefusal
            The same asker asked something newer meanwhile (``superseded``): before the work began, or during it. An
            answer is never given after that of a newer question.
        Failure
            Too many others wait (``previews-busy``): each holds a thread that other pages need.
        """
        with self._changed:
            self._asked += 1
            number = self._asked
            self._newest[asker] = number
            self._changed.notify_all()
            if len(self._newest) > _MOST_ASKERS:
                del self._newest[asker]
                raise Failure("previews-busy", "Too many previews are asked for at once. Try again.")
            self._changed.wait_for(lambda: not self._is_busy or self._newest.get(asker) != number)
            if self._newest.get(asker) != number:
                raise _superseded()
            self._is_busy = True
        try:
            answer = self._work(question)
        finally:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                is_newest = self._newest.get(asker) == number
                if is_newest:
                    del self._newest[asker]
        if not is_newest:
            raise _superseded()
        return answer


def _superseded() -> ApprovalRefusal:
    return ApprovalRefusal("superseded", "Something newer was asked for meanwhile; this is let go.")
