"""The one writer of a ledger: numbers in durable blocks, records in group commits.

Rules
- A record counts once its transaction is committed with ``synchronous=FULL``; then it survives a power cut.
- A number is only handed out from a block that was committed before, so none is ever handed out twice.
- What a killed line process left open is declared when the ledger is opened again.
- The quota is kept before something is written: the policy of ``edgemill_core.ledger.evictions`` makes room, and each
  eviction is declared in the transaction that removes.
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
from edgemill_agent.ledger.room import EVIDENCE, HEADER_BYTES, LOG_BYTES, ROW_BYTES, Oldest, Room
from edgemill_agent.ledger.view import LedgerView
from edgemill_core.durable import make_folder
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import (
    EVICTED_FIRST,
    GENESIS,
    NO_END,
    Account,
    Anchor,
    Header,
    Kind,
    Payload,
    Ranges,
    Record,
    evictions,
)
from edgemill_core.ledger.record import SALT_BYTES
from edgemill_link.signatures import sign

BLOCK = 1000
"""Numbers reserved at a time."""
QUOTA = 4 << 30
LEAST_QUOTA = 16 << 20
COUNTED = "/count"
"""Behind a station's name, which holds no slash: the cursor of the controller's counts."""
AGE_STEP_S = 3600.0
TRIM_MOST = 50_000
_INTO_HEADER = "INSERT INTO header VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BODY = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
"""Headers that one anchor replaces at most, so that the disk is not busy with it for long."""


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
        file: kept frame that the record is about, relative to the ledger's folder.
        file_bytes: its size.
        counted: the controller's count of the part; the station goes on after it, too.
    """

    kind: Kind
    body: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    number: int = 0
    station: str = ""
    decision: str = ""
    item: str = ""
    file: str = ""
    file_bytes: int = 0
    counted: int | None = None


