"""The fleet manager's database: opened, and its transactions.

Rules
- ``session()`` is one transaction that may write: committed at its end, durable then, or rolled back by any error.
  On SQLite it takes the one writer's place at its beginning, so what it read is still so when it writes.
  On PostgreSQL it is READ COMMITTED: who reads in order to write says ``with_for_update()``, which SQLite passes over.
- ``reading()`` sees one moment and hinders nobody. It never commits.
- Keep them short: nothing of the network, of signing or of files inside a ``session()``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from edgemill_core.errors import StoreError
from edgemill_fleet.store.schema import check_schema

_BUSY_S = 30
_TAKE_TURNS = "40"
"""Class of SQLSTATE: what PostgreSQL rolled back so that somebody else could go on."""
_READING = "edgemill_reading"


class BusyError(StoreError):
    """Nothing was written, because somebody else wrote the same at the same moment; it may be done again at once."""


class Database:
    """Tables of ``store.tables``, in SQLite or PostgreSQL.

    Safe to use from several threads; not across ``fork``: each process opens its own.

    Attributes:
        engine: SQLAlchemy's.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._write = sessionmaker(engine, expire_on_commit=False)
        options: dict[str, Any] = {_READING: True}
        if engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._read = sessionmaker(engine.execution_options(**options), expire_on_commit=False)

    @property
    def address(self) -> str:
        """Where it is, without a password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction that may write.

        Raises:
            StoreError: the database cannot be reached or written, or was held by somebody else for 30 s.
            BusyError: do it again.
        """
        with speaking(self.address), self._write() as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One moment of the database, to be read only.

        Raises:
            StoreError: the database cannot be reached.
        """
        with speaking(self.address), self._read() as session:
            yield session

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """Open the database at ``url``, of the schema of this version (``migrations.upgrade(url)`` makes it so).

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://USER:PASSWORD@HOST/NAME``.

    Raises:
        StoreError: this is no such address, it cannot be reached, or its schema is another than ours.
    """
    engine = engine_of(url)
    try:
        with speaking(engine.url.render_as_string(hide_password=True)), engine.connect() as connection:
            check_schema(connection)
    except BaseException:
        engine.dispose()
        raise
    return Database(engine)


def engine_of(url: str) -> Engine:
    """The engine behind ``url``; nothing is connected yet.

    Raises:
        StoreError: this is no address that we can use.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername == "sqlite":
            return _sqlite(parsed)
        if parsed.drivername == "postgresql+psycopg":
            return create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, OSError) as error:
        raise _no_address(str(error)) from error
    raise _no_address(parsed.drivername)


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise _no_address("SQLite without a file, which several processes cannot share")
    Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": _BUSY_S})

    # The module's own idea of when a transaction begins is turned off: ours begins where we say (PEP 249's
    # implicit one would begin as a reader and fail, at once, where it wants to write behind somebody else).
    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        reading = connection.get_execution_options().get(_READING)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


@contextmanager
def speaking(address: str) -> Iterator[None]:
    """What the database says becomes our error, besides what a statement is itself to blame for."""
    try:
        yield
    except (OperationalError, sqlite3.OperationalError) as error:
        if str(getattr(getattr(error, "orig", None), "sqlstate", "")).startswith(_TAKE_TURNS):
            raise BusyError(
                "somebody else changed the same at the same moment",
                expected="one at a time",
                got=str(error.orig).strip()[:300] if isinstance(error, DBAPIError) else str(error),
                fix="do it again; nothing of it was written",
            ) from error
        raise _unusable(address, error) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise _unusable(address, error) from error


def _unusable(address: str, error: Exception) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return StoreError(
        f"the fleet's database {address} cannot be used",
        expected="a database that answers, with room to write",
        got=str(cause).strip()[:300],
        fix="look whether it runs and has room; what was not written is done again when it is back",
    )


def _no_address(got: str) -> StoreError:
    return StoreError(
        "this is no database of a fleet",
        expected="sqlite:///FILE, or postgresql+psycopg://USER:PASSWORD@HOST/NAME ('edgemill[postgresql]')",
        got=got[:300],
        fix="mend `database:` in fleet.yaml",
    )
