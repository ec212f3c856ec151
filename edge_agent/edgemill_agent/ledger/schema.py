"""Tables of the ledger, and how an older ledger becomes one of today."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

from edgemill_core.migrations import Migrations, check_not_newer, form_of, migrate

WHAT = "the ledger"
_INCREMENTAL = 2
"""SQLite's number of that kind of ``auto_vacuum``."""
MIGRATIONS: Migrations = (
    (
        """CREATE TABLE header(
            position INTEGER PRIMARY KEY,
            number INTEGER NOT NULL,
            kind TEXT NOT NULL,
            station TEXT NOT NULL,
            decision TEXT NOT NULL,
            utc_ns INTEGER NOT NULL,
            boot TEXT NOT NULL,
            monotonic_ns INTEGER NOT NULL,
            digest TEXT NOT NULL,
            link TEXT NOT NULL
        )""",
        "CREATE UNIQUE INDEX verdict_number ON header(number) WHERE number > 0",
        "CREATE TABLE payload(position INTEGER PRIMARY KEY, salt BLOB NOT NULL, body BLOB NOT NULL)",
        "CREATE TABLE block(first INTEGER PRIMARY KEY, last INTEGER NOT NULL, open INTEGER NOT NULL)",
        "CREATE TABLE cursor(station TEXT PRIMARY KEY, item TEXT NOT NULL)",
        "CREATE TABLE state(name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    (
        "CREATE TABLE held(kind TEXT PRIMARY KEY, bytes INTEGER NOT NULL)",
        """INSERT INTO held SELECT kind, sum(length(salt) + length(body) + 32)
            FROM payload JOIN header USING(position) GROUP BY kind""",
        "CREATE TABLE evidence(position INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL)",
        "CREATE TABLE age(position INTEGER PRIMARY KEY, seconds REAL NOT NULL)",
        "CREATE TABLE anchor(only INTEGER PRIMARY KEY CHECK (only = 1), body TEXT NOT NULL)",
        "CREATE INDEX metrics ON header(position) WHERE kind = 'metrics'",
        "CREATE INDEX kept ON header(position) WHERE kind = 'evidence'",
        "CREATE INDEX evicted ON header(position) WHERE kind = 'evicted'",
    ),
    ("CREATE INDEX shadow ON header(position) WHERE kind = 'shadow'",),
    ("CREATE TABLE earlier(last INTEGER PRIMARY KEY, id TEXT NOT NULL, anchor TEXT NOT NULL)",),
)
"""Each step takes the ledger from its place in the list to the next; never alter one that was released."""


def prepare(connection: sqlite3.Connection) -> None:
    """Bring the ledger behind ``connection`` to today's schema, in one transaction.

    Raises:
        LedgerError: it was written by a newer Edgemill, or cannot be written.
    """
    check_not_newer(connection, MIGRATIONS, WHAT)
    if form_of(connection) == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")

    def name_it() -> None:
        connection.execute("INSERT INTO state VALUES ('id', ?)", (uuid4().hex,))

    migrate(connection, MIGRATIONS, WHAT, name_it)
    _let_it_shrink(connection)


def check_known(folder: Path) -> None:
    """Refuse a state folder that a newer Edgemill wrote to, for those who only look whether there is a ledger.

    Raises:
        LedgerError: it did.
    """
    file = folder / "ledger.db"
    if not file.is_file():
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as found:
        check_not_newer(found, MIGRATIONS, WHAT)


def _let_it_shrink(connection: sqlite3.Connection) -> None:
    """A ledger that was made before there was a quota does not give pages back until it was written anew."""
    if connection.execute("PRAGMA auto_vacuum").fetchone() == (_INCREMENTAL,):
        return
    with suppress(sqlite3.OperationalError):  # no room for a second one: it is tried again at the next start
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
