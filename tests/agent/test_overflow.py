"""Parts that come while the disk gives no numbers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent_box import Box

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import LedgerView, open_ledger
from edgemill_agent.line.journal import Journal
from edgemill_agent.line.part import Overflow
from edgemill_agent.line.station import Station
from edgemill_agent.settings import read_settings
from edgemill_core.ledger import Kind

MOST = 20


def test_what_memory_does_not_hold_is_turned_away() -> None:
    overflow = Overflow(MOST)
    assert not overflow.turns_away(MOST - 1, 5)
    assert [overflow.turns_away(MOST, count) for count in (6, 7, None, 9)] == [True] * 4
    assert overflow.taken() == (6, 9, 4)
    assert overflow.taken() == (0, 0, 0)
    assert overflow.turns_away(MOST, 12)
    assert overflow.taken() == (12, 12, 1)


def test_parts_without_a_number_are_bounded_and_the_others_declared(box: Box) -> None:
    box.settings["stations"][0] |= {
        "deadline_ms": 60_000,
        "trigger": {"mqtt": {"url": "mqtt://127.0.0.1"}, "topic": "parts"},
    }
    (settings,) = read_settings(Path(box.write())).stations
    ledger, _ = open_ledger(box.state, Clock())
    ledger._connection.execute("CREATE TRIGGER full BEFORE INSERT ON block BEGIN SELECT RAISE(ABORT, 'full'); END")
    said: list[str] = []

    async def use() -> None:
        journal = Journal(ledger, lambda _: None, said.append)
        station = Station(settings, "", box.state, journal, Clock(), said.append, 15.0, lambda: None)
        station._overflow = Overflow(MOST)
        task, numbers = asyncio.create_task(journal.run()), asyncio.create_task(station._number())
        for count in range(1, MOST + 8):
            station._fired(count, Clock().monotonic_ns(), None)
            await asyncio.sleep(0)
        assert len(station._unnumbered) == len(station._waiting) == MOST
        assert station.account.missed == 0  # the disk takes nothing yet
        ledger._connection.execute("DROP TRIGGER full")
        while station._unnumbered:
            await asyncio.sleep(0.01)
        assert [part.number for part in station._waiting] == list(range(1, MOST + 1))
        assert station._owed == 7  # their pictures are nobody's
        station._fired(MOST + 8, Clock().monotonic_ns(), None)
        while station._unnumbered:
            await asyncio.sleep(0.01)
        numbers.cancel()
        for part in station._waiting:
            part.disarm()
        await journal.close(task)

    asyncio.run(use())
    view = LedgerView.open(box.state)
    (missed,) = [record for record in view.records() if record.header.kind is Kind.MISSED]
    assert missed.payload is not None
    told = missed.payload.content()
    assert (told["first"], told["last"], told["parts"]) == (MOST + 1, MOST + 7, 7)
    assert "memory for parts ran out" in told["why"]
    assert view.cursors()["cell/count"] == str(MOST + 7)
    view.close()
