"""Tables of the ledger, and how an older ledger becomes one of today."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from uuid import uuid4

from edgemill_core.errors import LedgerError

MIGRATIONS: Sequence[Sequence[str]] = (
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
)
"""Each step takes the ledger from its place in the list to the next; never alter one that was released."""


def prepare(connection: sqlite3.Connection) -> None:
    """Bring the ledger behind ``connection`` to today's schema, in one transaction.

    Raises:
        LedgerError: it was written by a newer Edgemill.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise LedgerError(
            "the ledger was written by a newer Edgemill",
            expected=f"schema {len(MIGRATIONS)} or older",
            got=f"schema {version}",
            fix="update Edgemill on this box; the ledger is left as it is",
        )
    if version == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    for step in range(version, len(MIGRATIONS)):
        for statement in MIGRATIONS[step]:
            connection.execute(statement)
    if version == 0:
        connection.execute("INSERT INTO state VALUES ('id', ?)", (uuid4().hex,))
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")
    if version == 1:  # made before there was a quota: let its file shrink from now on
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
