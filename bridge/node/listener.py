"""A listener for pynetdicom that a silent, slow or hostile peer cannot stop.

What is changed, and why (measured on pynetdicom 3.0.4):

- The TLS handshake runs on the connection's own thread with a time limit; in the library it blocks ``accept()``.
- A connection costs one waiting thread until its first byte arrives; in the library a silent one takes an association.
- A PDU's announced length has a ceiling, and a PDU that has begun must arrive within a time limit; the library
  allocates and waits without end.
- What arrives is acknowledged at once; put off, it costs a sender with Nagle's algorithm 40 ms an object.
- The reactor of a connection cannot die of an exception without closing its connection.
- Peers are admitted by address, calling and called AE title together.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable
from socketserver import BaseServer
from threading import Lock
from typing import Any, cast

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from bridge.node.admission import Admission
from bridge.node.connection import ClosingSocket, with_guarded_reactor
from bridge.node.events import EventReporter, printable
from bridge.node.part10 import is_valid_uid
from bridge.node.reception import DataSetDoor, Reception
from bridge.node.settings import ScpSettings

__all__ = ["Listener"]

_READ_BYTES = 1 << 16
_THREAD_END_S = 5.0
_PROPOSES_EVERYTHING = 20
"""A sender that proposes more SOP classes than this proposes its whole list, not what it has to send."""

_MOST_CONTEXTS_NAMED = 8


class _BoundedSocket(ClosingSocket):
    """Reads no more than the ceiling, and no longer than the time limit."""

    def __init__(self, association: Association, connection: socket.socket, settings: ScpSettings) -> None:
        super().__init__(association, client_socket=connection)
        self._settings = settings
        self.trouble: str | None = None

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly `nr_bytes`, fewer if the peer closes.

        Raises
        ------
        OSError
            The PDU is too long, or takes too long. The library closes the connection then.
        """
        settings, connection = self._settings, self.socket
        if connection is None:
            raise OSError("the connection is closed")
        if nr_bytes > settings.max_pdu_bytes:
            self.trouble = f"it announced a PDU of {nr_bytes} bytes"
            raise OSError("PDU too long")
        limit_s = settings.network_timeout_s if self.assoc.is_established else settings.acse_timeout_s
        deadline = time.monotonic() + limit_s
        received = bytearray()
        while len(received) < nr_bytes:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                self.trouble = "it stopped in the middle of a PDU"
                raise TimeoutError("PDU too slow")
            connection.settimeout(left_s)
            _acknowledge_at_once(connection)
            try:
                block = connection.recv(min(nr_bytes - len(received), _READ_BYTES))
            except TimeoutError:
                continue
            if not block:
                break
            received += block
        connection.settimeout(settings.network_timeout_s)  # for sending
        if nr_bytes == 6 and received and not 1 <= received[0] <= 7:
            self.trouble = "it does not speak DICOM"
        return received


class _Negotiation(ACSE):
    """Admits peers before anything is negotiated, and reports what was not accepted."""

    def __init__(self, association: Association, listener: Listener) -> None:
        super().__init__(association)
        self._listener = listener
        self.judged = self.admitted = False

    def _negotiate_as_acceptor(self) -> None:
        self.judged = True
        request = cast(A_ASSOCIATE, self.requestor.primitive)
        self.requestor.ae_title = request.calling_ae_title
        host = self.requestor.address
        rejection = self._listener.admission.associate(
            host, request.calling_ae_title, request.called_ae_title, self._listener.free_bytes()
        )
        where = {
            "host": host,
            "calling_ae": printable(request.calling_ae_title),
            "called_ae": printable(request.called_ae_title),
        }
        if rejection is not None:
            self._listener.events.report(
                "association-rejected", "warning", rejection.message, reason=rejection.code, **where
            )
            self.send_reject(rejection.result, rejection.source, rejection.diagnostic)
            self.assoc.is_rejected = True
            self.assoc.kill()
            return
        self.admitted = True
        super()._negotiate_as_acceptor()
        accepted = {context.abstract_syntax for context in self.assoc.accepted_contexts}
        refused = {str(context.abstract_syntax) for context in self.assoc.rejected_contexts} - accepted
        if len(refused) > _PROPOSES_EVERYTHING and accepted:
            message = f"The sender proposed {len(refused)} SOP classes more than are accepted, as some do by default."
            self._listener.events.report("presentation-contexts-many", "info", message, **where)
        elif refused:
            named = [UID(uid).name if is_valid_uid(uid) else printable(uid) for uid in sorted(refused)]
            shown = ", ".join(named[:_MOST_CONTEXTS_NAMED])
            more = f" and {len(named) - _MOST_CONTEXTS_NAMED} more" if len(named) > _MOST_CONTEXTS_NAMED else ""
            self._listener.events.report(
                "presentation-context-rejected",
                "warning",
                f"Not accepted: {shown}{more}. CT, RT Structure Set, RT Plan and RT Dose are, "
                "in implicit or explicit VR little endian.",
                **where,
            )


