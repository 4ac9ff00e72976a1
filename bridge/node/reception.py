"""Receiving DIMSE messages: commands bounded in memory, data sets straight to the spool's disk.

Only C-ECHO and C-STORE requests are understood; anything else ends the association. A data set that cannot be kept
(disk full, too large, not what was negotiated) is read to its end without being stored, and answered with its status.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_ECHO, C_STORE

from bridge.node.events import EventReporter
from bridge.node.part10 import is_valid_uid, write_meta
from bridge.node.status import status_of_error
from bridge.rt.errors import BridgeError, DicomRefusal, StorageFailure

__all__ = ["DataSetDoor", "Reception"]

_MOST_COMMAND_BYTES = 16_384
_NO_DATA_SET = 0x0101
_C_STORE_RQ, _C_ECHO_RQ, _C_CANCEL_RQ = 0x0001, 0x0030, 0x0FFF
_AFFECTED_CLASS, _COMMAND_FIELD, _MESSAGE_ID, _DATA_SET_TYPE, _AFFECTED_INSTANCE = (
    0x0002,
    0x0100,
    0x0110,
    0x0800,
    0x1000,
)


class _ProtocolError(Exception):
    """The peer does not keep to PS3.7; its association is ended."""


@dataclass(frozen=True)
class DataSetDoor:
    """What a reception needs to know: where partial files go, how large they may be, and whom to tell."""

    new_partial: Callable[[], Path]
    max_object_bytes: int
    events: EventReporter


@dataclass
class _Arriving:
    """A data set that is on its way."""

    context_id: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    path: Path
    file: BinaryIO | None = None
    size: int = 0
    trouble: BridgeError | None = field(default=None)

    def open(self, transfer_syntax_uid: str) -> None:
        try:
            self.file = self.path.open("xb")
            write_meta(
                self.file,
                sop_class_uid=self.sop_class_uid,
                sop_instance_uid=self.sop_instance_uid,
                transfer_syntax_uid=transfer_syntax_uid,
            )
        except OSError as error:
            self.fail(_storage_failure(error))

    def write(self, fragment: bytes, most: int) -> None:
        self.size += len(fragment)
        if self.trouble is not None or self.file is None:
            return
        if self.size > most:
            self.fail(
                StorageFailure("object-too-large", f"The data set is larger than the {most} bytes that are taken.")
            )
            return
        try:
            self.file.write(fragment)
        except OSError as error:
            self.fail(_storage_failure(error))

    def close(self) -> None:
        if self.file is None:
            return
        try:
            self.file.close()
        except OSError as error:
            self.fail(_storage_failure(error))
        self.file = None

    def fail(self, trouble: BridgeError) -> None:
        self.trouble = trouble
        self.discard()

    def discard(self) -> None:
        if self.file is not None:
            file, self.file = self.file, None
            with suppress(OSError):  # what could not be flushed is about to be removed
                file.close()
        self.path.unlink(missing_ok=True)


class Reception(DIMSEServiceProvider):
    """The DIMSE provider of one incoming association. Runs on the connection's thread, which must never die of it."""

    def __init__(self, association: Association, door: DataSetDoor) -> None:
        super().__init__(association)
        self.association_id = uuid.uuid4().hex
        self._door = door
        self._command = bytearray()
        self._arriving: _Arriving | None = None

    def receive_primitive(self, primitive: Any) -> None:
        """Take the fragments of one P-DATA-TF PDU (PS3.8 annex E)."""
        try:
            for context_id, fragment in primitive.presentation_data_value_list:
                self._take(context_id, fragment)
        except Exception as error:
            # Whatever it was, the peer's bytes caused it: end the association in order, and keep the thread alive.
            self.discard()
            reason = str(error) if isinstance(error, _ProtocolError) else "its bytes could not be decoded"
            self._door.events.report(
                "association-aborted",
                "warning",
                f"The association was aborted: {reason}.",
                host=self.assoc.requestor.address,
            )
            self.dul.event_queue.put("Evt19")

    def discard(self) -> None:
        """Remove what has arrived but will not be handled any more. Call when the association has ended."""
        if self._arriving is not None:
            self._arriving.discard()
            self._arriving = None
        while not self.msg_queue.empty():
            _, request = self.msg_queue.get_nowait()
            if isinstance(request, C_STORE) and request._dataset_path is not None:
                cast(Path, request._dataset_path).unlink(missing_ok=True)

    def _take(self, context_id: int, fragment: bytes) -> None:
        is_command, is_last, payload = fragment[0] & 1, fragment[0] & 2, fragment[1:]
        if is_command:
            if self._arriving is not None:
                raise _ProtocolError("a command came inside a data set")
            if len(self._command) + len(payload) > _MOST_COMMAND_BYTES:
                raise _ProtocolError("a command is too long")
            self._command += payload
            if is_last:
                command, self._command = _parse_command(bytes(self._command)), bytearray()
                self._begin(context_id, command)
            return
        if self._arriving is None or self._arriving.context_id != context_id:
            raise _ProtocolError("a data set came without a command")
        self._arriving.write(payload, self._door.max_object_bytes)
        if is_last:
            arrived, self._arriving = self._arriving, None
            self._finish(arrived)

    def _begin(self, context_id: int, command: dict[int, bytes]) -> None:
        command_field = _number(command, _COMMAND_FIELD)
        if command_field == _C_CANCEL_RQ:
            return  # nothing that is served here can be cancelled
        if command_field not in (_C_ECHO_RQ, _C_STORE_RQ):
            raise _ProtocolError(f"the command 0x{command_field:04X} is not served")
        if not self.msg_queue.empty():
            # Asynchronous operations were not negotiated; a sender that does not wait could fill the disk unanswered.
            raise _ProtocolError("more than one request is outstanding")
        context = self.assoc._accepted_cx.get(context_id)
        if context is None:
            raise _ProtocolError("a request came in a presentation context that was not accepted")
        sop_class_uid = _uid(command, _AFFECTED_CLASS)
        has_data_set = _number(command, _DATA_SET_TYPE) != _NO_DATA_SET
        message_id = _number(command, _MESSAGE_ID)
        if command_field == _C_ECHO_RQ:
            if has_data_set or sop_class_uid != context.abstract_syntax:
                raise _ProtocolError("a C-ECHO is not as it must be")
            echo = C_ECHO()
            echo.MessageID = message_id
            echo.AffectedSOPClassUID = sop_class_uid
            self.msg_queue.put((context_id, echo))
            return
        if not has_data_set:
            raise _ProtocolError("a C-STORE came without a data set")
        arriving = _Arriving(
            context_id, message_id, sop_class_uid, _uid(command, _AFFECTED_INSTANCE), self._door.new_partial()
        )
        self._arriving = arriving
        if not (is_valid_uid(sop_class_uid) and is_valid_uid(arriving.sop_instance_uid)):
            arriving.fail(DicomRefusal("uid-invalid", "A UID of the C-STORE command is not a valid UID."))
        elif sop_class_uid != context.abstract_syntax:
            arriving.fail(
                DicomRefusal("sop-class-not-negotiated", "The C-STORE names another SOP class than was negotiated.")
            )
        else:
            arriving.open(str(context.transfer_syntax[0]))

    def _finish(self, arrived: _Arriving) -> None:
        arrived.close()
        if arrived.trouble is not None:
            self._answer(arrived, arrived.trouble)
            return
        request = C_STORE()
        request.MessageID = arrived.message_id
        request.AffectedSOPClassUID = arrived.sop_class_uid
        request.AffectedSOPInstanceUID = arrived.sop_instance_uid
        request.Priority = 2
        request.DataSet = BytesIO()  # must not be None for the request to count as valid; the bytes are in the file
        request._context_id = arrived.context_id
        request._dataset_path = arrived.path
        self.msg_queue.put((arrived.context_id, request))

    def _answer(self, arrived: _Arriving, trouble: BridgeError) -> None:
        self._door.events.report(
            "instance-not-stored",
            "warning",
            trouble.message,
            code=trouble.code,
            host=self.assoc.requestor.address,
        )
        response = C_STORE()
        response.MessageIDBeingRespondedTo = arrived.message_id
        if is_valid_uid(arrived.sop_class_uid) and is_valid_uid(arrived.sop_instance_uid):
            response.AffectedSOPClassUID = arrived.sop_class_uid
            response.AffectedSOPInstanceUID = arrived.sop_instance_uid
        response.Status = status_of_error(trouble)
        response.ErrorComment = trouble.code  # type: ignore[assignment]
        self.send_msg(response, arrived.context_id)


def _parse_command(encoded: bytes) -> dict[int, bytes]:
    """Split a command set (implicit VR little endian, group 0000; PS3.7 section 6.3.1) into element number to value."""
    values: dict[int, bytes] = {}
    position = 0
    while position < len(encoded):
        group, element, length = struct.unpack_from("<HHI", encoded, position)
        position += 8
        if group != 0 or position + length > len(encoded):
            raise _ProtocolError("a command set is broken")
        values[element] = encoded[position : position + length]
        position += length
    return values


def _number(command: dict[int, bytes], element: int) -> int:
    value = command.get(element, b"")
    if len(value) != 2:
        raise _ProtocolError(f"a command has no valid element (0000,{element:04X})")
    return int.from_bytes(value, "little")


def _uid(command: dict[int, bytes], element: int) -> str:
    return command.get(element, b"").rstrip(b"\x00 ").decode("ascii", errors="replace")


def _storage_failure(error: OSError) -> StorageFailure:
    return StorageFailure("storage", f"The data set could not be written: {error.strerror or 'input/output error'}.")
