from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select
from sqlalchemy.exc import StatementError

from bridge.rt.errors import StorageFailure
from bridge.workflow import audit
from bridge.workflow.schema import AuditRow, Base, CaseRow
from bridge.workflow.store import Store


def case_row(number: int, at: datetime = datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=UTC)) -> CaseRow:
    return CaseRow(
        id=f"{number:012d}",
        study_instance_uid="1.2",
        structure_set_uid=None,
        state="waiting",
        reason="",
        created_utc=at,
        updated_utc=at,
    )


def test_the_migrations_reach_the_schema(store: Store) -> None:
    with store.engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == "0006"


def test_a_reopened_store_holds_what_was_committed_with_its_times(tmp_path: Path) -> None:
    at = datetime(2024, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    first = Store.in_folder(tmp_path)
    with first.transaction() as session:
        session.add(case_row(1, at))
    first.close()
    second = Store.in_folder(tmp_path)
    with second.transaction() as session:
        row = session.get_one(CaseRow, f"{1:012d}")
        assert (row.created_utc, row.created_utc.utcoffset()) == (at, timedelta(0))
    second.close()


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "data?mode=memory&x=%41#[b] ö"
    store = Store.in_folder(folder)
    with store.transaction() as session:
        session.add(case_row(1))
    store.close()
    assert (folder / "bridge.sqlite3").is_file()


def test_a_block_that_fails_leaves_nothing(store: Store) -> None:
    def fail_half_way() -> None:
        with store.transaction() as session:
            session.add(case_row(1))
            session.flush()
            audit.append(session, "bridge", "something")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    with store.transaction() as session:
        assert session.scalar(select(func.count()).select_from(CaseRow)) == 0
        assert audit.verify(session) == 0


def test_two_stores_on_one_file_share_one_unbroken_trail(tmp_path: Path) -> None:
    """Service and command line open the same file; a reader that became a writer half way would fail or fork it."""
    stores = [Store.in_folder(tmp_path), Store.in_folder(tmp_path)]

    def write(number: int) -> None:
        with stores[number % 2].transaction() as session:
            audit.append(session, "bridge", "tested", number=number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))
    with stores[0].transaction() as session:
        assert audit.verify(session) == 80
        numbers = [row.detail["number"] for row in session.scalars(select(AuditRow))]
    assert sorted(numbers) == list(range(80))
    for store in stores:
        store.close()


def test_a_time_without_zone_is_refused(store: Store) -> None:
    naive = datetime(2024, 1, 2)  # noqa: DTZ001 - on purpose
    with pytest.raises(StatementError, match="time zone"), store.transaction() as session:
        session.add(case_row(1, naive))


def test_commits_are_synced_to_disk_and_references_are_enforced(store: Store) -> None:
    with store.engine.begin() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_database_that_stays_locked_is_a_failure_not_a_bug(store: Store, tmp_path: Path) -> None:
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=50")
        connection.rollback()
    other = sqlite3.connect(tmp_path / "data" / "bridge.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StorageFailure, match="did not accept") as raised, store.transaction() as session:
            session.add(case_row(1))
        assert raised.value.code == "database"
    finally:
        other.close()


def test_a_file_that_is_no_database_is_a_failure_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bridge.sqlite3").write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(StorageFailure, match=r"bridge\.sqlite3"):
        Store.in_folder(tmp_path)


def test_a_folder_that_cannot_be_made_is_a_failure_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(StorageFailure, match="data"):
        Store.in_folder(tmp_path / "data")
