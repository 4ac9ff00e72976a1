"""Sending to DCMTK's storescp in all its moods, to our own SCP, and to peers that are no DICOM at all."""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.node.scu import DeliveryOutcome, InstanceResult, Sender, outcome_of_status
from bridge.node.settings import Destination, ScuSettings
from tests.node.conftest import Certificates, Node
from tests.node.objects import PATIENT_NAME, ct, dose, mr, plan, study, written
from tests.programs import require_program

SETTINGS = ScuSettings(
    "TESTER", connect_timeout_s=1.0, acse_timeout_s=1.0, response_timeout_s=1.5, network_timeout_s=1.0
)
SENDER = Sender(SETTINGS)

SENT, WARNED = DeliveryOutcome.SENT, DeliveryOutcome.SENT_WITH_WARNING
TEMPORARY, PERMANENT = DeliveryOutcome.TEMPORARY, DeliveryOutcome.PERMANENT


def to(port: int, **changes: object) -> Destination:
    return replace(Destination("the planning system", "BRIDGE", "127.0.0.1", port), **changes)  # type: ignore[arg-type]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[int]:
    """Run DCMTK's storescp; it cannot tell the port it was given, so a free one is chosen for it."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    command = [require_program("storescp"), "-aet", "BRIDGE", "-od", str(folder), *options, str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 5
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            yield port
        finally:
            process.kill()


@contextmanager
def raw_server(behaviour: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept one connection after another and let `behaviour` deal with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    behaviour(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            thread.join()


def outcomes(results: list[InstanceResult]) -> list[DeliveryOutcome]:
    return [result.outcome for result in results]


def test_a_case_is_sent_in_the_order_in_which_it_refers(tmp_path: Path) -> None:
    paths = [written(dose(), tmp_path / "rd.dcm"), written(plan(), tmp_path / "rp.dcm"), *study(tmp_path)[::-1]]
    with storescp(tmp_path / "in") as port:
        results = SENDER.send(to(port), paths)
    assert outcomes(results) == [SENT] * 8
    assert [result.status for result in results] == [0] * 8
    assert [result.path.name[:2] for result in results] == ["ct"] * 5 + ["rs", "rp", "rd"]
    assert len(list((tmp_path / "in").iterdir())) == 8


@pytest.mark.parametrize("implicit", [False, True])
def test_bytes_arrive_as_they_lie_on_disk(node: Node, tmp_path: Path, implicit: bool) -> None:
    image = ct(1)
    path = written(image, tmp_path / "a.dcm", implicit=implicit)
    assert outcomes(SENDER.send(to(node.scp.port), [path])) == [SENT]
    assert path.read_bytes()[-200:] == node.index.instances[0].path.read_bytes()[-200:]


def test_each_instance_has_its_own_result(node: Node, tmp_path: Path) -> None:
    changed, broken = ct(1), ct(3)
    changed.RescaleIntercept = -1024
    del broken.PixelData
    (tmp_path / "notes.txt").write_text("not DICOM")
    paths = [
        written(ct(1), tmp_path / "1.dcm"),
        written(changed, tmp_path / "2.dcm"),
        written(mr(1), tmp_path / "3.dcm"),
        written(broken, tmp_path / "4.dcm"),
        written(ct(2), tmp_path / "5.dcm"),
        tmp_path / "notes.txt",
        tmp_path / "absent.dcm",
    ]
    results = {result.path.name: result for result in SENDER.send(to(node.scp.port), paths)}
    assert {name: (result.outcome, result.status) for name, result in results.items()} == {
        "1.dcm": (SENT, 0x0000),
        "2.dcm": (WARNED, 0x0111),
        "3.dcm": (PERMANENT, None),
        "4.dcm": (PERMANENT, 0xC006),
        "5.dcm": (SENT, 0x0000),
        "notes.txt": (PERMANENT, None),
        "absent.dcm": (TEMPORARY, None),
    }
    assert "already has an instance" in results["2.dcm"].reason


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (0x0000, SENT),
        (0xB000, WARNED),
        (0xB006, WARNED),
        (0xB007, WARNED),
        (0xB0FF, WARNED),
        (0x0111, WARNED),
        (0xA700, TEMPORARY),
        (0xA7FF, TEMPORARY),
        (0xA900, PERMANENT),
        (0xA9FF, PERMANENT),
        (0xC000, PERMANENT),
        (0xCFFF, PERMANENT),
        (0x0122, PERMANENT),
        (0x0124, PERMANENT),
        (0x0110, TEMPORARY),
        (0x1234, TEMPORARY),
    ],
)
def test_statuses(status: int, outcome: DeliveryOutcome) -> None:
    judged, reason = outcome_of_status(status)
    assert judged is outcome
    assert status == 0 or f"0x{status:04X}" in reason


def test_nothing_listens(tmp_path: Path) -> None:
    destination = to(free_port())
    (result,) = SENDER.send(destination, [written(ct(1), tmp_path / "a.dcm")])
    assert (result.outcome, result.code) == (TEMPORARY, "refused")
    echo = SENDER.echo(destination)
    assert (echo.reached, echo.code) == (False, "refused")
    assert "is its DICOM service started?" in echo.message


def test_the_host_is_unknown(tmp_path: Path) -> None:
    (result,) = SENDER.send(to(104, host="no-such-host.invalid"), [written(ct(1), tmp_path / "a.dcm")])
    assert (result.outcome, result.code) == (TEMPORARY, "unknown-host")


def test_refused(tmp_path: Path) -> None:
    with storescp(tmp_path / "in", "--refuse") as port:
        (result,) = SENDER.send(to(port), [written(ct(1), tmp_path / "a.dcm")])
    assert result.outcome in (TEMPORARY, PERMANENT)
    assert result.code in ("rejected", "busy")
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize("option", ["--abort-after", "--abort-during"])
def test_the_destination_aborts(tmp_path: Path, option: str) -> None:
    with storescp(tmp_path / "in", option) as port:
        results = SENDER.send(to(port), study(tmp_path / "out"))
    assert outcomes(results) == [TEMPORARY] * 6


def test_the_destination_hangs(tmp_path: Path) -> None:
    with storescp(tmp_path / "in", "--sleep-during", "20") as port:
        started = time.monotonic()
        results = SENDER.send(to(port), study(tmp_path / "out"))
        assert time.monotonic() - started < 10.0
    assert outcomes(results) == [TEMPORARY] * 6
    assert [result.code for result in results] == ["no-answer"] + ["aborted"] * 5


def test_the_destination_stops_reading_a_large_object(tmp_path: Path) -> None:
    path = written(dose(frames=100, side=400), tmp_path / "large.dcm")
    with storescp(tmp_path / "in", "--sleep-during", "20") as port:
        started = time.monotonic()
        (result,) = Sender(replace(SETTINGS, slowest_bytes_per_s=1e9)).send(to(port), [path])
        assert time.monotonic() - started < 15.0
    assert result.outcome is TEMPORARY


def silent(connection: socket.socket) -> None:
    connection.settimeout(4)
    while connection.recv(4096):
        pass


def hanging_up(connection: socket.socket) -> None:
    connection.recv(10)


def half_an_answer(connection: socket.socket) -> None:
    connection.sendall(b"\x02\x00\x00")
    silent(connection)


def web(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("behaviour", [silent, hanging_up, half_an_answer, web])
def test_something_that_is_not_dicom(tmp_path: Path, behaviour: Callable[[socket.socket], None]) -> None:
    with raw_server(behaviour) as port:
        started = time.monotonic()
        echo = SENDER.echo(to(port))
        assert time.monotonic() - started < 5.0
        (result,) = SENDER.send(to(port), [written(ct(1), tmp_path / "a.dcm")])
    assert not echo.reached
    assert echo.code in ("aborted", "timeout")
    assert result.outcome is TEMPORARY


def test_echo_says_which_title_is_wrong(node: Node) -> None:
    assert SENDER.echo(to(node.scp.port)).reached
    called = SENDER.echo(to(node.scp.port, ae_title="OTHER"))
    assert called.code == "called-ae-unknown"
    assert "'OTHER'" in called.message
    calling = Sender(replace(SETTINGS, ae_title="STRANGER")).echo(to(node.scp.port))
    assert calling.code == "calling-ae-unknown"
    assert "'STRANGER'" in calling.message


def test_a_wrong_title_is_permanent(node: Node, tmp_path: Path) -> None:
    (result,) = SENDER.send(to(node.scp.port, ae_title="OTHER"), [written(ct(1), tmp_path / "a.dcm")])
    assert (result.outcome, result.code) == (PERMANENT, "called-ae-unknown")


def test_none_of_the_classes_is_accepted(node: Node, tmp_path: Path) -> None:
    (result,) = SENDER.send(to(node.scp.port), [written(mr(1), tmp_path / "a.dcm")])
    assert (result.outcome, result.code) == (PERMANENT, "nothing-accepted")


def test_too_many_associations_is_temporary(start_node: Callable[..., Node], tmp_path: Path) -> None:
    node = start_node(max_associations=0)
    (result,) = SENDER.send(to(node.scp.port), [written(ct(1), tmp_path / "a.dcm")])
    assert (result.outcome, result.code) == (TEMPORARY, "busy")


def test_no_thread_is_left(tmp_path: Path) -> None:
    before = threading.active_count()
    with raw_server(half_an_answer) as port:
        SENDER.echo(to(port))
    deadline = time.monotonic() + 3
    while threading.active_count() > before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.02)


def test_no_patient_data_in_the_log(node: Node, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    results = SENDER.send(to(node.scp.port), study(tmp_path))
    family = PATIENT_NAME.partition("^")[0]
    assert family not in caplog.text + repr(results)


class TestTls:
    def test_to_dcmtk_and_back(self, certificates: Certificates, tmp_path: Path) -> None:
        server = certificates.server
        options = ["+tls", server.key, server.certificate, "+cf", server.authorities]
        with storescp(tmp_path / "in", *map(str, options)) as port:
            results = SENDER.send(to(port, tls=certificates.client), study(tmp_path / "out"))
        assert outcomes(results) == [SENT] * 6

    def test_what_goes_wrong_is_named(
        self, start_node: Callable[..., Node], certificates: Certificates, tmp_path: Path
    ) -> None:
        secure, plain = start_node(tls=certificates.server), start_node()
        client = certificates.client
        assert SENDER.echo(to(secure.scp.port, tls=client)).reached
        stranger = replace(client, authorities=certificates.client.certificate)
        assert SENDER.echo(to(secure.scp.port, tls=stranger)).code == "tls"
        assert "localhost" in SENDER.echo(to(secure.scp.port, tls=client, host="localhost")).message
        assert SENDER.echo(to(plain.scp.port, tls=client)).code in ("tls", "timeout", "unreachable")
        assert SENDER.echo(to(secure.scp.port)).code in ("aborted", "unreachable")
        gone = replace(client, key=tmp_path / "absent.key")
        assert SENDER.echo(to(secure.scp.port, tls=gone)).code == "tls-files"

    def test_without_a_certificate_that_the_other_trusts(
        self, start_node: Callable[..., Node], certificates: Certificates, tmp_path: Path
    ) -> None:
        strict = start_node(tls=replace(certificates.server, authorities=certificates.client.certificate))
        other = replace(certificates.server)
        echo = SENDER.echo(to(strict.scp.port, tls=other))
        assert (echo.reached, echo.code) == (False, "tls")
