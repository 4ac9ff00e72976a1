"""A scripted peer: says exactly the bytes it is told to, in any order, and hangs up when it likes.

The PDUs are built here from PS3.8 section 9.3 and PS3.7 section 9.3, and not by the library under test.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Sequence

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"


def pdu(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBI", kind, 0, len(body)) + body


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(body)) + body


def associate_request(
    contexts: Sequence[tuple[str, Sequence[str]]], *, calling: str = "TESTER", called: str = "BRIDGE"
) -> bytes:
    """Ask for an association; contexts get the odd ids 1, 3, 5..."""
    items = item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract, transfers) in enumerate(contexts):
        inner = item(0x30, abstract.encode()) + b"".join(item(0x40, transfer.encode()) for transfer in transfers)
        items += item(0x20, bytes([2 * number + 1, 0, 0, 0]) + inner)
    items += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4.5"))
    titles = called.encode("ascii").ljust(16) + calling.encode("ascii").ljust(16)
    return pdu(0x01, struct.pack(">HH", 1, 0) + titles + bytes(32) + items)


def p_data(context_id: int, control: int, payload: bytes) -> bytes:
    """One PDV in one P-DATA-TF; control 3 is a last command fragment, 0 a data fragment, 2 the last of them."""
    return pdu(0x04, struct.pack(">IBB", len(payload) + 2, context_id, control) + payload)


def command_element(element: int, value: bytes) -> bytes:
    value += bytes(len(value) % 2)
    return struct.pack("<HHI", 0, element, len(value)) + value


def store_command(sop_class: str, sop_instance: str, *, field: int = 1, data_set: int = 1) -> bytes:
    body = b"".join(
        (
            command_element(0x0002, sop_class.encode()),
            command_element(0x0100, struct.pack("<H", field)),
            command_element(0x0110, struct.pack("<H", 7)),
            command_element(0x0700, struct.pack("<H", 0)),
            command_element(0x0800, struct.pack("<H", data_set)),
            command_element(0x1000, sop_instance.encode()),
        )
    )
    return command_element(0x0000, struct.pack("<I", len(body))) + body


class HostilePeer:
    """One TCP connection; a context manager that hangs up at its end."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None, timeout_s: float = 10.0) -> None:
        connection = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.connection = tls.wrap_socket(connection) if tls is not None else connection

    def __enter__(self) -> HostilePeer:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def say(self, *parts: bytes) -> None:
        self.connection.sendall(b"".join(parts))

    def hear_pdu(self) -> tuple[int, bytes]:
        """Give the next PDU's type and body; type 0 when the other side has hung up."""
        try:
            header = self._exactly(6)
            return header[0], self._exactly(struct.unpack(">I", header[2:])[0])
        except (ConnectionError, EOFError):
            return 0, b""

    def associate(self, contexts: Sequence[tuple[str, Sequence[str]]], **titles: str) -> list[int]:
        """Associate and give the result of each context (0 accepted, 3 class refused, 4 transfer syntaxes refused)."""
        self.say(associate_request(contexts, **titles))
        kind, body = self.hear_pdu()
        assert kind == 0x02, f"not accepted: PDU {kind:02x} {body.hex()}"
        results: dict[int, int] = {}
        position = 68
        while position < len(body):
            item_kind, length = body[position], struct.unpack_from(">H", body, position + 2)[0]
            if item_kind == 0x21:
                results[body[position + 4]] = body[position + 6]
            position += 4 + length
        return [results[context_id] for context_id in sorted(results)]

    def hear_status(self) -> int:
        """Give the status of the next C-STORE response."""
        kind, body = self.hear_pdu()
        assert kind == 0x04, f"no response but PDU {kind:02x}"
        command, position = body[6:], 0
        while position < len(command):
            _, element, length = struct.unpack_from("<HHI", command, position)
            position += 8
            if element == 0x0900:
                return int(struct.unpack_from("<H", command, position)[0])
            position += length
        raise AssertionError("a response without a status")

    def store(self, sop_class: str, sop_instance: str, data_set: bytes, *, context_id: int = 1) -> int:
        self.say(p_data(context_id, 3, store_command(sop_class, sop_instance)))
        for start in range(0, len(data_set), 16000):
            last = start + 16000 >= len(data_set)
            self.say(p_data(context_id, 2 if last else 0, data_set[start : start + 16000]))
        return self.hear_status()

    def _exactly(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            block = self.connection.recv(count - len(received))
            if not block:
                raise EOFError
            received += block
        return received
