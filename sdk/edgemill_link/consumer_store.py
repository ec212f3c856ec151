"""Where the reference consumer keeps what it took: one SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgemill_core.durable import make_folder
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import GENESIS, Account, Anchor, Record
from edgemill_core.migrations import Migrations, migrate

MIGRATIONS: Migrations = (
    (
        """CREATE TABLE IF NOT EXISTS progress(
            device TEXT NOT NULL, ledger TEXT NOT NULL, position INTEGER NOT NULL, link TEXT NOT NULL,
            PRIMARY KEY(device, ledger)
        )""",
        """CREATE TABLE IF NOT EXISTS record(
            device TEXT NOT NULL, ledger TEXT NOT NULL, position INTEGER NOT NULL, number INTEGER NOT NULL,
            kind TEXT NOT NULL, station TEXT NOT NULL, decision TEXT NOT NULL, utc_ns INTEGER NOT NULL,
            boot TEXT NOT NULL, monotonic_ns INTEGER NOT NULL, digest TEXT NOT NULL, link TEXT NOT NULL,
            salt BLOB, body BLOB, PRIMARY KEY(device, ledger, position)
        ) WITHOUT ROWID""",
        """CREATE TABLE IF NOT EXISTS anchor(
            device TEXT NOT NULL, ledger TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY(device, ledger)
        )""",
    ),
)
"""The first step takes up files that were made before they had a number (version 0, with tables)."""


@dataclass(frozen=True)
class Progress:
    """How far one ledger was taken: position and link of the last record."""

    position: int = 0
    link: str = GENESIS


class ConsumerStore:
    """Records of many boxes.

    Raises:
        LedgerError: the file cannot be opened or written, or was written by a newer Edgemill.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            make_folder(path.parent)
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            migrate(self._connection, MIGRATIONS, f"the consumer's store {path}")
        except (sqlite3.Error, OSError) as error:
            raise self._broken(error) from error

    def progress(self, device: str, ledger: str) -> Progress:
        """How far this ledger was taken."""
        found = self._connection.execute(
            "SELECT position, link FROM progress WHERE device = ? AND ledger = ?", (device, ledger)
        ).fetchone()
        return Progress(*found) if found else Progress()

    def all_progress(self) -> list[tuple[str, str, Progress]]:
        """Device, ledger and how far it was taken, for each ledger."""
        rows = self._connection.execute("SELECT device, ledger, position, link FROM progress").fetchall()
        return [(device, ledger, Progress(position, link)) for device, ledger, position, link in rows]

    def add(self, device: str, ledger: str, records: Sequence[Record], progress: Progress) -> None:
        """Add ``records`` and move on to ``progress``, in one durable transaction."""
        rows = [
            (device, ledger, h.position, h.number, h.kind.value, h.station, h.decision, h.utc_ns, h.boot)
            + (h.monotonic_ns, h.digest, record.link)
            + ((record.payload.salt, record.payload.body) if record.payload else (None, None))
            for record in records
            for h in [record.header]
        ]
        with self._transaction():
            self._connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._move_on(device, ledger, progress)

    def begin_at(self, device: str, anchor: Anchor) -> None:
        """The box has nothing before ``anchor`` any more: go on behind it."""
        with self._transaction():
            self._connection.execute(
                "INSERT INTO anchor VALUES (?, ?, ?) ON CONFLICT(device, ledger) DO UPDATE SET body = excluded.body",
                (device, anchor.ledger, json.dumps(anchor.as_dict())),
            )
            self._move_on(device, anchor.ledger, Progress(anchor.position, anchor.link))

    def anchor(self, device: str, ledger: str) -> Anchor | None:
        """The anchor that this ledger was last begun at, if it was."""
        found = self._connection.execute(
            "SELECT body FROM anchor WHERE device = ? AND ledger = ?", (device, ledger)
        ).fetchone()
        return Anchor.from_dict(json.loads(found[0])) if found else None

    def records(self, device: str, ledger: str, after: int = 0) -> Iterator[Record]:
        """Every record of one ledger behind position ``after``, in order."""
        rows = self._connection.execute(
            "SELECT position, number, kind, station, decision, utc_ns, boot, monotonic_ns, digest, link, salt, body"
            " FROM record WHERE device = ? AND ledger = ? AND position > ? ORDER BY position",
            (device, ledger, after),
        )
        yield from map(Record.from_row, rows)

    def accounts(self) -> dict[tuple[str, str], Account]:
        """The account of each ledger, by device and ledger."""
        accounts: dict[tuple[str, str], Account] = {}
        for device, ledger, _ in self.all_progress():
            anchor = self.anchor(device, ledger)
            account = accounts[device, ledger] = Account.of_anchor(anchor)
            for record in self.records(device, ledger, anchor.position if anchor else 0):
                account.add(record)
        return accounts

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _move_on(self, device: str, ledger: str, progress: Progress) -> None:
        self._connection.execute(
            "INSERT INTO progress VALUES (?, ?, ?, ?) ON CONFLICT(device, ledger)"
            " DO UPDATE SET position = excluded.position, link = excluded.link",
            (device, ledger, progress.position, progress.link),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> LedgerError:
        return LedgerError(
            f"the consumer's store {self.path} cannot be used",
            expected="a file on a disk with room that can be written",
            got=str(error),
            fix="free some space or name another file; what is not stored is not acknowledged, so boxes send it again",
        )
