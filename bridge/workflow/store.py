"""The database: one engine, migrated when opened, and transactions that either hold or never were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from bridge.rt.errors import StorageFailure

__all__ = ["Store"]

_DATABASE = "bridge.sqlite3"


class Store:
    """The bridge's database.

    Parameters
    ----------
    url
        SQLAlchemy URL. SQLite is the embedded default: one process, write-ahead log, every commit synced to disk
        before it counts.
    """

    def __init__(self, url: str | URL) -> None:
        self.engine = create_engine(url)
        if self.engine.dialect.name == "sqlite":
            _prepare_sqlite(self.engine)
        self._migrate()

    @classmethod
    def in_folder(cls, folder: Path) -> Store:
        """Open (and make) the SQLite database of a data folder.

        Raises
        ------
        StorageFailure
            The folder cannot be made, or what lies there is no database that can be opened.
        """
        path = folder / _DATABASE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(URL.create("sqlite", database=str(path)))
        except (OSError, DatabaseError) as error:
            reason = error.orig if isinstance(error, DatabaseError) else error.strerror
            raise StorageFailure("database", f"The database {path} cannot be opened: {reason}.") from error

    @classmethod
    def of_bridge(cls, folder: Path) -> Store:
        """Open the database of a data folder that a bridge has worked in, and make none.

        Raises
        ------
        StorageFailure
            There is none (``no-bridge-data``), or it cannot be opened.
        """
        if not (folder / _DATABASE).is_file():
            raise StorageFailure(
                "no-bridge-data",
                f"The folder {folder.name!r} is no bridge's data folder: it holds no {_DATABASE}.",
                folder=folder.name,
            )
        return cls.in_folder(folder)

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Give a session that commits at the end of the block, or rolls everything back.

        Raises
        ------
        StorageFailure
            The database could not be written or stayed locked.
        """
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                yield session
        except (OperationalError, PoolTimeout) as error:
            reason = error.orig if isinstance(error, OperationalError) else "too many threads wait for it"
            raise StorageFailure("database", f"The database did not accept a change: {reason}.") from error

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        # the driver must not open transactions of its own: they would begin as readers and fail when they write
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
