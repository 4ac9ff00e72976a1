"""Calling a destination: a connection that knows why it failed, in words that a physicist can act on."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import T_CONNECT, AddressInformation, AssociationSocket

from bridge.node.connection import ClosingSocket, with_guarded_reactor
from bridge.node.pynetdicom_setup import prepare_pynetdicom
from bridge.node.settings import Destination, ScuSettings
from bridge.node.tls import client_context

__all__ = ["CallFailed", "Diagnosis", "associated"]


@dataclass(frozen=True)
class Diagnosis:
    """Why no association came about.

    Attributes
    ----------
    code
        ``"refused"``, ``"timeout"``, ``"unknown-host"``, ``"unreachable"``, ``"tls"``, ``"tls-files"``,
        ``"called-ae-unknown"``, ``"calling-ae-unknown"``, ``"rejected"``, ``"busy"``, ``"aborted"`` or
        ``"nothing-accepted"``.
    message
        What was found and what to check.
    permanent
        True if trying again does not help until a person changes something.
    """

    code: str
    message: str
    permanent: bool


_THREAD_END_S = 5.0


class CallFailed(Exception):
    """No association; carries the diagnosis. Never leaves the node."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.message)
        self.diagnosis = diagnosis


class _DialledSocket(ClosingSocket):
    """Remembers what went wrong, and never waits without end for a peer that stopped reading or writing."""

    trouble: OSError | None = None
    connected = False

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect, with TLS if asked, all of it within the association's connection timeout."""
        address = primitive.address_info.as_tuple
        try:
            connection = cast(socket.socket, self.socket)
            connection.settimeout(self.assoc.connection_timeout)
            connection.connect(address)
            if self.tls_args is not None:
                context, host = self.tls_args
                connection = context.wrap_socket(connection, server_hostname=host)
            self.socket = connection
            # The library waits for ever once connected; its thread could then never be ended.
            connection.settimeout(self.assoc.acse_timeout)
            self.assoc.requestor.address_info = AddressInformation.from_tuple(connection.getsockname())
            self._is_connected = self.connected = True
            evt.trigger(self.assoc, evt.EVT_CONN_OPEN, {"address": address})
            primitive.result = "Evt2"
        except OSError as error:
            self.trouble = error
            self._shutdown_socket()
            self.socket = None
            primitive.result = "Evt17"
        self.provider_queue.put(primitive)
        self._ready.set()

    def recv(self, nr_bytes: int) -> bytearray:
        """Read, and remember why not."""
        try:
            return super().recv(nr_bytes)
        except OSError as error:
            self.trouble = error
            raise


class _DiallingEntity(AE):
    """Makes associations on the socket above."""

    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: Any) -> AssociationSocket:
        with_guarded_reactor(assoc, self.acse_timeout, self.network_timeout)
        dialled = _DialledSocket(assoc, address=address)
        dialled.tls_args = tls_args
        return dialled


@contextmanager
def associated(
    settings: ScuSettings, destination: Destination, contexts: list[PresentationContext]
) -> Iterator[Association]:
    """Hold an association with a destination.

    Raises
    ------
    CallFailed
        There is none; the diagnosis says why.
    """
    prepare_pynetdicom()
    entity = _DiallingEntity(settings.ae_title)
    entity.connection_timeout = settings.connect_timeout_s
    entity.acse_timeout = settings.acse_timeout_s
    entity.dimse_timeout = settings.response_timeout_s
    entity.network_timeout = settings.network_timeout_s
    tls_args = None
    if destination.tls is not None:
        try:
            tls_args = (client_context(destination.tls), destination.host)
        except OSError as error:
            message = (
                f"Our own TLS files cannot be used: {error.strerror or 'not PEM, or they do not belong together'}."
            )
            raise CallFailed(Diagnosis("tls-files", message, permanent=True)) from error
    try:
        association = entity.associate(
            destination.host, destination.port, contexts=contexts, ae_title=destination.ae_title, tls_args=tls_args
        )
    except OSError as error:  # the name cannot be resolved
        raise CallFailed(_diagnose_trouble(error, destination)) from error
    dialled = cast(_DialledSocket, association.dul.socket)
    try:
        if not association.is_established:
            raise CallFailed(_diagnose(association, dialled, settings, destination))
        if dialled.socket is not None:
            dialled.socket.settimeout(settings.network_timeout_s)
        yield association
    finally:
        if association.is_established:
            association.release()
        # The library leaves the connection open after some failures.
        association.dul.kill_dul()
        dialled._shutdown_socket()
        association.dul.join(_THREAD_END_S)


