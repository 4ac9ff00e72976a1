"""Who may connect, who may associate, and how many at the same time."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from bridge.node.settings import Network, ScpSettings

__all__ = ["Admission", "Rejection"]


@dataclass(frozen=True)
class Rejection:
    """Why an association is rejected.

    Attributes
    ----------
    code, message
        For the audit trail.
    result, source, diagnostic
        For the A-ASSOCIATE-RJ PDU (PS3.8 table 9-21).
    """

    code: str
    message: str
    result: int
    source: int
    diagnostic: int


_UNKNOWN_CALLED = Rejection("called-ae-unknown", "The called AE title is not ours.", 1, 1, 7)
_UNKNOWN_CALLING = Rejection("calling-ae-unknown", "The calling AE title is not one of the configured peers.", 1, 1, 3)
_WRONG_HOST = Rejection("calling-host-wrong", "The calling AE title is known, but not from this address.", 1, 1, 3)
_TOO_MANY = Rejection("too-many-associations", "The limit of associations at the same time is reached.", 2, 3, 2)
_DISK_LOW = Rejection("disk-low", "The spool's disk is nearly full.", 2, 3, 1)


class Admission:
    """Keeps the lists and counts connections and associations, per host and in all."""

    def __init__(self, settings: ScpSettings) -> None:
        self._settings = settings
        self._peers: dict[str, tuple[Network, ...]] = {}
        for peer in settings.peers:
            self._peers[peer.ae_title] = self._peers.get(peer.ae_title, ()) + peer.parsed_networks
        self._lock = Lock()
        self._connections: Counter[str] = Counter()
        self._associations: Counter[str] = Counter()

    @property
    def open_connections(self) -> int:
        """Number of TCP connections now."""
        with self._lock:
            return self._connections.total()

    def host_may_connect(self, host: str) -> bool:
        """Tell if any peer is allowed from this address; asked before a single byte is read."""
        if self._settings.accept_any_peer:
            return True
        return any(_within(host, networks) for networks in self._peers.values())

    @contextmanager
    def connection(self, host: str) -> Iterator[bool]:
        """Count a connection while it lasts; gives False when there are too many."""
        with self._lock:
            admitted = (
                self._connections.total() < self._settings.max_connections
                and self._connections[host] < self._settings.max_connections_per_host
            )
            self._connections[host] += admitted
        try:
            yield admitted
        finally:
            with self._lock:
                self._connections[host] -= admitted
                if not self._connections[host]:
                    del self._connections[host]

    def associate(self, host: str, calling_ae: str, called_ae: str, free_bytes: int) -> Rejection | None:
        """Count an association, or say why not. An accepted one must be given back with :meth:`release`."""
        if called_ae.strip() != self._settings.ae_title.strip():
            return _UNKNOWN_CALLED
        if not self._settings.accept_any_peer:
            networks = self._peers.get(calling_ae.strip())
            if networks is None:
                return _UNKNOWN_CALLING
            if not _within(host, networks):
                return _WRONG_HOST
        if free_bytes < self._settings.minimum_free_bytes:
            return _DISK_LOW
        with self._lock:
            if (
                self._associations.total() >= self._settings.max_associations
                or self._associations[host] >= self._settings.max_associations_per_host
            ):
                return _TOO_MANY
            self._associations[host] += 1
        return None

    def release(self, host: str) -> None:
        """Give an association back."""
        with self._lock:
            self._associations[host] -= 1


def _within(host: str, networks: tuple[Network, ...]) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
