"""The SCP against peers that are silent, slow, rude or hostile: they lose their connection, and nobody else notices."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, RTDoseStorage

from bridge.node.tls import client_context
from tests.hostile_peer import (
    EXPLICIT,
    IMPLICIT,
    HostilePeer,
    associate_request,
    command_element,
    p_data,
    pdu,
    store_command,
)
from tests.node.conftest import Certificates, Node
from tests.node.objects import ct, dose, encoded, study
from tests.node.test_scp import ECHO, echoscu, storescu
from tests.programs import require_program

CT_CONTEXT = [(CTImageStorage, [EXPLICIT])]


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def echo_seconds(node: Node, *arguments: object) -> float:
    started = time.monotonic()
    assert echoscu(node, *arguments) == 0
    return time.monotonic() - started


@contextmanager
def silent_clients(node: Node, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", node.scp.port)))
        time.sleep(0.1)
        yield


def test_twenty_silent_clients_do_not_delay_the_next(start_node: Callable[..., Node]) -> None:
    node = start_node(acse_timeout_s=5.0)
    with silent_clients(node, 20):
        assert echo_seconds(node) < 1.0


def test_twenty_silent_clients_do_not_delay_tls(start_node: Callable[..., Node], certificates: Certificates) -> None:
    node, client = start_node(acse_timeout_s=5.0, tls=certificates.server), certificates.client
    with silent_clients(node, 20):
        assert echo_seconds(node, "+tls", client.key, client.certificate, "+cf", client.authorities) < 1.0


def test_silent_clients_after_the_handshake(start_node: Callable[..., Node], certificates: Certificates) -> None:
    node = start_node(acse_timeout_s=0.5, tls=certificates.server)
    context = client_context(certificates.client)
    context.check_hostname = False
    with ExitStack() as stack:
        peers = [stack.enter_context(HostilePeer(node.scp.port, context)) for _ in range(10)]
        wait_until(lambda: node.codes().count("silent-connection") == 10)
        for peer in peers:
            with pytest.raises((EOFError, ssl.SSLError, ConnectionError)):
                peer._exactly(1)


def test_silent_clients_are_dropped(start_node: Callable[..., Node]) -> None:
    node = start_node(acse_timeout_s=0.3)
    with silent_clients(node, 5):
        wait_until(lambda: node.codes().count("silent-connection") == 5)
        wait_until(lambda: node.scp._listener.admission.open_connections == 0)


def test_too_many_connections_of_one_host_are_closed(start_node: Callable[..., Node]) -> None:
    node = start_node(max_connections_per_host=3, acse_timeout_s=5.0)
    with silent_clients(node, 3), HostilePeer(node.scp.port) as fourth:
        assert fourth.hear_pdu() == (0, b"")
        assert "too-many-connections" in node.codes()
    wait_until(lambda: node.scp._listener.admission.open_connections == 0)
    assert echoscu(node) == 0


def test_held_associations_are_capped_per_host_and_time_out(start_node: Callable[..., Node]) -> None:
    node = start_node(max_associations_per_host=2, network_timeout_s=1.0)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(HostilePeer(node.scp.port)).associate(CT_CONTEXT)
        with HostilePeer(node.scp.port) as third, pytest.raises(AssertionError, match="PDU 03 00020302"):
            third.associate(CT_CONTEXT)
        assert node.events[-1].where["reason"] == "too-many-associations"
        time.sleep(1.2)
        wait_until(lambda: echoscu(node) == 0)


@pytest.mark.parametrize(
    "first_bytes",
    [
        b"\x01",
        b"\x01\x00\x00",
        b"\x01\x00\x00\x00\x01\x00" + b"half of a request",
    ],
)
def test_a_request_that_stops_in_the_middle(start_node: Callable[..., Node], first_bytes: bytes) -> None:
    node = start_node(acse_timeout_s=0.5)
    with HostilePeer(node.scp.port) as peer:
        peer.say(first_bytes)
        assert peer.hear_pdu()[0] in (0, 7)
    wait_until(lambda: node.scp._listener.admission.open_connections == 0)
    assert "connection-closed" in node.codes()
    assert echoscu(node) == 0


def test_a_request_that_trickles(start_node: Callable[..., Node]) -> None:
    node = start_node(acse_timeout_s=0.5)
    with HostilePeer(node.scp.port) as peer:
        started = time.monotonic()
        trickle = (bytes([byte]) for byte in associate_request(CT_CONTEXT))
        with pytest.raises(ConnectionError):
            say_slowly(peer, trickle)
        assert time.monotonic() - started < 3.0


def test_a_giant_pdu_is_cut_before_it_is_read(node: Node) -> None:
    before_kb = resident_kb()
    with HostilePeer(node.scp.port) as peer:
        peer.say(b"\x01\x00" + struct.pack(">I", 0xF0000000))
        blocks = iter([bytes(1 << 20)] * 200)
        with pytest.raises(ConnectionError):
            say_all(peer, blocks)
    assert len(list(blocks)) > 180
    assert resident_kb() - before_kb < 50_000
    wait_until(lambda: "connection-closed" in node.codes())
    assert echoscu(node) == 0


def test_a_giant_pdu_within_an_association(node: Node) -> None:
    with HostilePeer(node.scp.port) as peer:
        peer.associate(CT_CONTEXT)
        peer.say(b"\x04\x00" + struct.pack(">I", 0xF0000000), bytes(1 << 16))
        assert peer.hear_pdu()[0] in (0, 7)
    assert echoscu(node) == 0


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\nHost: bridge\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        bytes(100),
        b"\xff" * 1000,
        pdu(0x01, b""),
        pdu(0x01, bytes(68)),
        pdu(0x01, b"\xff" * 500),
        associate_request(CT_CONTEXT, calling="\x01\x02\x1b[31m"),
        pdu(0x04, b"\xff" * 20),
        pdu(0x05, bytes(4)),
        pdu(0x02, bytes(68)),
    ],
    ids=[
        "http",
        "tls-hello",
        "zeros",
        "ones",
        "empty-request",
        "request-of-zeros",
        "request-of-ones",
        "control-characters",
        "data-first",
        "release-first",
        "accept-first",
    ],
)
def test_junk_is_dropped_and_does_not_lock_anyone_out(node: Node, junk: bytes) -> None:
    with HostilePeer(node.scp.port, timeout_s=5.0) as peer:
        peer.say(junk)
        while peer.hear_pdu()[0]:
            pass
    wait_until(lambda: node.scp._listener.admission.open_connections == 0)
    assert len(node.events) >= 1
    assert echoscu(node) == 0


FIND = store_command(CTImageStorage, "1.2.3", field=0x0020)
LONG = command_element(0x0000, bytes(4)) + command_element(0x0002, b"1." * 9000)


@pytest.mark.parametrize(
    "messages",
    [
        [p_data(1, 2, b"data without a command")],
        [p_data(1, 3, b"\x00" * 7)],
        [p_data(1, 3, command_element(0x0100, b"\x01\x00"))],
        [p_data(1, 3, FIND)],
        [p_data(1, 3, store_command(CTImageStorage, "1.2.3", data_set=0x0101))],
        [p_data(9, 3, store_command(CTImageStorage, "1.2.3"))],
        [p_data(1, 1, LONG[:9000]), p_data(1, 1, LONG[9000:])],
        [p_data(1, 3, store_command(CTImageStorage, "1.2.3"))] * 2,
        [p_data(1, 3, store_command(CTImageStorage, "1.2.3")), p_data(3, 2, b"wrong context")],
        [pdu(0x04, struct.pack(">IBB", 2, 1, 3))],
        [pdu(0x04, struct.pack(">IB", 1, 1))],
        [pdu(0x04, struct.pack(">IBB", 500, 1, 3) + b"short")],
        [associate_request(CT_CONTEXT)],
    ],
    ids=[
        "data-first",
        "half-a-command",
        "no-message-id",
        "find",
        "no-data-set",
        "unknown-context",
        "endless-command",
        "command-in-data",
        "data-in-another-context",
        "empty-fragment",
        "no-control-header",
        "item-too-short",
        "associate-again",
    ],
)
def test_broken_messages_abort_the_association(node: Node, messages: list[bytes]) -> None:
    with HostilePeer(node.scp.port, timeout_s=5.0) as peer:
        peer.associate([(CTImageStorage, [EXPLICIT]), (ECHO, [IMPLICIT])])
        peer.say(*messages)
        assert peer.hear_pdu()[0] in (0, 7)
    wait_until(lambda: node.scp._listener.admission.open_connections == 0)
    assert node.partials() == node.objects() == []
    assert echoscu(node) == 0


def test_requests_without_waiting_for_answers_are_not_piled_up(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    receive = node.spool.receive

    def slow(*arguments: object) -> object:
        go_on.wait(5)
        return receive(*arguments)

    monkeypatch.setattr(node.spool, "receive", slow)
    message = p_data(1, 3, store_command(CTImageStorage, ct(1).SOPInstanceUID)) + p_data(1, 2, encoded(ct(1)))
    with HostilePeer(node.scp.port) as peer:
        peer.associate(CT_CONTEXT)
        peer.say(message * 5)
        wait_until(lambda: "association-aborted" in node.codes())
        go_on.set()
    wait_until(lambda: node.scp._listener.admission.open_connections == 0)
    assert node.partials() == []


def test_hanging_up_in_the_middle_of_a_data_set_leaves_nothing(node: Node) -> None:
    with HostilePeer(node.scp.port) as peer:
        peer.associate(CT_CONTEXT)
        peer.say(p_data(1, 3, store_command(CTImageStorage, ct(1).SOPInstanceUID)), p_data(1, 0, encoded(ct(1))[:100]))
        wait_until(lambda: len(node.partials()) == 1)
    wait_until(lambda: node.partials() == [])
    assert node.objects() == []


def test_aborting_in_the_middle_of_a_study_keeps_what_was_acknowledged(node: Node) -> None:
    with HostilePeer(node.scp.port) as peer:
        peer.associate(CT_CONTEXT)
        for number in (1, 2, 3):
            assert peer.store(CTImageStorage, ct(number).SOPInstanceUID, encoded(ct(number))) == 0
        peer.say(pdu(0x07, bytes(4)))
    assert len(node.index.instances) == 3


def test_a_frozen_sender_loses_its_association(start_node: Callable[..., Node], tmp_path: Path) -> None:
    node = start_node(network_timeout_s=1.0)
    command = [require_program("storescu"), "-R", "--repeat", "1000", "-aet", "TESTER", "-aec", "BRIDGE", "127.0.0.1"]
    with subprocess.Popen(
        [*command, node.port, *map(str, study(tmp_path))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as sender:
        try:
            wait_until(lambda: len(node.receipts) > 3)
            os.kill(sender.pid, signal.SIGSTOP)
            wait_until(lambda: node.scp._listener.admission.open_connections == 0)
        finally:
            sender.kill()
    assert node.partials() == []
    assert storescu(node, *study(tmp_path)) == 0


def test_stopping_while_peers_are_connected_is_quick(node: Node) -> None:
    with HostilePeer(node.scp.port) as peer, silent_clients(node, 3):
        peer.associate(CT_CONTEXT)
        started = time.monotonic()
        node.scp.stop()
        assert time.monotonic() - started < 3.0
        assert peer.hear_pdu()[0] in (0, 7)
    assert not [thread for thread in threading.enumerate() if "AcceptorThread" in thread.name]


def test_many_associations_leave_no_thread_or_file_behind(node: Node) -> None:
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(40):
        with HostilePeer(node.scp.port) as peer:
            peer.associate([(ECHO, [IMPLICIT])])
            peer.say(pdu(0x05, bytes(4)))
            assert peer.hear_pdu()[0] == 0x06
    wait_until(lambda: node.scp._listener.admission.open_connections == 0)
    wait_until(lambda: threading.active_count() <= threads)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 1)


def test_a_large_object_does_not_fill_memory(node: Node) -> None:
    data_set = encoded(dose(frames=100, side=600))
    assert len(data_set) > 70_000_000
    with HostilePeer(node.scp.port, timeout_s=60.0) as peer:
        peer.associate([(RTDoseStorage, [EXPLICIT])])
        peak, done = [resident_kb()], threading.Event()
        start_kb = peak[0]

        def watch() -> None:
            while not done.wait(0.01):
                peak[0] = max(peak[0], resident_kb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            assert peer.store(RTDoseStorage, dose().SOPInstanceUID, data_set) == 0x0000
        finally:
            done.set()
            watcher.join()
    assert peak[0] - start_kb < 40_000


def say_all(peer: HostilePeer, parts: Iterator[bytes]) -> None:
    for part in parts:
        peer.say(part)


def say_slowly(peer: HostilePeer, parts: Iterator[bytes]) -> None:
    for part in parts:
        peer.say(part)
        time.sleep(0.05)


def resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
