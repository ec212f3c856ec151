"""The ledger on a real disk: killed, locked, full, altered."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, Ledger, LedgerView, open_ledger
from edgemill_agent.ledger.store import BLOCK
from edgemill_core.errors import LedgerError
from edgemill_core.ledger import Kind

WRITER = """
import sys
from pathlib import Path
from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Entry, open_ledger
from edgemill_core.ledger import Kind
ledger, _ = open_ledger(Path(sys.argv[1]), Clock())
while True:
    first, last = ledger.reserve()
    for number in range(first, last + 1, 7):
        group = range(number, min(number + 7, last + 1))
        ledger.append([Entry(Kind.VERDICT, {"n": n}, n, "s", "pass", f"{n:09d}") for n in group])
        print(group[-1], flush=True)
"""


def verdicts(first: int, count: int) -> list[Entry]:
    return [Entry(Kind.VERDICT, {"n": n}, n, "s", "pass", f"{n:05d}") for n in range(first, first + count)]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    opened, _ = open_ledger(tmp_path, Clock())
    return opened


def test_what_was_recorded_is_there_again_in_order(ledger: Ledger, tmp_path: Path) -> None:
    first, _ = ledger.reserve()
    ledger.append(verdicts(first, 3))
    ledger.append(verdicts(first + 3, 2))
    ledger.acknowledge(4)
    ledger.close()
    again, found = open_ledger(tmp_path, Clock())
    view = LedgerView.open(tmp_path)
    assert [record.header.number for record in view.records()] == [1, 2, 3, 4, 5]
    assert [record.payload.content() for record in view.after(3, 1) if record.payload] == [{"n": 4}]
    assert (found.void, found.cursors, found.acknowledged) == ((), {"s": "00005"}, 4)
    assert view.verify() is None
    assert again.position == 5


def test_numbers_are_never_handed_out_twice(ledger: Ledger, tmp_path: Path) -> None:
    assert ledger.reserve() == (1, BLOCK)
    assert ledger.reserve() == (BLOCK + 1, 2 * BLOCK)
    ledger.close()
    again, _ = open_ledger(tmp_path, Clock())
    assert again.reserve() == (2 * BLOCK + 1, 3 * BLOCK)


def test_numbers_given_and_not_used_are_declared_at_the_close(ledger: Ledger, tmp_path: Path) -> None:
    ledger.reserve()
    ledger.append(verdicts(1, 2))
    ledger.close([3, 4, 9])
    assert LedgerView.open(tmp_path).account().void == 3


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_loses_nothing_that_was_committed_and_declares_the_rest(tmp_path: Path, seed: int) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    told = 0
    for told in map(int, writer.stdout):
        if told > 400 + 350 * seed:
            break
    writer.send_signal(signal.SIGKILL)
    told = max([told, *map(int, writer.stdout.read().split())])
    writer.wait()
    writer.stdout.close()
    opened, found = open_ledger(tmp_path, Clock())
    view = LedgerView.open(tmp_path)
    account = view.account()
    assert view.verify() is None
    assert account.delivered >= told
    assert not account.doubled
    first, _ = opened.reserve()
    assert account.delivered + account.void == first - 1
    assert found.void == (((account.delivered + 1), first - 1),)
    assert int(found.cursors["s"]) == account.delivered


def test_two_agents_on_one_ledger(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="another agent") as caught:
        open_ledger(tmp_path, Clock())
    assert str(os.getpid()) in str(caught.value)
    ledger.close()
    open_ledger(tmp_path, Clock())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(LedgerError, match="cannot be written") as caught:
        open_ledger(tmp_path / "taken", Clock())
    assert "state:" in str(caught.value)


def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"no database" * 1000)
    for _ in range(2):
        with pytest.raises(LedgerError, match="cannot be opened"):
            open_ledger(tmp_path, Clock())


def test_a_ledger_of_a_newer_edgemill_is_left_alone(ledger: Ledger, tmp_path: Path) -> None:
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LedgerError, match="newer"):
        open_ledger(tmp_path, Clock())


def test_there_is_no_ledger_to_read(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger to read"):
        LedgerView.open(tmp_path)


def _fill(ledger: Ledger, first: int) -> None:
    for start in range(first, first + 900, 30):
        ledger.append(verdicts(start, 30))


def test_a_full_disk_is_an_error_that_loses_nothing(ledger: Ledger, tmp_path: Path) -> None:
    first, _ = ledger.reserve()
    ledger.append(verdicts(first, 10))
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LedgerError, match="cannot be written"):
        _fill(ledger, first + 10)
    view = LedgerView.open(tmp_path)
    before = view.account().delivered
    assert view.verify() is None
    ledger._connection.execute(f"PRAGMA max_page_count = {pages * 100}")
    ledger.append(verdicts(first + before, 1))
    assert view.account().delivered == before + 1
    assert view.verify() is None


ALTERED = {
    "UPDATE header SET decision = 'reject' WHERE position = 3": (3, "header"),
    "UPDATE header SET utc_ns = utc_ns + 1 WHERE position = 3": (3, "header"),
    "UPDATE header SET link = replace(link, substr(link, 1, 1), 'x') WHERE position = 3": (3, "header"),
    "UPDATE payload SET body = '{}' WHERE position = 3": (3, "payload"),
    "UPDATE payload SET salt = zeroblob(16) WHERE position = 3": (3, "payload"),
    "DELETE FROM header WHERE position = 3": (4, "missing"),
    "DELETE FROM payload WHERE position = 3": (3, "no eviction"),
    "DELETE FROM header WHERE position > 3": (4, "gone at the end"),
    "UPDATE header SET kind = 'nonsense' WHERE position = 3": (0, "cannot be read"),
}


@pytest.mark.parametrize("statement", ALTERED)
def test_whatever_is_altered_is_found_and_named(ledger: Ledger, tmp_path: Path, statement: str) -> None:
    ledger.append([Entry(Kind.START, {"bundle": "b"}), *verdicts(1, 5)])
    ledger.acknowledge(6)
    ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(statement)
    connection.close()
    fault = LedgerView.open(tmp_path).verify()
    position, word = ALTERED[statement]
    assert fault is not None
    assert (fault.position, word in fault.what) == (position, True)
