"""A spool with an index in memory, and nodes on ports that the operating system chose."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import pytest

from bridge.dicom.headers import read_header
from bridge.node.events import NodeEvent
from bridge.node.instances import Receipt, RecordOutcome, StoredInstance
from bridge.node.scp import StorageScp
from bridge.node.settings import Peer, ScpSettings, TlsSettings
from bridge.node.spool import Spool
from tests.programs import require_program


@dataclass
class MemoryIndex:
    """The smallest index that keeps the protocol's promise."""

    instances: list[StoredInstance] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def record(self, instance: StoredInstance) -> RecordOutcome:
        with self.lock:
            uid = instance.header.sop_instance_uid
            hashes = {known.sha256 for known in self.instances if known.header.sop_instance_uid == uid}
            if instance.sha256 in hashes:
                return RecordOutcome.DUPLICATE
            self.instances.append(instance)
            return RecordOutcome.CONFLICT if hashes else RecordOutcome.NEW

    def known_hashes(self) -> set[str]:
        return {instance.sha256 for instance in self.instances}


@dataclass
class Node:
    """A running SCP with all that it has received and reported."""

    scp: StorageScp
    spool: Spool
    index: MemoryIndex
    receipts: list[Receipt]
    events: list[NodeEvent]

    @property
    def port(self) -> str:
        return str(self.scp.port)

    def codes(self) -> list[str]:
        return [event.code for event in self.events]

    def partials(self) -> list[Path]:
        return list((self.spool.root / "incoming").iterdir())

    def objects(self) -> list[Path]:
        return list((self.spool.root / "objects").glob("*/*"))


@pytest.fixture
def index() -> MemoryIndex:
    return MemoryIndex()


@pytest.fixture
def spool(tmp_path: Path, index: MemoryIndex) -> Spool:
    return Spool(tmp_path / "spool", index, read_header)


@pytest.fixture
def start_node(spool: Spool, index: MemoryIndex) -> Iterator[Callable[..., Node]]:
    """Give a function that starts a node with short times; keyword arguments are those of ScpSettings."""
    with ExitStack() as stack:

        def start(**changes: object) -> Node:
            settings = {
                "ae_title": "BRIDGE",
                "port": 0,
                "peers": (Peer("TESTER", ("127.0.0.1/32",)), Peer("FAR", ("10.9.9.0/24",))),
                "acse_timeout_s": 1.0,
                "network_timeout_s": 3.0,
                "dimse_timeout_s": 3.0,
                "minimum_free_bytes": 0,
            } | changes
            receipts: list[Receipt] = []
            events: list[NodeEvent] = []
            scp = StorageScp(ScpSettings(**settings), spool, receipts.append, events.append)
            stack.enter_context(scp)
            return Node(scp, spool, index, receipts, events)

        yield start


@pytest.fixture
def node(start_node: Callable[..., Node]) -> Node:
    return start_node()


@dataclass(frozen=True)
class Certificates:
    server: TlsSettings
    client: TlsSettings


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make an authority and two certificates that it signed."""
    openssl, folder = require_program("openssl"), tmp_path_factory.mktemp("tls")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test authority")
    for name in ("server", "client"):
        (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
        run("req", *key[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.crt", "-days", "2", "-extfile", f"{name}.ext",
        )  # fmt: skip

    def settings(name: str) -> TlsSettings:
        return TlsSettings(folder / f"{name}.crt", folder / f"{name}.key", folder / "ca.crt")

    return Certificates(settings("server"), settings("client"))
