"""Read a ledger, while its agent runs or long after."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from edgemill_agent.ledger.room import EVIDENCE
from edgemill_agent.ledger.schema import MIGRATIONS, WHAT
from edgemill_core.durable import sha256_file
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import (
    GENESIS,
    NO_END,
    Account,
    Anchor,
    Declared,
    Fault,
    Kind,
    Record,
    Segment,
    check_chain,
)
from edgemill_core.migrations import check_not_newer, form_of
from edgemill_link.signatures import holds

T = TypeVar("T")
_PAGE_QUERY = """
SELECT h.position, number, kind, station, decision, utc_ns, boot, monotonic_ns, digest, link, salt, body
FROM header h LEFT JOIN payload p USING(position) WHERE h.position > ? AND h.position <= ?
ORDER BY h.position LIMIT ?
"""
_BY_ENGINE = """h.kind = 'verdict' AND instr(CAST(p.body AS TEXT), '"engine_ms"')
AND json_extract(CAST(p.body AS TEXT), '$.engine') IS ?"""
_A_FRAME = f"""
SELECT 1 FROM evidence e JOIN header h ON h.number > 0 AND h.number = CAST(substr(e.file, -16, 12) AS INTEGER)
JOIN payload p ON p.position = h.position WHERE e.file GLOB ? AND {_BY_ENGINE} LIMIT 1
"""  # noqa: S608 (nothing from outside)
_ITS_FIELDS = f"""
SELECT json_type(CAST(p.body AS TEXT), '$.fields') IS NOT NULL FROM header h JOIN payload p USING(position)
WHERE h.position > ? AND h.station = ? AND {_BY_ENGINE} ORDER BY h.position LIMIT 1
"""  # noqa: S608
_PAGE = 1000


class _GoneError(Exception):
    """A payload is missing; carries the position."""


class LedgerView:
    """A reader. It never holds up the writer (SQLite's write-ahead log)."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self._connection = connection
        self.folder = folder

    @classmethod
    def open(cls, folder: Path) -> LedgerView:
        """Open the ledger in ``folder`` for reading.

        Raises:
            LedgerError: there is none, or it was written by a newer Edgemill.
        """
        path = folder / "ledger.db"
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            check_not_newer(connection, MIGRATIONS, WHAT)
            if (version := form_of(connection)) != len(MIGRATIONS):
                raise sqlite3.DatabaseError(f"schema {version}, this Edgemill reads {len(MIGRATIONS)}")
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(
                f"there is no ledger to read in {folder}",
                expected="the agent's state folder, with ledger.db in it",
                got=str(error),
                fix="name the folder that stands under `state:` in agent.yaml; an older ledger is brought up to date "
                "when its agent is started",
            ) from error
        return cls(connection, folder)

    @property
    def id(self) -> str:
        """Made with the ledger; another one where it goes on from a backup."""
        return self._state("id", "")

    def segments(self) -> list[Segment]:
        """What the consumer knows under a name each, in order; one, unless the ledger was restored."""
        query = "SELECT last, id, anchor FROM earlier ORDER BY last"
        found, begin, anchor = [], 0, None
        for last, name, after in self._connection.execute(query).fetchall():
            found.append(Segment(name, begin, last, anchor))
            begin, anchor = last, Anchor.from_dict(json.loads(after))
        return [*found, Segment(self.id, begin, NO_END, anchor)]

    def segment(self, after: int) -> Segment:
        """The segment of the record that follows on ``after``."""
        return next(one for one in self.segments() if after < one.until)

    def segment_called(self, name: str) -> Segment | None:
        """The segment of that name, if there is one."""
        return next((one for one in self.segments() if one.id == name), None)

    def acknowledged(self) -> int:
        """Position up to which the consumer has everything."""
        return int(self._state("acknowledged", "0"))

    def ran_s(self) -> float:
        """Seconds that the agent ran on this ledger."""
        return float(self._state("ran_s", "0"))

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

    def anchor(self) -> Anchor | None:
        """What stands for the headers that were trimmed, if any were."""
        found = self._connection.execute("SELECT body FROM anchor").fetchone()
        return Anchor.from_dict(json.loads(found[0])) if found else None

    def first(self) -> tuple[int, str]:
        """Position and link that the first record follows on: 0, or that of the anchor."""
        anchor = self.anchor()
        return (anchor.position, anchor.link) if anchor else (0, GENESIS)

    def link_at(self, position: int) -> str:
        """Link of the record at ``position``, or before the first one; empty if there is no such record."""
        first, link = self.first()
        if position == first:
            return link
        found = self._connection.execute("SELECT link FROM header WHERE position = ?", (position,)).fetchone()
        return str(found[0]) if found else ""

    def cursors(self) -> dict[str, str]:
        """Per station the last item that was recorded."""
        return dict(self._connection.execute("SELECT station, item FROM cursor").fetchall())

    def after(self, position: int, limit: int, until: int = NO_END) -> list[Record]:
        """Up to ``limit`` records that follow on ``position``, none behind ``until``."""
        return [Record.from_row(row) for row in self._connection.execute(_PAGE_QUERY, (position, until, limit))]

    def records(self, after: int = 0, until: int = NO_END) -> Iterator[Record]:
        """Every record that follows on ``after``, up to ``until``, a page in memory at a time."""
        while page := self.after(after, _PAGE, until):
            yield from page
            after = page[-1].header.position

    def verdict(self, number: int) -> Record | None:
        """The record of that number, unless there is none, or it was trimmed."""
        return self._record("SELECT position FROM header WHERE number = ? AND number > 0", number)

    def start_before(self, position: int, station: str, engine: str | None) -> Record | None:
        """How the engine was started that gave the station's verdict at ``position``.

        Args:
            engine: its id, as the verdict names it; the last one that was started if it names none.
        """
        query = "SELECT max(position) FROM header WHERE kind = ? AND station = ? AND position < ?"
        while found := self._record(query, Kind.START.value, station, position):
            if engine is None or (found.payload and found.payload.content().get("engine") == engine):
                break
            position = found.header.position
        return found

    def kept_frame(self, file: str) -> Record | None:
        """The record of a frame that lies under ``file``, unless it was evicted."""
        return self._record("SELECT position FROM evidence WHERE file = ?", file)

    def kept_numbers(self, station: str, after: int) -> list[int]:
        """Numbers behind ``after`` whose frames are kept, rising; of one station, or of all if it is empty."""
        pattern = f"{EVIDENCE}/{station or '*'}/*"
        found = self._connection.execute("SELECT file FROM evidence WHERE file GLOB ?", (pattern,)).fetchall()
        numbers = (int(Path(file).stem) for (file,) in found)
        return sorted(number for number in numbers if number > after)

    def replayable(self, station: str, engine: str | None, after: int) -> bool:
        """Whether a part that an engine judged can be judged again: its frame is kept, or the numbers of a request.

        Args:
            engine: its id; ``None`` for parts of which the record does not say it.
            after: position at which the engine was started. What it was given once, it was given each time.
        """
        kept = self._connection.execute(_A_FRAME, (f"{EVIDENCE}/{station}/*", engine)).fetchone()
        if kept is not None:
            return True
        found = self._connection.execute(_ITS_FIELDS, (after, station, engine)).fetchone()
        return bool(found and found[0])

    def of_kind(self, *kinds: Kind, after: int = 0) -> Iterator[Record]:
        """Every record of these kinds that follows on ``after``, in the order of the chain."""
        asked = ", ".join("?" * len(kinds))
        query = f"SELECT position FROM header WHERE kind IN ({asked}) AND position > ? ORDER BY position LIMIT ?"  # noqa: S608
        while found := self._connection.execute(query, (*(one.value for one in kinds), after, _PAGE)).fetchall():
            for (after,) in found:
                yield from self.after(after - 1, 1, after)

    def _record(self, query: str, *values: int | str) -> Record | None:
        found = self._connection.execute(query, values).fetchone()
        return next(iter(self.after(found[0] - 1, 1)), None) if found and found[0] is not None else None

    def held(self) -> dict[str, int]:
        """Bytes that each kind of payload holds, kept frames included."""
        return dict(self._connection.execute("SELECT kind, bytes FROM held WHERE bytes > 0 ORDER BY kind").fetchall())

    def verify(self) -> Fault | None:
        """The first thing that was altered, put in or taken out; ``None`` if everything is whole.

        The agent may be writing, evicting and trimming meanwhile.

        Raises:
            MissingPartError: the ledger was trimmed, and the library that checks the anchor is not installed.
        """
        return self._undisturbed(self._verify)

    def _verify(self) -> Fault | None:
        return self.verify_chain() or self._frames()

    def verify_chain(self) -> Fault | None:
        """As ``verify``, without the kept frames, of a ledger that nobody writes to."""
        try:
            anchor = self.anchor()
            if anchor is not None and not holds(anchor):
                return Fault(anchor.position, "the anchor's signature does not match: what it says was altered")
            fault = check_chain(self._not_evicted(), *self.first()) or self._segments_altered()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return Fault(0, f"a record cannot be read: {error}")
        except _GoneError as gone:
            return Fault(gone.args[0], "the payload is gone, and no eviction was declared")
        return fault or self._cut_off()

    def account(self) -> Account:
        """Verdicts, losses and void numbers on this box, those that were trimmed included in the counts."""
        return self._undisturbed(self._account)

    def _account(self) -> Account:
        account = Account.of_anchor(self.anchor())
        for record in self.records():
            account.add(record)
        return account

    def _undisturbed(self, look: Callable[[], T]) -> T:
        """What ``look`` finds, looked at again if the ledger was trimmed under its eyes (which is at most hourly)."""
        while True:
            before = self.first()
            found = look()
            if self.first() == before:
                return found

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _not_evicted(self) -> Iterator[Record]:
        """Every record; one whose payload is missing for no declared reason ends the walk."""
        declared, until = Declared(), 0
        for record in self.records():
            if record.payload is None and not declared.covers(record):
                # It may have been evicted since we looked: the declaration came in the same moment.
                until = self._take_declarations(declared, until)
                if not declared.covers(record):
                    raise _GoneError(record.header.position)
            yield record

    def _take_declarations(self, declared: Declared, after: int) -> int:
        """Take in the declarations behind position ``after``; returns the position of the last one."""
        query = "SELECT position FROM header WHERE kind = 'evicted' AND position > ? ORDER BY position"
        for (position,) in self._connection.execute(query, (after,)).fetchall():
            for record in self.after(position - 1, 1):
                declared.add(record)
            after = position
        return after

    def _segments_altered(self) -> Fault | None:
        for segment in self.segments():
            anchor, begin = segment.anchor, segment.begin
            if anchor is None:
                continue
            named = (anchor.ledger, anchor.position) == (segment.id, begin)
            if not named or not holds(anchor) or self.link_at(begin) not in ("", anchor.link):
                return Fault(begin, "what says that the ledger was restored there was altered")
        return None

    def _cut_off(self) -> Fault | None:
        acknowledged = self.acknowledged()  # first: more may be recorded and acknowledged meanwhile
        last, _ = self.last()
        if last < acknowledged:
            return Fault(last + 1, f"records are gone at the end: the consumer has {acknowledged}, here are {last}")
        return None

    def _frames(self) -> Fault | None:
        """Kept frames against the digests that their records carry."""
        rows = self._connection.execute("SELECT position, file FROM evidence ORDER BY position").fetchall()
        for position, file in rows:
            what = self._wrong_with(position, file)
            if what and self._connection.execute("SELECT 1 FROM evidence WHERE position = ?", (position,)).fetchone():
                return Fault(position, f"the kept frame {file} {what}")  # and was not evicted meanwhile
        return None

    def _wrong_with(self, position: int, file: str) -> str:
        record = next(iter(self.after(position - 1, 1)), None)
        path = self.folder / file
        try:
            digest = sha256_file(path)
        except OSError:
            return "is gone, and no eviction was declared"
        if record is None or record.payload is None or digest != record.payload.content().get("sha256"):
            return "does not match its digest: it was altered"
        return ""

    def _state(self, name: str, otherwise: str) -> str:
        found = self._connection.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return str(found[0]) if found else otherwise
