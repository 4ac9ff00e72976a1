"""A test bench: a real ``fdp-bridge serve`` in its own process, with DCMTK as the planning system beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from sqlalchemy import select

from bridge.workflow.audit import verify
from bridge.workflow.schema import AuditRow
from bridge.workflow.store import Store
from bridge.workflow.worklist import WorklistRow, worklist
from tests.programs import require_program
from tests.shared_data import shared_dir

BRIDGE_AE, TPS_AE = "FDPBRIDGE", "TPS"

GEOMETRIC = {"prediction": {"model": "geometric"}}
"""Settings of tests to which it is all one what the model says: the others take longer to load and to predict."""


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition; fail the test by name when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.05)


def openkbp_dicom(folder: Path, patient: str = "pt_201", *options: str) -> list[Path]:
    """Write a real patient as DICOM by a program that shares no code with the project."""
    shared = shared_dir()
    command = [
        sys.executable, str(shared / "tools/openkbp_to_dicom.py"), str(shared / f"openkbp/validation/{patient}.npz"),
        str(folder), "--no-dose", *options,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return sorted(folder.glob("*.dcm"))


@dataclass
class Bench:
    """A served bridge and its counterparts, all on loopback."""

    folder: Path
    settings: dict[str, object] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    tps_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _store: Store | None = None

    @property
    def config(self) -> Path:
        return self.folder / "bridge.yaml"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    @property
    def arrived(self) -> Path:
        """Where the planning system puts what it gets."""
        return self.folder / "tps"

    def start(self) -> None:
        """Start the bridge and wait until it answers."""
        settings = {
            "data_dir": "data",
            "node": {
                "ae_title": BRIDGE_AE,
                "port": self.port,
                "peers": [{"ae_title": TPS_AE, "hosts": ["127.0.0.1"]}],
            },
            "completeness": {"quiet_s": 1.0},
            "release": {"predicted_dose": "automatic"},
            "destinations": [{"name": "tps", "ae_title": TPS_AE, "host": "127.0.0.1", "port": self.tps_port}],
            **self.settings,
        }
        self.config.write_text(yaml.safe_dump(settings))
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bridge.cli", "serve", "--config", str(self.config)],
                stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        until(self._listens, 120, "the bridge's listening")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        """Take the bridge down as a power cut would."""
        self._close()
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End the bridge as an operator would; it must end by itself and cleanly."""
        self._close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(timeout=20) == 0, self.log

    def send(self, *files: Path, calling: str = TPS_AE) -> subprocess.CompletedProcess[str]:
        """Send files with DCMTK's storescu."""
        command = [
            require_program("storescu"), "-v", "-R", "-aet", calling, "-aec", BRIDGE_AE, "127.0.0.1", str(self.port),
            *map(str, files),
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of the bridge's command line."""
        command = [sys.executable, "-m", "bridge.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    @property
    def store(self) -> Store:
        """The bridge's database, open until the bridge ends: opening it for each look takes longer than looking."""
        if self._store is None:
            self._store = Store.in_folder(self.data)
        return self._store

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def cases(self) -> list[WorklistRow]:
        """Give the bridge's worklist."""
        return list(worklist(self.store))

    def audited(self, action: str) -> int:
        """Count the events of one kind in the audit trail, whose chain must hold."""
        with self.store.transaction() as session:
            verify(session)
            return len(list(session.scalars(select(AuditRow).where(AuditRow.action == action))))

    def only_case(self) -> WorklistRow:
        """Give the one case there is."""
        cases = self.cases()
        assert len(cases) == 1, cases
        return cases[0]

    def wait_for(self, state: str, seconds: float = 30) -> WorklistRow:
        """Wait until the one case is in a state."""
        until(lambda: [c.state for c in self.cases()] == [state], seconds, f"a case in state {state} (log: {self.log})")
        return self.only_case()


@contextlib.contextmanager
def tps(bench: Bench, *options: str) -> Iterator[Path]:
    """Run DCMTK's storescp as the planning system that gets the results."""
    bench.arrived.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [require_program("storescp"), "-aet", TPS_AE, "-od", str(bench.arrived), *options, str(bench.tps_port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield bench.arrived
    finally:
        process.kill()
        process.wait()


def copy_into(folder: Path, files: list[Path]) -> None:
    """Copy files one by one, as an export to a share does."""
    for file in files:
        shutil.copyfile(file, folder / f"{os.urandom(4).hex()}-{file.name}")
