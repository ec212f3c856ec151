"""Rounds beside a loop that must not wait for them."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgemill_agent.health.base import Check
from edgemill_agent.health.facts import Facts
from edgemill_agent.health.finding import Finding, State, ok
from edgemill_agent.ledger import Entry
from edgemill_agent.line import health
from edgemill_agent.line.health import HealthRounds
from edgemill_agent.settings import AgentSettings

SETTINGS = {
    "device": {"id": "box"},
    "stations": [{"name": "cell", "bundle": "b", "source": {"folder": "p"}}],
    "health": {"every": "1s"},
}


class Hangs(Check):
    name = "hangs"
    until = threading.Event()

    def look(self, facts: Facts) -> Finding:
        self.until.wait()
        return ok("back")


def facts() -> Facts:
    now_s = time.monotonic()
    return Facts(now_s, time.time(), Path("/nowhere"), {}, "", None, 0, None, {}, {})


def test_checks_that_hang_hold_up_nobody_and_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = AgentSettings.model_validate({**SETTINGS, "state": tmp_path})
    check = Hangs(settings)
    monkeypatch.setattr(health, "checks_for", lambda settings: [check])
    monkeypatch.setattr(health, "STALE_S", 0.2)
    recorded: list[Entry] = []

    async def line() -> tuple[float, list[Any], list[Any]]:
        rounds = HealthRounds(settings, facts, dict, lambda process: None, recorded.append)
        task = asyncio.create_task(rounds.run())
        worst, before = 0.0, time.monotonic()
        while ("health", "", State.ALARM) not in rounds.states():
            await asyncio.sleep(0.01)
            worst, before = max(worst, time.monotonic() - before), time.monotonic()
        hung = rounds.states()
        check.until.set()
        while ("health", "", State.OK) not in rounds.states():
            await asyncio.sleep(0.01)
        task.cancel()
        return worst, hung, rounds.states()

    worst, hung, after = asyncio.run(line())
    assert worst < 0.9  # the round itself took longer
    assert hung == [("health", "", 2)]
    assert ("hangs", "", 0) in after
    assert recorded[0].body["check"] == "health"
    assert (tmp_path / "health.json").exists()


def test_a_round_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = AgentSettings.model_validate({**SETTINGS, "state": tmp_path})
    monkeypatch.setattr(health, "checks_for", lambda settings: [])
    calls: list[int] = []

    def figures() -> dict[str, Any]:
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("a surprise")
        return {}

    async def line() -> None:
        rounds = HealthRounds(settings, facts, figures, lambda process: None, lambda entry: None)
        task = asyncio.create_task(rounds.run())
        while not (tmp_path / "health.json").exists():
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(line(), 30))
    assert len(calls) == 2
