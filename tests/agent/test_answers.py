"""In which order parts are recorded, and where a station goes on after that."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent_box import Box

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import COUNTED, open_ledger
from edgemill_agent.line.answers import Answers
from edgemill_agent.line.journal import Journal
from edgemill_agent.line.part import Part, StationAccount
from edgemill_agent.settings import read_settings


def test_a_part_that_is_recorded_behind_later_ones_takes_no_cursor_back(box: Box, tmp_path: Path) -> None:
    (settings,) = read_settings(box.write()).stations
    ledger, _ = open_ledger(tmp_path / "state", Clock())

    async def run() -> None:
        journal = Journal(ledger, lambda _: None, lambda _: None)
        task = asyncio.create_task(journal.run())
        heard = {"say": lambda _: None, "reply": lambda _: None, "was_told": lambda: None}
        answers = Answers(settings, (), StationAccount(), journal, Clock(), **heard)
        parts = [Part(0, count=count, number=await journal.number(), item=f"{count:03d}") for count in range(1, 6)]
        for index in (0, 2, 3, 1):  # the second one waited for the ejector, the fifth is not decided
            parts[index].decision = "pass"
            answers.give(parts[index], {"decision": "pass", "reasons": []}, {})
        await journal.flushed()
        await journal.close(task)

    asyncio.run(run())
    again, opened = open_ledger(tmp_path / "state", Clock())
    again.close()
    assert (opened.cursors["cell"], opened.cursors["cell" + COUNTED]) == ("004", "4")
