"""Group commit on a real ledger whose disk fills up and is freed again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import Ages, Entry, Ledger, LedgerView, open_ledger
from edgemill_agent.ledger.store import BLOCK
from edgemill_agent.line.journal import Journal
from edgemill_core.ledger import EVICTED_FIRST, Kind


def entry(number: int) -> Entry:
    return Entry(Kind.VERDICT, {"text": "x" * 200}, number, "s", "pass", f"{number:06d}")


def room(ledger: Ledger, more: int) -> None:
    """Let the database grow by so many pages from now on."""
    (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
    ledger._connection.execute(f"PRAGMA max_page_count = {pages + more}")


async def produce(journal: Journal, count: int) -> None:
    for _ in range(count):
        journal.put(entry(await journal.number()))
        await asyncio.sleep(0)


@pytest.mark.parametrize("held_most", [40, 10_000])
def test_a_full_disk_holds_then_counts_and_everything_is_accounted_for(tmp_path: Path, held_most: int) -> None:
    ledger, _ = open_ledger(tmp_path, Clock())
    told: list[str] = []

    async def run() -> None:
        journal = Journal(ledger, lambda _: None, told.append, held_most)
        task = asyncio.create_task(journal.run())
        await produce(journal, 50)
        await journal.flushed()
        room(ledger, 2)
        await produce(journal, 300)
        for _ in range(200):
            if told:
                break
            await asyncio.sleep(0.01)
        room(ledger, 100_000)
        await produce(journal, 50)
        await journal.close(task)

    asyncio.run(run())
    view = LedgerView.open(tmp_path)
    account = view.account()
    assert view.verify() is None
    assert "cannot be written" in told[0]
    assert told[-1] == ""
    assert account.delivered + account.lost == 400
    assert (account.lost > 0) == (held_most == 40)
    assert not account.doubled
    assert account.void == 0


def test_more_numbers_than_a_block_are_given_once_each(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock())
    commits: list[int] = []

    async def run() -> None:
        journal = Journal(ledger, commits.append, lambda _: None)
        task = asyncio.create_task(journal.run())
        await produce(journal, 2 * BLOCK + 7)
        journal.acknowledge(5)
        await journal.close(task)

    asyncio.run(run())
    view = LedgerView.open(tmp_path)
    assert [r.header.number for r in view.records()] == list(range(1, 2 * BLOCK + 8))
    assert commits[-1] == 2 * BLOCK + 7
    assert len(commits) < 2 * BLOCK
    assert view.acknowledged() == 5


def test_what_the_disk_is_still_at_is_not_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, _ = open_ledger(tmp_path, Clock())
    append = ledger.append

    def slow(entries: Sequence[Entry]) -> None:
        time.sleep(0.2)
        append(entries)

    monkeypatch.setattr(ledger, "append", slow)
    commits: list[int] = []

    async def run() -> None:
        journal = Journal(ledger, commits.append, lambda _: None)
        task = asyncio.create_task(journal.run())
        await produce(journal, 1)
        await asyncio.sleep(0.05)
        await journal.flushed()
        assert commits == [1]
        await journal.close(task)

    asyncio.run(run())


def test_numbers_without_a_verdict_are_void_at_the_close(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock())

    async def run() -> None:
        journal = Journal(ledger, lambda _: None, lambda _: None)
        task = asyncio.create_task(journal.run())
        for index in range(6):
            number = await journal.number()
            if index % 2:
                journal.put(entry(number))
        await journal.close(task)

    asyncio.run(run())
    account = LedgerView.open(tmp_path).account()
    assert (account.delivered, account.void) == (3, 3)


def test_a_long_run_forgets_blocks_whose_numbers_are_all_accounted_for(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock())
    for_ever = dict.fromkeys(EVICTED_FIRST, 1e12)

    async def house(journal: Journal, headers: float) -> int:
        await journal.keep_house(3600, Ages(for_ever, headers), delivered=False)
        return LedgerView.open(tmp_path).first()[0]

    async def run() -> None:
        journal = Journal(ledger, lambda _: None, print)
        task = asyncio.create_task(journal.run())
        await produce(journal, 100)
        waiting = await journal.number()
        await produce(journal, 3 * BLOCK)
        await journal.flushed()
        await house(journal, 1e12)
        assert await house(journal, 60) == 0  # one number of the first block may still be recorded
        journal.put(entry(waiting))
        await produce(journal, 1)
        await journal.flushed()
        assert await house(journal, 60) == 3 * BLOCK - 1  # the one that came late is recorded behind them
        await journal.close(task)

    asyncio.run(run())
    view = LedgerView.open(tmp_path)
    assert view.verify() is None
    assert view.account().delivered == 100 + 1 + 3 * BLOCK + 1
    again, opened = open_ledger(tmp_path, Clock())
    assert opened.void == ()
    again.close()


def test_whoever_waits_for_a_verdict_is_told_once_that_it_is_on_the_disk_or_lost(tmp_path: Path) -> None:
    ledger, _ = open_ledger(tmp_path, Clock())
    heard: list[tuple[int, bool]] = []

    async def run() -> None:
        trouble = asyncio.Event()
        journal = Journal(ledger, lambda _: None, lambda what: trouble.set() if what else None, held_most=40)
        task = asyncio.create_task(journal.run())
        for turn in range(200):
            number = await journal.number()
            journal.put(entry(number), lambda so, number=number: heard.append((number, so)))  # type: ignore[misc]
            if turn == 0:
                assert not heard  # nothing was committed yet
            if turn == 20:
                await journal.flushed()
                assert len(heard) == 21
                room(ledger, 2)
            await asyncio.sleep(0)
        await trouble.wait()
        room(ledger, 100_000)
        await journal.close(task)

    asyncio.run(run())
    view = LedgerView.open(tmp_path)
    assert {number for number, so in heard if so} == {r.header.number for r in view.records() if r.header.number}
    assert len(heard) == 200
    assert len([number for number, so in heard if not so]) == view.account().lost > 0