class _Handler(RequestHandler):
    """Runs one association from its first byte to its end, and cleans up after it whatever the end was."""

    server: Listener

    def handle(self) -> None:
        association = self._create_association()
        if not self.server.enter(association):
            return
        try:
            evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
            association.start()
            association.join()
        finally:
            association.dul.kill_dul()
            connection = cast(_BoundedSocket, association.dul.socket)
            connection._shutdown_socket()
            if association.dul.is_alive():
                association.dul.join(_THREAD_END_S)
            cast(Reception, association.dimse).discard()
            negotiation = cast(_Negotiation, association.acse)
            if negotiation.admitted:
                self.server.admission.release(association.requestor.address)
            trouble = connection.trouble
            if trouble is None and connection.gave_up:
                trouble = "its PDU was invalid or out of order"
            if trouble is None and not negotiation.judged:
                trouble = "it made no valid association request"
            if trouble is not None:
                host = association.requestor.address
                self.server.events.report(
                    "connection-closed", "warning", f"A connection was closed: {trouble}.", host=host
                )
            self.server.leave(association)

    def _create_association(self) -> Association:
        association = super()._create_association()
        listener, settings = self.server, self.server.settings
        association.acse = _Negotiation(association, listener)
        association.dimse = Reception(association, listener.door)
        with_guarded_reactor(association, settings.acse_timeout_s, settings.network_timeout_s)
        association.set_socket(_BoundedSocket(association, self.request, settings))
        return association


class Listener(ThreadedAssociationServer):
    """The listening socket and everything behind it.

    Parameters
    ----------
    settings
        Limits and time limits.
    contexts
        Presentation contexts that are accepted.
    door
        Where data sets go.
    free_bytes
        Asked at every association.
    tls
        Context for mutual TLS, or None.
    handlers
        pynetdicom's ``(event, handler)`` pairs.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        settings: ScpSettings,
        contexts: list[PresentationContext],
        door: DataSetDoor,
        free_bytes: Callable[[], int],
        tls: ssl.SSLContext | None,
        handlers: list[evt.EventHandlerType],
    ) -> None:
        self.settings = settings
        self.door = door
        self.events: EventReporter = door.events
        self.admission = Admission(settings)
        self.free_bytes = free_bytes
        self._running: set[Association] = set()
        self._stopping = False
        self._running_lock = Lock()
        entity = AE(settings.ae_title)
        entity.acse_timeout = settings.acse_timeout_s
        entity.dimse_timeout = settings.dimse_timeout_s
        entity.network_timeout = settings.network_timeout_s
        entity.maximum_pdu_size = min(_READ_BYTES, settings.max_pdu_bytes)
        entity.maximum_associations = 1 << 30  # counted by Admission, which does not count the silent ones
        super().__init__(
            entity,
            (settings.host, settings.port),
            settings.ae_title,
            contexts,
            tls,
            evt_handlers=handlers,
            request_handler=_Handler,
        )

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept, and do nothing else: one peer must not keep the next one waiting."""
        return self.socket.accept()  # type: ignore[union-attr]

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Close at once what comes from an address that no peer is configured for."""
        host = str(client_address[0])
        if self.admission.host_may_connect(host):
            return True
        self.events.report("host-not-allowed", "warning", "A connection came from an address of no peer.", host=host)
        return False

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands, wait for the first byte, and only then begin an association."""
        host = str(client_address[0])
        connection: socket.socket = request
        with self.admission.connection(host) as admitted:
            try:
                if not admitted:
                    self.events.report("too-many-connections", "warning", "Too many connections; closed.", host=host)
                    return
                connection.settimeout(self.settings.acse_timeout_s)
                if self.ssl_context is not None:
                    connection = self.ssl_context.wrap_socket(
                        connection, server_side=True, do_handshake_on_connect=False
                    )
                    connection.do_handshake()
                if _speaks_within(connection, self.settings.acse_timeout_s):
                    self.finish_request(connection, client_address)
                else:
                    self.events.report("silent-connection", "info", "A connection said nothing; closed.", host=host)
            except ssl.SSLError as error:
                reason = error.reason or "handshake failed"
                self.events.report("tls-refused", "warning", f"The TLS handshake failed: {reason}.", host=host)
            except OSError:
                self.events.report("connection-lost", "info", "A connection broke before it said anything.", host=host)
            except Exception:
                # one connection must not end the thread that takes the others
                self.handle_error(connection, client_address)
            finally:
                self.shutdown_request(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what nobody expected, instead of printing it."""
        host = str(client_address[0])
        self.events.report("connection-failed", "warning", "Serving a connection failed unexpectedly.", host=host)

    def enter(self, association: Association) -> bool:
        """Register a running association; False once the listener is stopping."""
        with self._running_lock:
            if not self._stopping:
                self._running.add(association)
            return not self._stopping

    def leave(self, association: Association) -> None:
        """Forget an association that has ended."""
        with self._running_lock:
            self._running.discard(association)

    def stop(self) -> None:
        """Stop listening, abort what is running, and wait until instances in hand are stored or dropped."""
        with self._running_lock:
            self._stopping = True
            running = list(self._running)
        # Not this class's own shutdown(), which looks for the server in a list that only AE.start_server() fills.
        BaseServer.shutdown(self)
        self.server_close()
        for association in running:
            association.abort(block=False)
        deadline = time.monotonic() + _THREAD_END_S
        while self._running and time.monotonic() < deadline:
            time.sleep(0.01)


def _acknowledge_at_once(connection: socket.socket) -> None:
    """Let the kernel not put off the next acknowledgement, for which a sender with Nagle's algorithm waits 40 ms.

    DCMTK is one, with every object. The option holds for a while only, and there is none but on Linux.
    """
    if hasattr(socket, "TCP_QUICKACK"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _speaks_within(connection: socket.socket, limit_s: float) -> bool:
    """Wait for the first byte without reading it."""
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return True
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(limit_s * 1000))
