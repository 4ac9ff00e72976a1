"""Sessions that must not last: over a clock that was put back, and of somebody who may not log in any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bridge.rt.errors import AccessRefusal
from bridge.workflow.sessions import SessionPolicy, open_session, session_user
from bridge.workflow.store import Store
from bridge.workflow.users import Role, add_user, disable_user

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
POLICY = SessionPolicy(idle=timedelta(minutes=30), longest=timedelta(hours=10))


@pytest.fixture
def token(store: Store) -> str:
    with store.transaction() as session:
        add_user(session, "m.curie", Role.PHYSICIST, "hash", "setup")
        return open_session(session, "m.curie", NOW, POLICY)


@pytest.mark.parametrize(
    ("passed", "lasts"),
    [
        (timedelta(), True),
        (timedelta(minutes=30), True),
        (timedelta(minutes=30, seconds=1), False),
        (timedelta(seconds=-59), True),
        (timedelta(seconds=-61), False),
        (timedelta(days=-365), False),
    ],
)
def test_a_session_lasts_its_time_and_not_longer_where_the_clock_is_put_back(
    store: Store, token: str, passed: timedelta, lasts: bool
) -> None:
    with store.transaction() as session:
        if lasts:
            assert session_user(session, token, NOW + passed, POLICY).name == "m.curie"
        else:
            with pytest.raises(AccessRefusal, match="ran out"):
                session_user(session, token, NOW + passed, POLICY)


def test_a_session_ends_with_its_longest_time_however_busy_it_is(store: Store, token: str) -> None:
    with store.transaction() as session:
        for minutes in range(0, 601, 20):
            session_user(session, token, NOW + timedelta(minutes=minutes), POLICY)
        with pytest.raises(AccessRefusal, match="ran out"):
            session_user(session, token, NOW + timedelta(minutes=601), POLICY)


def test_who_was_disabled_while_his_password_was_compared_has_no_session(store: Store) -> None:
    with store.transaction() as session:
        add_user(session, "p.curie", Role.PHYSICIST, "hash", "setup")
        disable_user(session, "p.curie", "setup")
        late = open_session(session, "p.curie", NOW, POLICY)
        with pytest.raises(AccessRefusal, match="not logged in"):
            session_user(session, late, NOW, POLICY)
