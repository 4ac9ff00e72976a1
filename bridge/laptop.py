"""One case on one's own computer: predicted, and reviewed in a room that hands over to a folder and nowhere else."""

from __future__ import annotations

import getpass
import re
import secrets
import shlex
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from bridge.app import cases_folder, eclipse_couriers, require_model, review_server
from bridge.dicom.assemble import collect
from bridge.dicom.headers import read_header
from bridge.node.instances import Source
from bridge.node.settings import QuietPolicy
from bridge.node.spool import Spool
from bridge.rt.errors import AccessRefusal, ApprovalRefusal, BridgeError, Failure, Refusal
from bridge.web.entrance import Entrance
from bridge.web.passwords import Passwords
from bridge.workflow import decide
from bridge.workflow.cases import CaseState, list_cases
from bridge.workflow.instances import SqlInstanceIndex
from bridge.workflow.intake import Intake
from bridge.workflow.service import Service
from bridge.workflow.store import Store
from bridge.workflow.users import Role, add_user, change_password, get_user
from bridge.workflow.worker import Worker
from config.load import load_settings
from config.settings import Settings

__all__ = ["LaptopRoom", "login_name", "open_laptop_room"]

_LOOPBACK = "127.0.0.1"
_WAITS_S = 5.0
"""All files are there from the beginning: what is missing after this is missing."""

_ACTOR = "command line"
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that look alike."""


@dataclass(frozen=True)
class LaptopRoom:
    """A review room of one case.

    Attributes
    ----------
    service
        Runs it.
    announcer
        Says when it can be entered, and why not; its error is to be raised when the service has ended.
    """

    service: Service
    announcer: _Announcer


def open_laptop_room(
    case_folder: Path, out: Path, config: Path | None, user: str, port: int | None, say: Callable[[str], None]
) -> LaptopRoom:
    """Receive the files of a case, and compose what predicts it and opens the room.

    Parameters
    ----------
    case_folder
        CT and RTSTRUCT, and perhaps an RTPLAN; nothing is written there.
    out
        Gets the bridge's data, and ``approved/``.
    config
        The site's settings; where it sends to and listens for is left aside.
    user
        Who reviews; see :func:`login_name`.
    port
        On loopback; None for any that is free.
    say
        Called with a line for each step.

    Raises
    ------
    Refusal
        A file cannot be used, or the settings cannot be.
    StorageFailure
        A folder cannot be read or written.
    """
    paths = collect(case_folder)
    settings = _settings(config, out, port or _free_port())
    require_model(settings)
    (out / "approved").mkdir(parents=True, exist_ok=True)
    store = Store.in_folder(settings.data_dir)
    spool = Spool(settings.data_dir / "spool", SqlInstanceIndex(store), read_header)
    _receive(paths, spool)
    say(f"{len(paths)} files of {case_folder} are kept in {out}")
    intake = Intake(store, QuietPolicy(complete_s=0.0, undecided_s=_WAITS_S), stuck_after_s=_WAITS_S)
    worker = Worker(store, settings, cases_folder(settings), recipients=None)
    password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
    with store.transaction() as session:
        _let_in(session, user, password)
        _try_again(session)
    entrance = Entrance(user, datetime.now(UTC))
    notice = f"One case on this computer: approved objectives go into {out.name}/approved, and nowhere else."
    url = f"http://{_LOOPBACK}:{settings.review.port}/enter/{entrance.token}"
    announcer = _Announcer(store, say, [
        "",
        f"the review room is open, on this computer only: {url}",
        f"  the link works once; later log in as {user}",
        f"  to sign, and to log in again, the password is {password}",
        f"  approved objectives go to {out / 'approved'}, and nowhere else",
        f"  to check the audit trail: fdp-bridge audit verify --data-dir {shlex.quote(str(settings.data_dir))}",
        "  Ctrl-C closes the room; the same command opens it again",
    ])  # fmt: skip
    assert settings.eclipse.drop_folder is not None  # noqa: S101 - set below
    couriers = [each.run_once for each in eclipse_couriers(settings, store, settings.eclipse.drop_folder)]
    server = review_server(settings, store, notice, entrance)
    service = Service(settings.data_dir, store, spool, intake, worker, [*couriers, announcer.run_once], [server])
    announcer.give_up = service.stop
    return LaptopRoom(service, announcer)


def login_name(name: str | None = None) -> str:
    """Give a user name that the room takes: the one given, or made of who is logged in to this computer."""
    found = re.sub("[^a-z0-9._-]", "", (name or getpass.getuser()).lower()).lstrip("._-")[:28]
    return found or "reviewer"


class _Announcer:
    """Says where the case is, and once it is predicted how the room is entered."""

    def __init__(self, store: Store, say: Callable[[str], None], welcome: Sequence[str]) -> None:
        self._store = store
        self._say = say
        self._welcome = welcome
        self._last = ""
        self._since = time.monotonic()
        self._is_open = False
        self.error: BridgeError | None = None
        self.give_up: Callable[[], None] = lambda: None

    def run_once(self) -> None:
        """Say what is new; end everything where there will be nothing to review."""
        if self._is_open or self.error is not None:
            return
        with self._store.transaction() as session:
            cases = list_cases(session)
        state, reason = (cases[0].state, cases[0].reason) if cases else (CaseState.WAITING, "no case was found")
        if (text := f"{state}: {reason}") != self._last:
            self._last, self._since = text, time.monotonic()
            self._say(f"  {text}")
        if state in (CaseState.QUEUED, CaseState.RUNNING):
            return
        if state not in (CaseState.WAITING, CaseState.REFUSED, CaseState.FAILED):
            self._is_open = True
            for line in self._welcome:
                self._say(line)
        elif state is not CaseState.WAITING or time.monotonic() > self._since + _WAITS_S:
            kind = Failure if state is CaseState.FAILED else Refusal
            self.error = kind("no-prediction", f"There is nothing to review. The case is {text}")
            self.give_up()


def _settings(config: Path | None, out: Path, port: int) -> Settings:
    """Give the site's settings, with everything that leads outside left aside."""
    return load_settings(
        config,
        {
            "data_dir": str((out / "bridge").resolve()),
            "destinations": [],
            "eclipse": {"drop_folder": str((out / "approved").resolve())},
            "release": {"predicted_dose": "after_approval"},
            "review": {
                "enabled": True, "host": _LOOPBACK, "port": port, "origin": None, "tls": None, "two_persons": False,
                "trusted_proxies": [],
            },
        },
    )  # fmt: skip


def _receive(paths: Sequence[Path], spool: Spool) -> None:
    for path in paths:
        partial, announced = spool.adopt(path)
        spool.receive(partial, Source("folder"), announced)


def _let_in(session: Session, user: str, password: str) -> None:
    """Let the reviewer in with a new password."""
    password_hash = Passwords().hash(password)
    try:
        get_user(session, user)
    except AccessRefusal:
        add_user(session, user, Role.PHYSICIST, password_hash, _ACTOR)
    else:
        change_password(session, user, password_hash, _ACTOR)


def _try_again(session: Session) -> None:
    """Have a case predicted that was refused when it was looked at last: the settings may be others now."""
    for case in list_cases(session):
        if case.state in (CaseState.REFUSED, CaseState.FAILED):
            with suppress(ApprovalRefusal):
                decide.retry(session, case.id, _ACTOR)


def _free_port() -> int:
    with socket.create_server((_LOOPBACK, 0)) as found:
        port: int = found.getsockname()[1]
        return port
