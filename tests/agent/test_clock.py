"""A wall clock that starts in 1970 and jumps by years moves neither numbers nor durations, and is declared."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from agent_box import Box

from edgemill_agent.clock import JUMP_S, Clock, ClockWatch
from edgemill_agent.ledger import Entry, LedgerView, open_ledger
from edgemill_agent.line.line import Line
from edgemill_agent.settings import read_settings
from edgemill_core.ledger import Kind

YEAR_NS = 365 * 86400 * 10**9


class SetClock(Clock):
    """A clock that is set by hand; the monotonic one runs on."""

    def __init__(self, jumps: list[tuple[float, int]]) -> None:
        super().__init__()
        object.__setattr__(self, "_start", time.monotonic_ns())
        object.__setattr__(self, "_jumps", jumps)

    def utc_ns(self) -> int:
        gone = time.monotonic_ns() - self._start
        return gone + sum(by for after, by in self._jumps if gone > after * 1e9)


@pytest.mark.parametrize("seconds", [YEAR_NS / 1e9, -YEAR_NS / 1e9, JUMP_S + 0.1, -JUMP_S - 0.1])
def test_a_jump_is_told_once(seconds: float) -> None:
    jumps: list[tuple[float, int]] = []
    watch = ClockWatch(SetClock(jumps))
    assert watch.look() is None
    jumps.append((-1, int(seconds * 1e9)))
    assert watch.look() == pytest.approx(seconds, abs=1e-2)
    assert watch.look() is None


def test_a_slow_slip_is_no_jump() -> None:
    jumps: list[tuple[float, int]] = []
    watch = ClockWatch(SetClock(jumps))
    for _ in range(100):
        jumps.append((-1, 10**9))
        assert watch.look() is None


async def _run_until(box: Box, path: Path, clock: Clock, records: dict[Kind, int]) -> dict[str, Any]:
    line = Line(read_settings(path), clock)
    running = asyncio.create_task(line.run())
    seen: Counter[Kind] = Counter()
    while not running.done() and any(seen[kind] < count for kind, count in records.items()):
        await asyncio.sleep(0.2)
        if (box.state / "processes.json").exists():
            seen = Counter(record.header.kind for record in LedgerView.open(box.state).records())
    line.stop()
    return await running


def test_a_line_whose_clock_jumps_while_it_runs(box: Box) -> None:
    clock = SetClock([(0.6, 56 * YEAR_NS), (1.4, -YEAR_NS)])
    source = box.settings["stations"][0]["source"]
    source["once"] = False
    path = box.write()
    account = asyncio.run(_run_until(box, path, clock, {Kind.VERDICT: 60, Kind.CLOCK: 2}))
    assert account["stations"]["cell"]["verdicts"] == 60
    assert account["stations"]["cell"]["p99"] < 10_000
    records = list(LedgerView.open(box.state).records())
    assert [r.header.number for r in records if r.header.number] == list(range(1, 61))
    jumps = [r.payload.content()["jump_s"] for r in records if r.header.kind is Kind.CLOCK and r.payload]
    assert jumps == [pytest.approx(56 * YEAR_NS / 1e9, abs=0.1), pytest.approx(-YEAR_NS / 1e9, abs=0.1)]
    assert LedgerView.open(box.state).verify() is None


def test_a_jump_between_two_runs_of_one_boot_is_known(tmp_path: Path) -> None:
    clock = SetClock([])
    ledger, found = open_ledger(tmp_path, clock)
    assert found.clock_offset is None
    ledger.append([Entry(Kind.START, {})])
    ledger.close()
    later = SetClock([(-1, YEAR_NS)])
    object.__setattr__(later, "_start", clock._start)
    ledger, found = open_ledger(tmp_path, later)
    assert ClockWatch(later, found.clock_offset).look() == pytest.approx(YEAR_NS / 1e9, abs=1)
    ledger.close()