@dataclass(frozen=True)
class Ages:
    """For how long what is kept, in seconds that the agent ran: a clock that jumps must not expire anything.

    Attributes:
        payloads: per kind of ``EVICTED_FIRST``.
        headers: headers, and with them everything else of a record.
        frames: kept frames of a station that has an age of its own, by its name.
    """

    payloads: Mapping[Kind, float]
    headers: float
    frames: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Opened:
    """What opening found.

    Attributes:
        id: of the ledger, made with it; a box with a new disk has a new ledger.
        void: numbers that an unclosed run had reserved and not recorded, now declared.
        cursors: per station the last item that was recorded, and under its name with ``COUNTED`` the last count.
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

    def __init__(self, folder: Path, connection: sqlite3.Connection, lock: int, clock: Clock, quota: int) -> None:
        self.folder = folder
        self._room = Room(connection, folder, quota)
        self._view = LedgerView(connection, folder)
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

    @property
    def held(self) -> dict[Kind, int]:
        """Bytes of payloads and kept frames, per kind."""
        return self._room.held

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
            LedgerError: the disk is full or fails, or the quota leaves no room; nothing was recorded.
        """
        bodies = [_encoded(entry.body) for entry in entries]
        coming = sum(len(body) + SALT_BYTES + ROW_BYTES + HEADER_BYTES for body in bodies)
        self._make_room(coming)
        return self._append(entries, bodies)

    def declare_void(self, ranges: Sequence[tuple[int, int]], why: str) -> None:
        """Declare numbers that stand for no verdict; a used-up quota does not keep a box from starting or ending."""
        entry = Entry(Kind.VOID, {"ranges": [list(pair) for pair in ranges], "why": why})
        self._append([entry], [_encoded(entry.body)])

    def reserve_room(self, size: int, station: str = "", most: int | None = None) -> bool:
        """Promise ``size`` bytes to a frame that is about to be written; false if the quota does not leave as much.

        Args:
            size: that it takes at most.
            station: whose it is.
            most: bytes that the frames of this station may take; its oldest ones go first.
        """
        try:
            if most is not None and not self._make_room_of(station, most - size, min(self._room.chunk, most // 50)):
                return False
            self._make_room(size)
        except LedgerError:
            return False
        self._room.reserved += size
        return True

    def release_room(self, size: int) -> None:
        """The frame was written, or will not be."""
        self._room.reserved -= size

    def keep_house(self, ran_s: float, ages: Ages, delivered: bool, numbers_from: int) -> None:
        """Remove what is older than was asked for.

        Args:
            ran_s: seconds that the agent ran since this was called last.
            ages: what is kept for how long.
            delivered: trim only headers that the consumer acknowledged.
            numbers_from: every number before it was recorded or declared.
        """
        total = self._note_age(ran_s, numbers_from)
        for kind in EVICTED_FIRST:
            until = self._position_at(total - ages.payloads[kind])
            while until and (oldest := self._room.oldest(kind, self._room.chunk, until)):
                self._evict(oldest, "age")
        for station, age in ages.frames.items():
            until = self._position_at(total - age)
            while until and (oldest := self._room.oldest(Kind.EVIDENCE, self._room.chunk, until, station)):
                self._evict(oldest, "age of its station")
        until = min(self._position_at(total - ages.headers), self._last_to_trim(delivered))
        while until > (begin := self._view.first()[0]):
            self._trim(min(until, begin + TRIM_MOST, self._view.segment(begin).until))

    def _note_age(self, ran_s: float, numbers_from: int) -> float:
        """Count the time on, and note where the ledger is at about every hour; returns the seconds so far."""
        total = self._view.ran_s() + ran_s
        (noted,) = self._connection.execute("SELECT coalesce(max(seconds), -1e9) FROM age").fetchone()

        def note() -> None:
            self._set_state("ran_s", str(total))
            self._connection.execute("UPDATE block SET open = 0 WHERE last < ?", (numbers_from,))
            if total - noted >= AGE_STEP_S:
                self._connection.execute(
                    "INSERT INTO age VALUES (?, ?) ON CONFLICT(position) DO NOTHING", (self._position, total)
                )

        self._commit(note)
        return total

    def _position_at(self, seconds: float) -> int:
        found = self._connection.execute("SELECT max(position) FROM age WHERE seconds <= ?", (seconds,)).fetchone()
        return int(found[0] or 0)

    def _last_to_trim(self, delivered: bool) -> int:
        """The newest record stays, and so does whatever tells which numbers of an open block were used."""
        last = min(self._position - 1, self._view.acknowledged() if delivered else self._position)
        (in_use,) = self._connection.execute(
            "SELECT min(position) FROM header WHERE number >= (SELECT min(first) FROM block WHERE open = 1)"
        ).fetchone()
        return min(last, in_use - 1) if in_use else last

    def _trim(self, until: int) -> None:
        """Replace the headers up to ``until`` with a signed anchor."""
        trimmed, link = Account(), ""
        for record in self._view.records(until=until):
            trimmed.add(record)
            link = record.link
        before = self._counted_before()
        anchor = sign(before.with_trimmed(trimmed, until, link, self._clock.utc_ns()), self.folder)
        files: list[str] = []

        def replace() -> None:
            files.extend(self._room.cut(until))
            self._connection.execute(
                "INSERT INTO anchor VALUES (1, ?) ON CONFLICT(only) DO UPDATE SET body = excluded.body",
                (json.dumps(anchor.as_dict()),),
            )

        self._commit(replace)
        self._room.shrink()
        self._unlink(files)

    def _counted_before(self) -> Anchor:
        """What the next anchor counts on from; one that stands for records of another name is not counted on from."""
        segment, anchor = self._view.segment(self._view.first()[0]), self._view.anchor()
        if anchor is not None and anchor.ledger == segment.id:
            return anchor
        return segment.anchor or Anchor(segment.id, 0, GENESIS, 0)

    def _make_room(self, coming: int) -> None:
        while (need := self._room.short_of(coming)) > 0:
            plan = evictions(self._room.held, max(need, self._room.chunk))
            found = [self._room.oldest(kind, share, self._position) for kind, share in plan.items()]
            if not any(found):
                raise LedgerError(
                    f"the quota of the ledger in {self.folder} is used up",
                    expected=f"at most {self._room.quota} bytes with {coming} more",
                    got=f"{self._room.used()} bytes, and nothing is left that may be evicted within the retention",
                    fix="raise `quota:` under `retention:` in the settings, or shorten `headers:` there",
                )
            for oldest in filter(None, found):
                self._evict(oldest, "quota")

    def _make_room_of(self, station: str, allowed: int, chunk: int) -> bool:
        """Evict the oldest frames of ``station`` until at most ``allowed`` bytes are left; false if that is below 0."""
        while allowed >= 0 and (over := self._room.frames(station) - allowed) > 0:
            oldest = self._room.oldest(Kind.EVIDENCE, max(over, chunk), self._position, station)
            if oldest is None:
                return False
            self._evict(oldest, "quota of its station")
        return allowed >= 0

    def _evict(self, oldest: Oldest, why: str) -> None:
        told: dict[str, object] = {"what": oldest.kind.value, "first": oldest.first, "last": oldest.last}
        told |= {"count": oldest.count, **({"station": oldest.station} if oldest.station else {})}
        if oldest.files:
            told["numbers"] = [list(pair) for pair in Ranges(int(Path(file).stem) for file in oldest.files)]
        entry = Entry(Kind.EVICTED, {**told, "bytes": oldest.bytes, "why": why})
        self._append([entry], [_encoded(entry.body)], lambda: self._room.remove(oldest))
        self._room.shrink()
        self._unlink(oldest.files)

    def _unlink(self, files: Sequence[str]) -> None:
        for file in files:
            (self.folder / file).unlink(missing_ok=True)

    def _append(
        self, entries: Sequence[Entry], bodies: Sequence[bytes], first: Callable[[], None] = lambda: None
    ) -> list[Record]:
        records, link = [], self._link
        for offset, (entry, body) in enumerate(zip(entries, bodies, strict=True), start=1):
            payload = Payload(secrets.token_bytes(SALT_BYTES), body)
            header = self._header(self._position + offset, entry, payload)
            link = header.link(link)
            records.append(Record(header, link, payload))

        def insert() -> None:
            first()
            self._insert(records, entries)
            sizes: dict[Kind, int] = {}
            for entry, body in zip(entries, bodies, strict=True):
                size = len(body) + SALT_BYTES + ROW_BYTES + entry.file_bytes
                sizes[entry.kind] = sizes.get(entry.kind, 0) + size
            for kind, size in sizes.items():
                self._room.add(kind, size)
            for entry in entries:
                self._room.add_frame(entry.station, entry.file_bytes)

        self._commit(insert)
        self._position, self._link = self._position + len(records), link
        return records

    def forget_lost_frames(self) -> None:
        """Declare frames evicted whose files are not here, as after a restore."""
        rows = self._connection.execute("SELECT position, file FROM evidence ORDER BY position").fetchall()
        if all((self.folder / file).is_file() for _, file in rows):
            return
        if oldest := self._room.oldest(Kind.EVIDENCE, NO_END, self._position):
            self._evict(oldest, "restored from a backup without frames")

    def acknowledge(self, position: int) -> None:
        """The consumer has everything up to ``position``."""
        self._commit(lambda: self._set_state("acknowledged", str(position)))

    def close(self, given: Sequence[int] = ()) -> None:
        """Close for good: blocks are no longer open, so that the next start has nothing to declare.

        Args:
            given: numbers that were handed out and not recorded; they are declared void now.
        """
        try:
            if given:
                self.declare_void(list(Ranges(given)), "the agent was stopped before there was a verdict")
            self._commit(lambda: self._connection.execute("UPDATE block SET open = 0"))
        finally:
            self._connection.close()
            os.close(self._lock)

    def _set_state(self, name: str, value: str) -> None:
        self._connection.execute(
            "INSERT INTO state VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value", (name, value)
        )

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

    def _insert(self, records: Sequence[Record], entries: Sequence[Entry]) -> None:
        payloads = ((one.header.position, one.payload.salt, one.payload.body) for one in records if one.payload)
        self._connection.executemany(_INTO_HEADER, ((*one.header.as_row(), one.link) for one in records))
        self._connection.executemany("INSERT INTO payload VALUES (?, ?, ?)", payloads)
        cursors: dict[str, str] = {}
        for record, entry in zip(records, entries, strict=True):
            if entry.item:
                cursors[entry.station] = entry.item
            if entry.counted is not None:
                cursors[entry.station + COUNTED] = str(entry.counted)
            if entry.file:
                row = (record.header.position, entry.file, entry.file_bytes)
                self._connection.execute("INSERT INTO evidence VALUES (?, ?, ?)", row)
        for station, item in cursors.items():
            self._set_cursor(station, item)

    def _set_cursor(self, station: str, item: str) -> None:
        self._connection.execute(
            "INSERT INTO cursor VALUES (?, ?) ON CONFLICT(station) DO UPDATE SET item = excluded.item", (station, item)
        )

    def _commit(self, work: Callable[[], object]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            work()
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._room.reload()
            raise LedgerError(
                f"the ledger in {self.folder} cannot be written",
                expected="a disk with room that can be written",
                got=str(error),
                fix="free some space; nothing that was recorded is lost",
            ) from error


def open_ledger(folder: Path, clock: Clock, quota: int = QUOTA) -> tuple[Ledger, Opened]:
    """Open the ledger in ``folder``, or start one, and declare what an unclosed run left.

    Args:
        folder: the agent's state folder.
        clock: the box's.
        quota: bytes that ledger and kept frames may take together, at least ``LEAST_QUOTA``.

    Raises:
        LedgerError: another agent holds it, the folder cannot be written, or the file is no ledger of ours.
    """
    lock = lock_ledger(folder)
    try:
        connection = sqlite3.connect(folder / "ledger.db", isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = FULL")
        schema.prepare(connection)
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // 4096}")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
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
    ledger = Ledger(folder, connection, lock, clock, quota)
    _sweep(folder, connection)
    view = LedgerView(connection, folder)
    offset = view.clock_offset(clock.boot)
    void = _unrecorded(connection)
    if void:
        ledger.declare_void(void, "the line process ended without closing the ledger")
        connection.execute("UPDATE block SET open = 0")
    return ledger, Opened(view.id, tuple(void), view.cursors(), view.acknowledged(), offset)


def _unrecorded(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    gaps = []
    for first, last in connection.execute("SELECT first, last FROM block WHERE open = 1 ORDER BY first").fetchall():
        rows = connection.execute("SELECT number FROM header WHERE number BETWEEN ? AND ?", (first, last))
        gaps += Ranges(number for (number,) in rows).missing(first, last)
    return gaps


def _sweep(folder: Path, connection: sqlite3.Connection) -> None:
    """Remove frames that no record is about: their line process was killed before it recorded, or after it evicted."""
    for path in (folder / EVIDENCE).glob("*/*"):
        name = str(path.relative_to(folder))
        if connection.execute("SELECT 1 FROM evidence WHERE file = ?", (name,)).fetchone() is None:
            path.unlink(missing_ok=True)


def _encoded(body: Mapping[str, object]) -> bytes:
    return _BODY.encode(body).encode()


def lock_ledger(folder: Path) -> int:
    """Be the only writer of the ledger in ``folder``, until the descriptor is closed.

    Raises:
        LedgerError: another process is, or the folder cannot be written.
    """
    try:
        make_folder(folder)
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
