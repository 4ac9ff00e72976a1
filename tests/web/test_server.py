"""The review room on a real socket, as `serve` opens it."""

from __future__ import annotations

import socket

import httpx2 as httpx
import pytest

from bridge.web.application import review_application
from bridge.web.room import ReviewRoom
from bridge.web.server import Listening, ReviewServer
from tests.e2e.bench import free_port


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


def test_a_port_that_is_taken_is_an_error_before_anything_is_served(room: ReviewRoom) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = ReviewServer(review_application(room), Listening("127.0.0.1", other.getsockname()[1]), lambda: None)
        with pytest.raises(OSError, match="in use"):
            taken.__enter__()
