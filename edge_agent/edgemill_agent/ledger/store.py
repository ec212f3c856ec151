"""The one writer of a ledger: numbers in durable blocks, records in group commits.

Rules
- A record counts once its transaction is committed with ``synchronous=FULL``; then it survives a power cut.
- A number is only handed out from a block that was committed before, so none is ever handed out twice.
- What a killed line process left open is declared when the ledger is opened again.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import schema
from edgemill_agent.ledger.view import LedgerView
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import GENESIS, Header, Kind, Payload, Ranges, Record
from edgemill_core.ledger.record import SALT_BYTES

BLOCK = 1000
"""Numbers reserved at a time."""


@dataclass(frozen=True)
class Entry:
    """What is to be recorded.

    Attributes:
        kind: what the record says.
        body: JSON-ready payload.
        number: of the verdict; 0 for what is none.
        station: which station; empty for what concerns the box.
        decision: ``pass``, ``reject`` or ``uncertain``; empty for what is no verdict.
        item: what the source calls the part; the station goes on after it when it is started again.
    """

    kind: Kind
    body: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    number: int = 0
    station: str = ""
    decision: str = ""
    item: str = ""


@dataclass(frozen=True)
class Opened:
    """What opening found.

    Attributes:
        id: of the ledger, made with it; a box with a new disk has a new ledger.
        void: numbers that an unclosed run had reserved and not recorded, now declared.
        cursors: per station the last item that was recorded.
        acknowledged: position up to which the consumer has everything.
        clock_offset: ``utc - monotonic`` in nanoseconds when the last record was made, if that was in this boot.
    """

    id: str
    void: tuple[tuple[int, int], ...]
    cursors: Mapping[str, str]
    acknowledged: int
    clock_offset: int | None = None


class Ledger:
    """An open ledger. Made by ``open_ledger``; used by one thread at a time."""

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: int, clock: Clock) -> None:
        self.folder = folder
        self._connection = connection
        self._lock = lock
        self._clock = clock
        found = connection.execute("SELECT position, link FROM header ORDER BY position DESC LIMIT 1").fetchone()
        self._position = int(found[0]) if found else 0
        self._link = str(found[1]) if found else GENESIS

    @property
    def position(self) -> int:
        """Of the last record."""
        return self._position

    def reserve(self) -> tuple[int, int]:
        """Reserve the next block of numbers durably; returns its first and last."""
        (last,) = self._connection.execute("SELECT coalesce(max(last), 0) FROM block").fetchone()
        block = (last + 1, last + BLOCK)

        def insert() -> None:
            self._connection.execute("DELETE FROM block WHERE open = 0 AND last < ?", (last,))
            self._connection.execute("INSERT INTO block VALUES (?, ?, 1)", block)

        self._commit(insert)
        return block

    def append(self, entries: Sequence[Entry]) -> list[Record]:
        """Record ``entries`` in one durable transaction; all of them or none.

        Raises:
            LedgerError: the disk is full or fails; nothing was recorded.
        """
        records, link = [], self._link
        for offset, entry in enumerate(entries, start=1):
            body = json.dumps(entry.body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
            payload = Payload(secrets.token_bytes(SALT_BYTES), body)
            header = self._header(self._position + offset, entry, payload)
            link = header.link(link)
            records.append(Record(header, link, payload))

        def insert() -> None:
            for record, entry in zip(records, entries, strict=True):
                self._insert(record, entry.item)

        self._commit(insert)
        self._position, self._link = self._position + len(records), link
        return records

    def acknowledge(self, position: int) -> None:
        """The consumer has everything up to ``position``."""
        self._commit(
            lambda: self._connection.execute(
                "INSERT INTO state VALUES ('acknowledged', ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value",
                (str(position),),
            )
        )

    def close(self, given: Sequence[int] = ()) -> None:
        """Close for good: blocks are no longer open, so that the next start has nothing to declare.

        Args:
            given: numbers that were handed out and not recorded; they are declared void now.
        """
        try:
            if given:
                self.append([_void(list(Ranges(given)), "the agent was stopped before there was a verdict")])
            self._commit(lambda: self._connection.execute("UPDATE block SET open = 0"))
        finally:
            self._connection.close()
            os.close(self._lock)

    def _header(self, position: int, entry: Entry, payload: Payload) -> Header:
        return Header(
            position,
            entry.number,
            entry.kind,
            entry.station,
            entry.decision,
            self._clock.utc_ns(),
            self._clock.boot,
            self._clock.monotonic_ns(),
            payload.digest,
        )

    def _insert(self, record: Record, item: str) -> None:
        header, payload = record.header, record.payload
        assert payload is not None
        self._connection.execute(
            "INSERT INTO header VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*{**header.as_dict(), "kind": header.kind.value}.values(), record.link),
        )
        self._connection.execute("INSERT INTO payload VALUES (?, ?, ?)", (header.position, payload.salt, payload.body))
        if item:
            self._connection.execute(
                "INSERT INTO cursor VALUES (?, ?) ON CONFLICT(station) DO UPDATE SET item = excluded.item",
                (header.station, item),
            )

    def _commit(self, work: Callable[[], object]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            work()
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise LedgerError(
                f"the ledger in {self.folder} cannot be written",
                expected="a disk with room that can be written",
                got=str(error),
                fix="free some space; nothing that was recorded is lost",
            ) from error


def open_ledger(folder: Path, clock: Clock) -> tuple[Ledger, Opened]:
    """Open the ledger in ``folder``, or start one, and declare what an unclosed run left.

    Raises:
        LedgerError: another agent holds it, the folder cannot be written, or the file is no ledger of ours.
    """
    lock = _lock(folder)
    try:
        connection = sqlite3.connect(folder / "ledger.db", isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        schema.prepare(connection)
    except (sqlite3.Error, LedgerError) as error:
        os.close(lock)
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(
            f"{folder / 'ledger.db'} cannot be opened",
            expected="a ledger of Edgemill",
            got=str(error),
            fix="move the file away to start a new ledger; keep it, it may be readable in part",
        ) from error
    ledger = Ledger(folder, connection, lock, clock)
    view = LedgerView(connection, folder)
    offset = view.clock_offset(clock.boot)
    void = _unrecorded(connection)
    if void:
        ledger.append([_void(void, "the line process ended without closing the ledger")])
        connection.execute("UPDATE block SET open = 0")
    return ledger, Opened(view.id, tuple(void), view.cursors(), view.acknowledged(), offset)


def _unrecorded(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    gaps = []
    for first, last in connection.execute("SELECT first, last FROM block WHERE open = 1 ORDER BY first").fetchall():
        rows = connection.execute("SELECT number FROM header WHERE number BETWEEN ? AND ?", (first, last))
        gaps += Ranges(number for (number,) in rows).missing(first, last)
    return gaps


def _void(ranges: Sequence[tuple[int, int]], why: str) -> Entry:
    return Entry(Kind.VOID, {"ranges": [list(pair) for pair in ranges], "why": why})


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "ledger.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LedgerError(
            f"the ledger's folder {folder} cannot be written",
            expected="a folder that this user may write",
            got=str(error),
            fix="name another folder under `state:` in the settings, or give this user the right to write it",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
        os.close(lock)
        raise LedgerError(
            f"another agent writes the ledger in {folder}",
            expected="one agent per ledger",
            got=f"process {holder or '?'} holds it",
            fix="stop that agent, or name another folder under `state:` in the settings",
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock
