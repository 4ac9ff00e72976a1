"""The review room on a real socket, as `serve` opens it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2 as httpx
import pytest
from starlette.responses import PlainTextResponse, Response

from bridge.rt.errors import StorageFailure
from bridge.web.application import review_application
from bridge.web.connection import PunctualConnection
from bridge.web.guard import GuardedRoute
from bridge.web.permission import Permission
from bridge.web.room import ReviewRoom
from bridge.web.server import Listening, ReviewServer
from bridge.web.visit import Visit
from tests.e2e.bench import free_port, until
from tests.programs import require_program


def test_it_listens_while_it_is_open_and_says_nothing_of_itself(room: ReviewRoom) -> None:
    port, closed = free_port(), list[bool]()
    server = ReviewServer(review_application(room), Listening("127.0.0.1", port), lambda: closed.append(True))
    assert str(server) == f"review room at http://127.0.0.1:{port}"
    with server:
        answer = httpx.get(f"http://127.0.0.1:{port}/login", headers={"host": "review.test:8080"}, timeout=60)
        assert answer.status_code == 200
        assert "server" not in answer.headers
        assert httpx.get(f"http://127.0.0.1:{port}/login", timeout=60).status_code == 421
    assert closed == [True]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/login", timeout=60)


@pytest.mark.parametrize(
    ("proxies", "address"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9"), (("10.0.0.1",), "127.0.0.1")]
)
def test_only_a_trusted_proxy_says_where_a_request_comes_from(
    room: ReviewRoom, proxies: tuple[str, ...], address: str
) -> None:
    """What stands before its own entry was sent by the browser, and is believed of nobody."""

    def where(visit: Visit) -> Response:
        return PlainTextResponse(visit.address)

    application = review_application(room, [GuardedRoute("/where", where, Permission.PUBLIC)])
    port = free_port()
    headers = {"host": "review.test:8080", "x-forwarded-for": "198.51.100.1, 203.0.113.9"}
    with ReviewServer(application, Listening("127.0.0.1", port, proxies=proxies), lambda: None):
        assert httpx.get(f"http://127.0.0.1:{port}/where", headers=headers, timeout=60).text == address


def test_a_port_that_is_taken_is_an_error_before_anything_is_served(room: ReviewRoom) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = ReviewServer(review_application(room), Listening("127.0.0.1", other.getsockname()[1]), lambda: None)
        with pytest.raises(OSError, match="in use"):
            taken.__enter__()


def test_a_connection_on_which_no_request_comes_holds_its_place_for_a_while_only(
    room: ReviewRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PunctualConnection, "longest_s", 1.0)
    port = free_port()
    with ReviewServer(review_application(room), Listening("127.0.0.1", port), lambda: None), ExitStack() as held:
        idle = [held.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(64)]
        for one in idle[:32]:
            one.sendall(b"GET /login HTTP/1.1\r\n")

        def status() -> int:
            for one in idle[:32]:
                with suppress(OSError):
                    one.sendall(b"X: 1\r\n")  # a little now and then
            headers = {"host": "review.test:8080"}
            return httpx.get(f"http://127.0.0.1:{port}/login", headers=headers, timeout=60).status_code

        assert status() == 503, "all places are taken"
        until(lambda: status() == 200, 30, "a place")


def test_a_request_takes_the_time_that_it_takes(room: ReviewRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PunctualConnection, "longest_s", 0.5)

    def slow(_visit: Visit) -> Response:
        time.sleep(1.2)
        return PlainTextResponse("done")

    port = free_port()
    routes = [GuardedRoute("/slow", slow, Permission.PUBLIC)]
    with ReviewServer(review_application(room, routes), Listening("127.0.0.1", port), lambda: None):
        headers = {"host": "review.test:8080"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            assert [client.get("/slow").text for _ in range(2)] == ["done", "done"]


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(
    room: ReviewRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.web.guard._LONGEST_BODY_S", 0.5)
    port = free_port()
    with (
        ReviewServer(review_application(room), Listening("127.0.0.1", port), lambda: None),
        socket.create_connection(("127.0.0.1", port), timeout=30) as slow,
    ):
        slow.sendall(b"POST /login HTTP/1.1\r\nHost: review.test:8080\r\nContent-Length: 9\r\n\r\nname=")
        assert slow.recv(4096).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("content", [None, "no PEM"])
def test_a_certificate_that_cannot_be_used_is_named_before_anything_is_open(
    room: ReviewRoom, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "room.crt").write_text(content)
    port = free_port()
    listening = Listening("127.0.0.1", port, tmp_path / "room.crt", tmp_path / "room.key")
    with (
        pytest.raises(StorageFailure, match=r"room\.crt.*cannot be used.*review\.tls") as failed,
        ReviewServer(review_application(room), listening, lambda: None),
    ):
        pass
    assert failed.value.code == "review-certificate"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_over_tls_1_2_it_speaks_authenticated_encryption_alone(room: ReviewRoom, tmp_path: Path) -> None:
    certificate, key = tmp_path / "room.crt", tmp_path / "room.key"
    openssl = [require_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=review.test"]
    subprocess.run([*openssl, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    port = free_port()
    client = ssl.create_default_context(cafile=str(certificate))
    client.check_hostname, client.maximum_version = False, ssl.TLSVersion.TLSv1_2
    legacy = ssl.create_default_context(cafile=str(certificate))
    legacy.check_hostname, legacy.maximum_version = False, ssl.TLSVersion.TLSv1_2
    legacy.set_ciphers("ECDHE+AES:!AESGCM:!AESCCM")
    with ReviewServer(review_application(room), Listening("127.0.0.1", port, certificate, key), lambda: None):
        with socket.create_connection(("127.0.0.1", port)) as plain, client.wrap_socket(plain) as secure:
            cipher = secure.cipher()
            assert cipher is not None
            assert "GCM" in cipher[0]
        with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(ssl.SSLError):
            legacy.wrap_socket(plain)
