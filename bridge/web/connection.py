"""A connection that ends where a request does not come in time: each takes one of the few places that there are."""

from __future__ import annotations

from asyncio import BaseTransport, TimerHandle

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["PunctualConnection"]

_LONGEST_S = 20.0
"""From the opening of a connection, or the end of an answer, to the last header of the next request."""


class PunctualConnection(H11Protocol):
    """Uvicorn's own protocol, which waits for ever for a request that was begun or never comes."""

    longest_s = _LONGEST_S
    _deadline: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin to wait."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take in what came."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._let()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._let()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.longest_s, self.transport.close)

    def _let(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
