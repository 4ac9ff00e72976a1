"""The review room on the network: uvicorn in a thread of its own, opened and closed with the service."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from bridge.rt.errors import StorageFailure
from bridge.web.connection import PunctualConnection

__all__ = ["Listening", "ReviewServer"]

_LONGEST_END_S = 5
_POLL_S = 0.01
_MOST_AT_A_TIME = 64
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, those with authenticated encryption and forward secrecy: uvicorn would offer CBC with SHA-1 alone. Of
TLS 1.3, all."""


@dataclass(frozen=True)
class Listening:
    """Where the review room listens.

    Attributes
    ----------
    host, port
        TCP address.
    certificate, key
        PEM files for https, or None.
    proxies
        Addresses or networks of reverse proxies that are believed where a request comes from (X-Forwarded-For).
    """

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    proxies: tuple[str, ...] = ()


class ReviewServer:
    """Serves while its context is open.

    Parameters
    ----------
    application
        What is served.
    listening
        Where.
    closing
        Called when nothing is served any more.

    Raises
    ------
    OSError
        On entering: the port cannot be had.
    StorageFailure
        On entering: certificate and key cannot be used (``review-certificate``).
    """

    def __init__(self, application: ASGIApp, listening: Listening, closing: Callable[[], None]) -> None:
        self._listening = listening
        self._closing = closing
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                access_log=False,  # paths and addresses of who looked at what belong into the audit trail, if anywhere
                http=PunctualConnection,
                lifespan="off",
                limit_concurrency=_MOST_AT_A_TIME,
                log_config=None,
                forwarded_allow_ips=list(listening.proxies),
                proxy_headers=bool(listening.proxies),
                server_header=False,
                ssl_certfile=listening.certificate,
                ssl_ciphers=_CIPHERS,
                ssl_keyfile=listening.key,
                timeout_graceful_shutdown=_LONGEST_END_S,
                ws="none",
            )
        )
        self._thread: Thread | None = None

    def __str__(self) -> str:
        """Say where."""
        scheme = "http" if self._listening.certificate is None else "https"
        return f"review room at {scheme}://{self._listening.host}:{self._listening.port}"

    def __enter__(self) -> Self:
        """Listen; when this returns, nobody else can have the port, and requests are answered."""
        try:
            self._server.config.load()
        except OSError as error:
            raise StorageFailure(
                "review-certificate",
                f"The review room's certificate {self._listening.certificate} and key {self._listening.key} cannot be "
                f"used ({error.strerror or error}): they must be PEM files that belong together (review.tls).",
            ) from error
        door = socket.create_server(
            (self._listening.host, self._listening.port),
            family=socket.AF_INET6 if ":" in self._listening.host else socket.AF_INET,
        )
        self._thread = Thread(target=self._server.run, args=[[door]], daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            self._thread.join(timeout=_POLL_S)
        if not self._server.started:
            raise OSError("it ended while it was being opened")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what is being answered, and close."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(timeout=2 * _LONGEST_END_S)
        self._closing()
