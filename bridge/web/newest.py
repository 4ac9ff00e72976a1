"""Only the newest question of each asker is answered: one at a time is worked on, and those in between are let go."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Condition
from typing import Generic, TypeVar

from bridge.rt.errors import ApprovalRefusal, Failure

__all__ = ["NewestOnly"]

_MOST_WAITING = 16
_MOST_ASKERS = 256

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
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._waiting = 0
        self._is_busy = False
        self._changed = Condition()

    def ask(self, asker: str, number: int, question: Question) -> Answer:
        """Wait for the answer.

        Parameters
        ----------
        number
            Of the question among those of its asker: he knows which is the newest, and on the way one may overtake
            another. The same number again asks on, as a search does.

        Raises
        ------
        ApprovalRefusal
            The same asker asked something newer (``superseded``): before this came, before the work began, or during
            it. An answer is never given after that of a newer question.
        Failure
            Too many others wait (``previews-busy``): each holds a thread that other pages need.
        """
        with self._changed:
            if number < self._newest.get(asker, number):
                raise _superseded()
            self._remember(asker, number)
            if self._waiting >= _MOST_WAITING:
                raise Failure("previews-busy", "Too many previews are asked for at once. Try again.")
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._is_busy or self._is_overtaken(asker, number))
                if self._is_overtaken(asker, number):
                    raise _superseded()
                self._is_busy = True
            finally:
                self._waiting -= 1
        try:
            answer = self._work(question)
        finally:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                is_overtaken = self._is_overtaken(asker, number)
        if is_overtaken:
            raise _superseded()
        return answer

    def _is_overtaken(self, asker: str, number: int) -> bool:
        return self._newest.get(asker, number) > number

    def _remember(self, asker: str, number: int) -> None:
        self._newest[asker] = number
        self._newest.move_to_end(asker)
        while len(self._newest) > _MOST_ASKERS:
            self._newest.popitem(last=False)
        self._changed.notify_all()


def _superseded() -> ApprovalRefusal:
    return ApprovalRefusal("superseded", "Something newer was asked for meanwhile; this is let go.")
