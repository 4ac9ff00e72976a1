"""The two ends of pynetdicom's connections that need mending, for calls in and calls out alike."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import cast

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.transport import AssociationSocket

__all__ = ["ClosingSocket", "GuardedReactor", "with_guarded_reactor"]


class ClosingSocket(AssociationSocket):
    """Closes its file descriptor also when the peer was faster; the library then leaves it to the garbage collector."""

    gave_up = False

    def _shutdown_socket(self) -> None:
        connection = self.socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


class GuardedReactor(DULServiceProvider):
    """The connection's thread, which closes the connection when the library's state machine gives up."""

    def run_reactor(self) -> None:
        """Run until the connection ends, whatever the reason, and wake who still waits for it."""
        try:
            super().run_reactor()
        except Exception:
            # whatever the state machine stumbled over came from the peer's bytes: without this its socket stays open
            connection = cast(ClosingSocket, self.socket)
            connection.gave_up = True
            connection._shutdown_socket()
        finally:
            # Nothing will come any more; without this an association that is still awaited waits for its full time.
            self.to_user_queue.put(None)  # type: ignore[arg-type]


def with_guarded_reactor(
    association: Association, acse_timeout_s: float | None, network_timeout_s: float | None
) -> None:
    """Replace the reactor of an association that has not begun."""
    association.dul = GuardedReactor(association)
    # The timers live in the object that was just replaced.
    association.acse_timeout = acse_timeout_s
    association.network_timeout = network_timeout_s