def _diagnose(
    association: Association, dialled: _DialledSocket, settings: ScuSettings, destination: Destination
) -> Diagnosis:
    rejection = _rejection(association)
    if rejection is not None:
        return _diagnose_rejection(rejection, settings, destination)
    trouble = dialled.trouble
    broke_off = dialled.connected and isinstance(trouble, ConnectionError | TimeoutError)
    if trouble is not None and not broke_off:
        return _diagnose_trouble(trouble, destination)
    answer = association.acceptor.primitive
    if answer is not None and answer.result == 0:
        return Diagnosis(
            "nothing-accepted",
            f"{destination.name} accepts none of the kinds of objects that would be sent; "
            "check which SOP classes its DICOM service is set to store.",
            permanent=True,
        )
    place = f"{destination.host}:{destination.port}"
    hint = "check that it expects plain DICOM and not TLS, and that nothing else listens there"
    if destination.tls is not None:
        hint = "check that it expects TLS and trusts our certificate"
    return Diagnosis(
        "aborted", f"{destination.name} at {place} took the connection but gave no answer; {hint}.", permanent=False
    )


def _rejection(association: Association) -> A_ASSOCIATE | None:
    """Give the answer that rejects us, if there is one.

    When it comes very fast, the library finds the connection already closed, calls that an abort, and leaves the answer
    unread in its queue.
    """
    if association.is_rejected:
        return cast(A_ASSOCIATE, association.acceptor.primitive)
    unread = list(association.dul.to_user_queue.queue)
    return next((answer for answer in unread if isinstance(answer, A_ASSOCIATE) and answer.result in (1, 2)), None)


def _diagnose_rejection(answer: A_ASSOCIATE, settings: ScuSettings, destination: Destination) -> Diagnosis:
    result, source, reason = answer.result, answer.result_source, answer.diagnostic
    if (source, reason) == (1, 7):
        message = f"{destination.name} is not AE title {destination.ae_title!r}; correct the called AE title."
        return Diagnosis("called-ae-unknown", message, permanent=True)
    if (source, reason) == (1, 3):
        message = (
            f"{destination.name} does not accept calls from AE title {settings.ae_title!r}; "
            "add it, with this machine's address, to its list of known peers."
        )
        return Diagnosis("calling-ae-unknown", message, permanent=True)
    numbers = f"result {result}, source {source}, reason {reason}"
    if result == 1:
        return Diagnosis("rejected", f"{destination.name} rejects us for good ({numbers}).", permanent=True)
    return Diagnosis("busy", f"{destination.name} rejects the association for now ({numbers}).", permanent=False)


def _diagnose_trouble(trouble: OSError, destination: Destination) -> Diagnosis:
    place = f"{destination.name} at {destination.host}:{destination.port}"
    if isinstance(trouble, ssl.SSLCertVerificationError):
        return Diagnosis(
            "tls", f"The certificate of {place} is not trusted: {trouble.verify_message}.", permanent=False
        )
    if isinstance(trouble, ssl.SSLError):
        reason = trouble.reason or "the handshake failed"
        return Diagnosis("tls", f"TLS with {place} failed ({reason}); check both certificates.", permanent=False)
    if isinstance(trouble, ConnectionRefusedError):
        return Diagnosis("refused", f"Nothing listens on {place}; is its DICOM service started?", permanent=False)
    if isinstance(trouble, TimeoutError):
        return Diagnosis("timeout", f"{place} does not answer; check address, firewall and load.", permanent=False)
    if isinstance(trouble, socket.gaierror):
        return Diagnosis("unknown-host", f"The host name of {place} cannot be resolved.", permanent=False)
    reason = trouble.strerror or "the connection broke"
    return Diagnosis("unreachable", f"{place} cannot be reached: {reason}.", permanent=False)
