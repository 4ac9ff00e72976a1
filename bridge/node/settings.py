"""Settings of the node, as plain values. The composition root fills them from the site's configuration."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

__all__ = [
    "Destination",
    "Network",
    "Peer",
    "QuietPolicy",
    "RetryPolicy",
    "ScpSettings",
    "ScuSettings",
    "TlsSettings",
    "WatchSettings",
]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class TlsSettings:
    """Mutual TLS (PS3.15 B.12): both sides show a certificate that the authorities signed.

    Attributes
    ----------
    certificate, key
        Our own, as PEM files.
    authorities
        PEM file of the authorities that peers' certificates must come from.
    check_host_name
        When connecting, also check that the certificate names the host.
    """

    certificate: Path
    key: Path
    authorities: Path
    check_host_name: bool = True


@dataclass(frozen=True)
class Peer:
    """Someone who may send.

    Attributes
    ----------
    ae_title
        Calling AE title.
    networks
        Addresses (``"10.1.2.3"``) or networks (``"10.1.0.0/16"``) that it may call from.
    """

    ae_title: str
    networks: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse networks that cannot be parsed."""
        if not self.networks:
            raise ValueError(f"the peer {self.ae_title!r} needs at least one address or network")
        _ = self.parsed_networks

    @property
    def parsed_networks(self) -> tuple[Network, ...]:
        """The networks as :mod:`ipaddress` values."""
        return tuple(ipaddress.ip_network(network) for network in self.networks)


@dataclass(frozen=True)
class ScpSettings:
    """What the receiving side listens on, whom it believes and how much it takes.

    Attributes
    ----------
    ae_title, host, port
        Our own; port 0 lets the operating system choose.
    peers
        Who may send; nobody else may.
    accept_any_peer
        Take any calling AE title from any address. For test benches only.
    tls
        Mutual TLS on this port, or None for plain DICOM.
    max_associations, max_associations_per_host
        Associations at the same time; more are rejected as "local limit exceeded".
    max_connections_per_host, max_connections
        TCP connections at the same time, whether or not they ever speak; more are closed at once.
    max_pdu_bytes
        A PDU that announces more is not read, and the connection is closed.
    max_object_bytes
        A larger data set is not kept and is answered with "out of resources".
    minimum_free_bytes
        With less free disk than this no new association is accepted.
    acse_timeout_s
        How long a connection may take to request an association, and to end one.
    dimse_timeout_s, network_timeout_s
        How long an association may be without a complete message, or without any byte.
    """

    ae_title: str
    host: str = "127.0.0.1"
    port: int = 11112
    peers: tuple[Peer, ...] = ()
    accept_any_peer: bool = False
    tls: TlsSettings | None = None
    max_associations: int = 32
    max_associations_per_host: int = 16
    max_connections_per_host: int = 64
    max_connections: int = 256
    max_pdu_bytes: int = 1 << 20
    max_object_bytes: int = 2 << 30
    minimum_free_bytes: int = 256 << 20
    acse_timeout_s: float = 5.0
    dimse_timeout_s: float = 60.0
    network_timeout_s: float = 60.0


@dataclass(frozen=True)
class WatchSettings:
    """When a file in the watched folder is taken, and when it is given up.

    Attributes
    ----------
    stable_s
        Size and time of change must stay the same for this long before a file is looked at.
    give_up_s
        A file that has been stable for this long and still cannot be read is moved to ``rejected``.
    rescan_s
        The folder is walked this often even when the operating system reports no change.
    max_object_bytes
        A larger file is not read, and rejected.
    """

    stable_s: float = 2.0
    give_up_s: float = 60.0
    rescan_s: float = 5.0
    max_object_bytes: int = 2 << 30


@dataclass(frozen=True)
class QuietPolicy:
    """How long a study must be quiet before it is taken.

    Attributes
    ----------
    complete_s
        When its content is complete: all that the RTSTRUCT names is there.
    undecided_s
        When content cannot decide it: the RTSTRUCT names no CT instances, or slices that it does not name leave a gap.
    """

    complete_s: float = 2.0
    undecided_s: float = 60.0


@dataclass(frozen=True)
class ScuSettings:
    """How the sending side presents itself and how patient it is.

    Attributes
    ----------
    ae_title
        Calling AE title.
    connect_timeout_s, acse_timeout_s
        For the connection (with its TLS handshake), and for the answer to the association request.
    response_timeout_s
        For the answer to one instance, on top of the time that its bytes take at `slowest_bytes_per_s`.
    network_timeout_s
        For a peer that stops reading.
    """

    ae_title: str
    connect_timeout_s: float = 10.0
    acse_timeout_s: float = 15.0
    response_timeout_s: float = 60.0
    network_timeout_s: float = 60.0
    slowest_bytes_per_s: float = 100_000.0


@dataclass(frozen=True)
class Destination:
    """Where instances are sent to: a name for people, and the called AE."""

    name: str
    ae_title: str
    host: str
    port: int
    tls: TlsSettings | None = field(default=None)


@dataclass(frozen=True)
class RetryPolicy:
    """When a delivery that failed for a passing reason is tried again.

    The delay doubles from `first_delay_s` up to `longest_delay_s`, until `give_up_after_s` since the first attempt.
    """

    first_delay_s: float = 30.0
    factor: float = 2.0
    longest_delay_s: float = 3600.0
    give_up_after_s: float = 7 * 86400.0
