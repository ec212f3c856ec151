"""The ledger after a power cut, by what SQLite promises: a commit is synced before it is seen, the rest may be torn.

With ``synchronous=FULL`` SQLite syncs the write-ahead log with each commit (sqlite.org/pragma.html#pragma_synchronous),
and the database before the log is begun anew (sqlite.org/wal.html). So of the log everything is safe up to the last
commit frame; behind it, and in the database during a checkpoint, any page may be there or not.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from lossy_disk import Tape
from released_box import NAME, ReleasedBox, Releases

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, Ledger, LedgerView
from edgemill_agent.ledger.store import open_ledger
from edgemill_agent.updating.book import read_book
from edgemill_agent.updating.slots import read_slots
from edgemill_agent.updating.states import State
from edgemill_core.ledger import Kind

STEP = 1 if os.environ.get("EDGEMILL_EVERY_CUT") else 9
"""Of the ways to tear a log."""
PAGE, BEGIN, HEAD = 4096, 32, 24
FRAME = HEAD + PAGE


def frames(log: bytes) -> int:
    return (len(log) - BEGIN) // FRAME


def commits(log: bytes) -> list[int]:
    """Length of the log behind each commit: its last frame says how large the database is then."""
    ends = range(BEGIN + FRAME, len(log) + 1, FRAME)
    return [end for end in ends if struct.unpack_from(">I", log, end - FRAME + 4)[0]]


class Disk:
    """The two files of a ledger as its writer has them on the disk."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ledger.db"

    @property
    def database(self) -> bytes:
        return self._file.read_bytes()

    @property
    def log(self) -> bytes:
        return self._file.with_name("ledger.db-wal").read_bytes()


