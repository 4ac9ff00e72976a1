from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from bridge.web.passwords import Passwords
from bridge.web.room import ReviewRoom
from bridge.workflow.preview import preview
from bridge.workflow.release import Recipient
from bridge.workflow.sessions import SessionPolicy
from bridge.workflow.signing import ReleaseRules
from bridge.workflow.store import Store
from bridge.workflow.users import Role, add_user
from tests.web.browser import ORIGIN, PASSWORD, Browser
from tests.web.predicted import SETTINGS

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
    store = Store.in_folder(tmp_path / "data")
    with store.transaction() as session:
        for role in Role:
            add_user(session, f"a.{role.value}", role, QUICK.hash(PASSWORD), "setup")
    yield store
    store.close()


@pytest.fixture
def room(store: Store, tmp_path: Path, clock: Clock) -> ReviewRoom:
    policy = SessionPolicy(idle=timedelta(minutes=30), longest=timedelta(hours=10))
    return ReviewRoom(store, tmp_path / "data" / "cases", ORIGIN, policy, SETTINGS, preview, RULES, QUICK, clock)


@pytest.fixture
def browser(room: ReviewRoom) -> Browser:
    return Browser(room)
