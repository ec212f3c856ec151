"""Where the reference consumer keeps what it took: one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemill_core.errors import LedgerError
from edgemill_core.ledger import GENESIS, Account, Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS progress(
    device TEXT NOT NULL, ledger TEXT NOT NULL, position INTEGER NOT NULL, link TEXT NOT NULL,
    PRIMARY KEY(device, ledger)
);
CREATE TABLE IF NOT EXISTS record(
    device TEXT NOT NULL, ledger TEXT NOT NULL, position INTEGER NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL,
    station TEXT NOT NULL, decision TEXT NOT NULL, utc_ns INTEGER NOT NULL, boot TEXT NOT NULL,
    monotonic_ns INTEGER NOT NULL, digest TEXT NOT NULL, link TEXT NOT NULL, salt BLOB, body BLOB,
    PRIMARY KEY(device, ledger, position)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Progress:
    """How far one ledger was taken: position and link of the last record."""

    position: int = 0
    link: str = GENESIS


class ConsumerStore:
    """Records of many boxes.

    Raises:
        LedgerError: the file cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
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
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._connection.execute(
                "INSERT INTO progress VALUES (?, ?, ?, ?) ON CONFLICT(device, ledger)"
                " DO UPDATE SET position = excluded.position, link = excluded.link",
                (device, ledger, progress.position, progress.link),
            )
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise self._broken(error) from error

    def records(self, device: str, ledger: str) -> Iterator[Record]:
        """Every record of one ledger, in order."""
        rows = self._connection.execute(
            "SELECT position, number, kind, station, decision, utc_ns, boot, monotonic_ns, digest, link, salt, body"
            " FROM record WHERE device = ? AND ledger = ? ORDER BY position",
            (device, ledger),
        )
        yield from map(Record.from_row, rows)

    def accounts(self) -> dict[tuple[str, str], Account]:
        """The account of each ledger, by device and ledger."""
        accounts: dict[tuple[str, str], Account] = {}
        for device, ledger, _ in self.all_progress():
            account = accounts.setdefault((device, ledger), Account())
            for record in self.records(device, ledger):
                account.add(record)
        return accounts

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _broken(self, error: Exception) -> LedgerError:
        return LedgerError(
            f"the consumer's store {self.path} cannot be used",
            expected="a file on a disk with room that can be written",
            got=str(error),
            fix="free some space or name another file; what is not stored is not acknowledged, so boxes send it again",
        )