def lay_out(folder: Path, database: bytes, log: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("ledger.db*"):
        path.unlink()
    (folder / "ledger.db").write_bytes(database)
    (folder / "ledger.db-wal").write_bytes(log)
    return folder


def found(folder: Path) -> int:
    """Position of the last record; the chain up to it is whole, and the next writer goes on behind it."""
    view = LedgerView.open(folder)
    assert view.verify() is None
    last, _ = view.last()
    assert [record.header.position for record in view.records()] == list(range(1, last + 1))
    view.close()
    ledger, _ = open_ledger(folder, Clock())
    (more,) = ledger.append([Entry(Kind.METRICS, {"after": "the cut"})])
    assert more.header.position == last + 1
    ledger.close()
    return last


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made, _ = open_ledger(tmp_path / "made", Clock())
    yield made
    made.close()


def record(ledger: Ledger, times: int) -> list[int]:
    """Positions behind so many commits; each of several pages."""
    behind = []
    for number in range(times):
        ledger.append([Entry(Kind.METRICS, {"number": number, "much": "x" * 3000}) for _ in range(2)])
        behind.append(ledger.position)
    return behind


def torn(log: bytes, safe: int) -> Iterator[tuple[int, bytes]]:
    """Some of the ways, or all of them."""
    return islice(_torn(log, safe), 0, None, STEP)


def _torn(log: bytes, safe: int) -> Iterator[tuple[int, bytes]]:
    """The log cut off at and within each frame, and with each frame behind ``safe`` zeroed or lost; and where."""
    for end in range(safe, len(log) + 1, FRAME):
        for more in (0, 7, HEAD, HEAD + PAGE // 2, FRAME - 1):
            if end + more <= len(log):
                yield end + more, log[: end + more]
    for end in range(safe, len(log), FRAME):
        yield end, log[:end] + bytes(FRAME) + log[end + FRAME :]
        yield end, log[: end + HEAD] + bytes(PAGE) + log[end + FRAME :]
        yield end, log[:end] + log[end + FRAME :]


def test_the_writer_waits_for_the_disk(ledger: Ledger) -> None:
    assert ledger._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert ledger._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_torn_log_gives_what_was_committed_before(ledger: Ledger, tmp_path: Path) -> None:
    disk = Disk(ledger.folder)
    begun = len(disk.log)
    behind = record(ledger, 4)
    log = disk.log
    ends = [end for end in commits(log) if end > begun]
    assert len(ends) == len(behind), "one synced commit each"
    assert frames(log) > 15
    for where, left in torn(log, begun):
        last = max((position for end, position in zip(ends, behind, strict=True) if end <= where), default=0)
        assert found(lay_out(tmp_path / "cut", disk.database, left)) == last


def test_a_checkpoint_that_was_cut_loses_nothing(ledger: Ledger, tmp_path: Path) -> None:
    disk = Disk(ledger.folder)
    (last,) = record(ledger, 2)[-1:]
    before, log = disk.database, disk.log
    ledger._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    after = disk.database
    assert len(after) > len(before)
    before += bytes(len(after) - len(before))
    for page in range(0, len(after), PAGE):
        for one, other in ((before, after), (after, before)):
            mixed = one[:page] + other[page : page + PAGE] + one[page + PAGE :]
            assert found(lay_out(tmp_path / "cut", mixed, log)) == last
    assert found(lay_out(tmp_path / "cut", after[: len(after) // 2], log)) == last
    assert found(lay_out(tmp_path / "cut", after, log)) == last, "the log was to be removed, and is there again"


def test_a_log_that_is_begun_anew_may_hold_some_of_the_old_one(ledger: Ledger, tmp_path: Path) -> None:
    disk = Disk(ledger.folder)
    (safe,) = record(ledger, 3)[-1:]
    ledger._connection.execute("PRAGMA wal_checkpoint(RESTART)")
    database, old = disk.database, disk.log
    (last,) = record(ledger, 1)
    new = disk.log
    assert new[:BEGIN] != old[:BEGIN]
    (end,) = [end for end in commits(new) if new[end - FRAME + 8 : end - FRAME + 16] == new[16:24]]
    for where in sorted({0, 7, *range(BEGIN, end + 1, FRAME), *range(BEGIN + 100, end, FRAME)}):
        mixed = new[:where] + old[where:]
        assert found(lay_out(tmp_path / "cut", database, mixed)) == (last if where >= end else safe)


@pytest.mark.parametrize(("outcome", "state"), [("committed", State.COMMITTED), ("fell back", State.ROLLED_BACK)])
def test_a_trial_ends_with_the_record_that_is_whole_and_not_before(outcome: str, state: State, tmp_path: Path) -> None:
    box = ReleasedBox(tmp_path / "box", Releases(tmp_path / "releases"))
    for version in ("1.0.0", "1.1.0"):
        box.releases.plan(version)
        box.follow()
    tape = Tape(box.folder)
    ledger, _ = open_ledger(tmp_path / "made", Clock())
    record(ledger, 1)
    disk = Disk(ledger.folder)
    begun = len(disk.log)
    box.record_outcome(ledger, outcome)
    end = commits(disk.log)[-1]
    record(ledger, 1)
    seen = set()
    for number, (where, log) in enumerate(islice(torn(disk.log, begun), 0, None, min(STEP, 2))):
        cut = ReleasedBox(tmp_path / f"cut {number}", box.releases)
        tape.last().lay_out(cut.folder)
        lay_out(cut.state, disk.database, log)
        cut.settle()
        over = where >= end
        seen.add(over)
        assert read_book(cut.state).updates[NAME].state is (state if over else State.TRIAL)
        assert (read_slots(cut.state, NAME).trial is None) is over
        assert cut.check() == ("1.1.0" if over and outcome == "committed" else "1.0.0")
        if not over:  # the next run of the agent decides it once more
            cut.decide("fell back")
            cut.settle()
            assert read_book(cut.state).updates[NAME].state is State.ROLLED_BACK
        told = cut.tell_ledger()
        assert told == ["committed", "trial", "committed" if over and outcome == "committed" else "rolled back"]
        assert cut.tell_ledger() == told
    assert seen == {False, True}
    ledger.close()


def test_what_the_ledger_had_begun_to_tell_of_an_update_stands_there_once(tmp_path: Path) -> None:
    box = ReleasedBox(tmp_path / "box", Releases(tmp_path / "releases"))
    for version in ("1.0.0", "1.1.0"):
        box.releases.plan(version)
        box.follow()
    ledger, _ = open_ledger(box.state, Clock())
    disk = Disk(box.state)
    begun = len(disk.log)
    box.tell(ledger, 0)
    database, log = disk.database, disk.log
    ledger.close()
    for _, left in torn(log, begun):
        lay_out(box.state, database, left)
        assert box.tell_ledger() == ["committed", "trial"]
