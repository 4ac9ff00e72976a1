"""The receiving side of the node: C-ECHO, and C-STORE of CT, RT Structure Set, RT Plan and RT Dose."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Thread
from types import TracebackType
from typing import cast

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, RTDoseStorage, RTPlanStorage, RTStructureSetStorage
from pynetdicom import build_context, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from bridge.node.events import EventReporter, EventSink, printable
from bridge.node.instances import Announcement, Receipt, Source
from bridge.node.listener import Listener
from bridge.node.part10 import ACCEPTED_TRANSFER_SYNTAXES, VERIFICATION
from bridge.node.pynetdicom_setup import prepare_pynetdicom
from bridge.node.reception import DataSetDoor, Reception
from bridge.node.settings import ScpSettings
from bridge.node.spool import Spool
from bridge.node.status import status_of_error, status_of_outcome
from bridge.node.tls import server_context
from bridge.rt.errors import BridgeError

__all__ = ["ACCEPTED_STORAGE_CLASSES", "StorageScp"]

logger = logging.getLogger(__name__)

ACCEPTED_STORAGE_CLASSES = (CTImageStorage, RTStructureSetStorage, RTPlanStorage, RTDoseStorage)

_POLL_S = 0.1


class StorageScp:
    """Listens until it is stopped; use it as a context manager.

    The end of an association, orderly or not, decides nothing: what was answered with Success is stored, the rest is
    not, and whether a study is complete is seen from its content (:mod:`bridge.node.completeness`).

    Parameters
    ----------
    settings
        Address, peers and limits.
    spool
        Keeps what is received.
    on_stored
        Told of every instance that is durably stored, on the association's thread; must be quick. If it fails,
        the instance is stored all the same.
    on_event
        Told of everything that was refused, and why.
    """

    def __init__(
        self,
        settings: ScpSettings,
        spool: Spool,
        on_stored: Callable[[Receipt], None],
        on_event: EventSink | None = None,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._on_stored = on_stored
        self.events = EventReporter(on_event)
        self._listener: Listener | None = None
        self._thread: Thread | None = None

    def __str__(self) -> str:
        """Name the door for people."""
        settings = self._settings
        security = " with TLS" if settings.tls is not None else ""
        return f"the DICOM node {settings.ae_title} on {settings.host}:{settings.port}{security}"

    @property
    def port(self) -> int:
        """The port that is listened on, also when the settings said 0."""
        if self._listener is None:
            raise RuntimeError("the SCP is not started")
        return self._listener.port

    def start(self) -> None:
        """Listen.

        Raises
        ------
        OSError
            The address is taken or not ours, or a TLS file cannot be read.
        """
        prepare_pynetdicom()
        contexts = [
            build_context(uid, list(ACCEPTED_TRANSFER_SYNTAXES)) for uid in (VERIFICATION, *ACCEPTED_STORAGE_CLASSES)
        ]
        self._listener = Listener(
            self._settings,
            contexts,
            DataSetDoor(self._spool.new_partial, self._settings.max_object_bytes, self.events),
            self._spool.free_bytes,
            server_context(self._settings.tls) if self._settings.tls is not None else None,
            [(evt.EVT_C_STORE, self._store)],
        )
        self._thread = Thread(target=self._listener.serve_forever, args=(_POLL_S,), name="dicom-listener", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and abort what is running; senders see no Success for what was not stored."""
        if self._listener is not None and self._thread is not None:
            self._listener.stop()
            self._thread.join()
        self._listener = self._thread = None

    def __enter__(self) -> StorageScp:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _store(self, event: Event) -> Dataset:
        """Answer one C-STORE: from the file that has arrived, through the spool, to a status."""
        requestor = event.assoc.requestor
        request = cast(C_STORE, event.request)
        source = Source(
            "network",
            calling_ae=requestor.ae_title.strip(),
            called_ae=event.assoc.acceptor.ae_title.strip(),
            host=requestor.address,
            association_id=cast(Reception, event.assoc.dimse).association_id,
        )
        announced = Announcement(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        answer = Dataset()
        try:
            receipt = self._spool.receive(event.dataset_path, source, announced)
        except Exception as error:
            # the peer is told of every failure, a bug of ours too: it still has the object and can send it again
            answer.Status = status_of_error(error)
            code, message = "internal", "The instance could not be stored for an unexpected reason."
            if isinstance(error, BridgeError):
                code, message = error.code, error.message
            else:
                logger.exception("Storing an instance failed unexpectedly")
            answer.ErrorComment = code
            self.events.report(
                "instance-not-stored",
                "warning",
                message,
                code=code,
                status=f"0x{answer.Status:04X}",
                sop_instance_uid=announced.sop_instance_uid,
                host=source.host,
                calling_ae=printable(source.calling_ae),
            )
            return answer
        answer.Status = status_of_outcome(receipt.outcome)
        if receipt.conflict:
            answer.ErrorComment = "content-conflict"
            self.events.report(
                "content-conflict",
                "warning",
                "An instance came with the SOP Instance UID of another that has other content; both are kept.",
                sop_instance_uid=announced.sop_instance_uid,
                host=source.host,
                calling_ae=printable(source.calling_ae),
            )
        try:
            self._on_stored(receipt)
        except Exception:
            # the instance is stored and will be found at the next start: what follows it must not take that back
            logger.exception("The receiver of stored instances failed")
        return answer
