from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from bridge.web.passwords import Passwords
from bridge.web.room import ReviewRoom
from bridge.workflow.jobs import Job
from bridge.workflow.preview import preview
from bridge.workflow.release import Recipient
from bridge.workflow.sessions import SessionPolicy
from bridge.workflow.signing import ReleaseRules
from bridge.workflow.store import Store
from bridge.workflow.users import Role, add_user
from tests.stores import new_store
from tests.web.browser import ORIGIN, PASSWORD, Browser
from tests.web.predicted import SETTINGS, receive_and_predict

QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
RULES = ReleaseRules((Recipient("tps", ("predicted_plan", "predicted_dose")),), to_eclipse=True, needs_two=False)


class Clock:
    """A clock that tests put forward."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **passed: float) -> None:
        self.now += timedelta(**passed)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path / "data")
    with store.transaction() as session:
        for role in Role:
            add_user(session, f"a.{role.value}", role, QUICK.hash(PASSWORD), "setup")
    yield store
    store.close()


@pytest.fixture
def room(store: Store, tmp_path: Path, clock: Clock) -> ReviewRoom:
    policy = SessionPolicy(idle=timedelta(minutes=30), longest=timedelta(hours=10))
    return ReviewRoom(
        store, tmp_path / "data" / "cases", ORIGIN, policy, SETTINGS, preview, RULES, passwords=QUICK, clock=clock
    )


@pytest.fixture
def browser(room: ReviewRoom) -> Browser:
    return Browser(room)


@pytest.fixture
def job(room: ReviewRoom) -> Job:
    return receive_and_predict(room.store, room.cases_folder, room.cases_folder.parent / "spool")


@pytest.fixture
def physicist(browser: Browser, job: Job) -> Browser:
    browser.log_in("physicist")
    return browser


@pytest.fixture
def planner(room: ReviewRoom, job: Job) -> Browser:
    other = Browser(room)
    other.log_in("planner")
    return other


@pytest.fixture
def strict(room: ReviewRoom, job: Job) -> tuple[Browser, Browser]:
    """Two physicists where two are needed."""
    with room.store.transaction() as session:
        add_user(session, "a.second", Role.PHYSICIST, QUICK.hash(PASSWORD), "setup")
    strict_room = replace(room, release=replace(room.release, needs_two=True))
    first, second = Browser(strict_room), Browser(strict_room)
    first.log_in("physicist")
    second.log_in("second")
    return first, second
