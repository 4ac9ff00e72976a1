from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bridge.rt.errors import AccessRefusal
from bridge.workflow.schema import AuditRow, SessionRow
from bridge.workflow.sessions import SessionPolicy, end_session, open_session, session_user
from bridge.workflow.store import Store
from bridge.workflow.users import Role, add_user, disable_user, get_user, list_users, password_hash_of

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
POLICY = SessionPolicy(idle=timedelta(minutes=30), longest=timedelta(hours=8))


@pytest.fixture
def session(store: Store) -> Iterator[Session]:
    with store.transaction() as session:
        add_user(session, "m.curie", Role.PHYSICIST, "hash", "setup")
        yield session


def refusal(code: str, function: object, *arguments: object) -> AccessRefusal:
    with pytest.raises(AccessRefusal) as refused:
        function(*arguments)  # type: ignore[operator]
    assert refused.value.code == code
    return refused.value


@pytest.mark.parametrize("name", ["", "M.Curie", "curie ", "../x", "ä", "a" * 29, "-a", "bridge", "a\n"])
def test_a_name_that_could_be_taken_for_another_is_refused(session: Session, name: str) -> None:
    refusal("user-name", add_user, session, name, Role.VIEWER, "hash", "setup")


def test_a_name_is_given_once_also_after_its_owner_left(session: Session) -> None:
    disable_user(session, "m.curie", "setup")
    refusal("user-exists", add_user, session, "m.curie", Role.VIEWER, "hash", "setup")
    assert [(user.name, user.role, user.is_disabled) for user in list_users(session)] == [
        ("m.curie", Role.PHYSICIST, True)
    ]


def test_a_disabled_user_is_logged_out_and_has_no_password(session: Session) -> None:
    token = open_session(session, "m.curie", NOON, POLICY)
    assert password_hash_of(session, "m.curie") == "hash"
    disable_user(session, "m.curie", "setup")
    disable_user(session, "m.curie", "setup")
    assert password_hash_of(session, "m.curie") is None
    refusal("not-logged-in", session_user, session, token, NOON, POLICY)
    actions = list(session.scalars(select(AuditRow.action).order_by(AuditRow.id)))
    assert actions == ["user-added", "logged-in", "user-disabled"]


def test_who_is_not_there_is_said(session: Session) -> None:
    refusal("user-unknown", get_user, session, "nobody")
    refusal("user-unknown", disable_user, session, "nobody", "setup")
    assert password_hash_of(session, "nobody") is None


@pytest.mark.parametrize(
    ("visits_min", "alive"),
    [([30], True), ([30.1], False), ([29, 58], True), ([25 * n for n in range(1, 20)], True), ([0.1, 30.2], False)],
)
def test_a_session_runs_out_without_visits(session: Session, visits_min: list[float], alive: bool) -> None:
    token = open_session(session, "m.curie", NOON, POLICY)
    *earlier, last = visits_min
    for minute in earlier:
        session_user(session, token, NOON + timedelta(minutes=minute), POLICY)
    then = NOON + timedelta(minutes=last)
    if alive:
        assert session_user(session, token, then, POLICY).name == "m.curie"
    else:
        refusal("not-logged-in", session_user, session, token, then, POLICY)


def test_a_session_runs_out_after_its_longest_time_whatever_its_visits(session: Session) -> None:
    token = open_session(session, "m.curie", NOON, POLICY)
    for minute in range(20, 481, 20):
        session_user(session, token, NOON + timedelta(minutes=minute), POLICY)
    refusal("not-logged-in", session_user, session, token, NOON + timedelta(minutes=481), POLICY)


def test_sessions_that_ran_out_are_cleared_away_and_tokens_are_not_kept(session: Session) -> None:
    open_session(session, "m.curie", NOON, POLICY)
    token = open_session(session, "m.curie", NOON + timedelta(hours=1), POLICY)
    (row,) = session.scalars(select(SessionRow))
    assert token not in (row.token_sha256, row.user_name)
    assert len(token) >= 40


def test_logging_out_ends_one_session(session: Session) -> None:
    one, other = (open_session(session, "m.curie", NOON, POLICY) for _ in range(2))
    end_session(session, one, "m.curie")
    refusal("not-logged-in", session_user, session, one, NOON, POLICY)
    assert session_user(session, other, NOON, POLICY).role is Role.PHYSICIST
