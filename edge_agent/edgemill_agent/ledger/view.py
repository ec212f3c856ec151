"""Read a ledger, while its agent runs or long after."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from edgemill_core.errors import LedgerError
from edgemill_core.ledger import GENESIS, Account, Fault, Record, check_chain

_PAGE_QUERY = """
SELECT h.position, number, kind, station, decision, utc_ns, boot, monotonic_ns, digest, link, salt, body
FROM header h LEFT JOIN payload p USING(position) WHERE h.position > ? ORDER BY h.position LIMIT ?
"""
_PAGE = 1000


class LedgerView:
    """A reader. It never holds up the writer (SQLite's write-ahead log)."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self.folder = folder

    @classmethod
    def open(cls, folder: Path) -> LedgerView:
        """Open the ledger in ``folder`` for reading.

        Raises:
            LedgerError: there is none.
        """
        path = folder / "ledger.db"
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            connection.execute("SELECT value FROM state WHERE name = 'id'").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(
                f"there is no ledger to read in {folder}",
                expected="the agent's state folder, with ledger.db in it",
                got=str(error),
                fix="name the folder that stands under `state:` in agent.yaml",
            ) from error
        return cls(connection, folder)

    @property
    def id(self) -> str:
        """Made with the ledger."""
        return self._state("id", "")

    def acknowledged(self) -> int:
        """Position up to which the consumer has everything."""
        return int(self._state("acknowledged", "0"))

    def last(self) -> tuple[int, str]:
        """Position and link of the newest record."""
        found = self._connection.execute("SELECT position, link FROM header ORDER BY position DESC LIMIT 1").fetchone()
        return (int(found[0]), str(found[1])) if found else (0, GENESIS)

    def clock_offset(self, boot: str) -> int | None:
        """``utc - monotonic`` in nanoseconds of the newest record, if it is of this ``boot``."""
        found = self._connection.execute(
            "SELECT utc_ns - monotonic_ns FROM header WHERE position = ? AND boot = ?", (self.last()[0], boot)
        ).fetchone()
        return int(found[0]) if found else None

    def link_at(self, position: int) -> str:
        """Link of the record at ``position``; that before the first one for 0; empty if there is no such record."""
        if position == 0:
            return GENESIS
        found = self._connection.execute("SELECT link FROM header WHERE position = ?", (position,)).fetchone()
        return str(found[0]) if found else ""

    def cursors(self) -> dict[str, str]:
        """Per station the last item that was recorded."""
        return dict(self._connection.execute("SELECT station, item FROM cursor").fetchall())

    def after(self, position: int, limit: int) -> list[Record]:
        """Up to ``limit`` records that follow on ``position``."""
        return [Record.from_row(row) for row in self._connection.execute(_PAGE_QUERY, (position, limit))]

    def records(self, after: int = 0) -> Iterator[Record]:
        """Every record that follows on ``after``, a page in memory at a time."""
        while page := self.after(after, _PAGE):
            yield from page
            after = page[-1].header.position

    def verify(self) -> Fault | None:
        """The first thing that was altered, put in or taken out; ``None`` if everything is whole."""
        try:
            fault = check_chain(self.records())
        except (ValueError, TypeError) as error:
            return Fault(0, f"a record cannot be read: {error}")
        return fault or self._taken_out()

    def account(self) -> Account:
        """Verdicts, losses and void numbers on this box."""
        account = Account()
        for record in self.records():
            account.add(record)
        return account

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _taken_out(self) -> Fault | None:
        found = self._connection.execute(
            "SELECT min(position) FROM header WHERE position NOT IN (SELECT position FROM payload)"
        ).fetchone()
        if found[0] is not None:
            return Fault(int(found[0]), "the payload is gone, and no eviction was declared")
        last, _ = self.last()
        if last < self.acknowledged():
            return Fault(
                last + 1, f"records are gone at the end: the consumer has {self.acknowledged()}, here are {last}"
            )
        return None

    def _state(self, name: str, otherwise: str) -> str:
        found = self._connection.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else otherwise
