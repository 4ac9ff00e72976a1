from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from bridge.rt.errors import IdentityRefusal
from bridge.workflow import audit
from bridge.workflow.schema import AuditRow
from bridge.workflow.store import Store


@pytest.fixture
def trail(store: Store) -> Store:
    with store.transaction() as session:
        for number in range(1, 6):
            audit.append(
                session, "physicist", "looked", f"{number:012d}", number=number, note="Größe √2", pair=(1, 2.5)
            )
    return store


def verify(store: Store) -> int:
    with store.transaction() as session:
        return audit.verify(session)


def test_every_event_is_chained_to_the_one_before(trail: Store) -> None:
    with trail.transaction() as session:
        rows = list(session.scalars(select(AuditRow).order_by(AuditRow.id)))
    assert [row.id for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0].previous_sha256 == "0" * 64
    assert [row.previous_sha256 for row in rows[1:]] == [row.sha256 for row in rows[:-1]]
    assert verify(trail) == 5


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'nobody' WHERE id = 3", "DELETE FROM audit WHERE id = 5"])
def test_the_database_itself_refuses_to_change_an_event(trail: Store, change: str) -> None:
    with pytest.raises(IntegrityError, match="append-only"), trail.transaction() as session:
        session.execute(text(change))
    assert verify(trail) == 5


def swap(database: sqlite3.Connection) -> None:
    database.execute("UPDATE audit SET id = 99 WHERE id = 2")
    database.execute("UPDATE audit SET id = 2 WHERE id = 3")
    database.execute("UPDATE audit SET id = 3 WHERE id = 99")


def insert(database: sqlite3.Connection) -> None:
    database.execute(
        "INSERT INTO audit SELECT 6, utc, 'someone', action, case_id, detail, sha256, hex(randomblob(32)) "
        "FROM audit WHERE id = 5"
    )


def remove_and_close_up(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM audit WHERE id = 3")
    database.execute("UPDATE audit SET id = id - 1 WHERE id > 3")


@pytest.mark.parametrize(
    ("tamper", "event"),
    [
        (lambda db: db.execute("UPDATE audit SET actor = 'nobody' WHERE id = 3"), 3),
        (lambda db: db.execute("UPDATE audit SET action = 'approved' WHERE id = 1"), 1),
        (lambda db: db.execute("UPDATE audit SET utc = '2001-01-01 00:00:00.000000' WHERE id = 4"), 4),
        (lambda db: db.execute("UPDATE audit SET case_id = NULL WHERE id = 2"), 2),
        (lambda db: db.execute("""UPDATE audit SET detail = '{"number": 9}' WHERE id = 5"""), 5),
        (lambda db: db.execute("DELETE FROM audit WHERE id = 1"), 1),
        (lambda db: db.execute("DELETE FROM audit WHERE id = 3"), 3),
        (remove_and_close_up, 3),
        (insert, 6),
        (swap, 2),
    ],
    ids=["actor", "action", "time", "case", "detail", "first", "middle", "closed-up", "inserted", "reordered"],
)
def test_tampering_shows(
    trail: Store, tmp_path: Path, tamper: Callable[[sqlite3.Connection], None], event: int
) -> None:
    database = sqlite3.connect(tmp_path / "data" / "bridge.sqlite3")
    database.execute("DROP TRIGGER audit_no_update")
    database.execute("DROP TRIGGER audit_no_delete")
    tamper(database)
    database.commit()
    database.close()
    with pytest.raises(IdentityRefusal, match=f"at event {event}") as raised:
        verify(trail)
    assert raised.value.code == "audit-broken"
