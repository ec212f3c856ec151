"""Who runs while a part is judged: simulated turns, and a real newcomer that stands."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from agent_box import Box, wait_until

from edgemill_agent.line.turns import Turns


@pytest.mark.parametrize(("judged_s", "free_s"), [(0.012, 0.008), (0.001, 0.02), (0.05, 0.05), (0.08, 0.02)])
def test_between_parts_there_is_time_enough_so_it_always_stands_meanwhile(judged_s: float, free_s: float) -> None:
    turns, now = Turns(), 0.0
    turns.go_on(now)
    for _ in range(500):
        now += free_s
        assert turns.stand(now)
        assert turns.stand(now + judged_s / 2), "still the same part"
        now += judged_s
        turns.go_on(now)


@pytest.mark.parametrize("rests", [True, False])
@pytest.mark.parametrize("judged_s", [0.001, 0.012, 0.3])
def test_where_the_engine_never_rests_it_gets_its_share_all_the_same(judged_s: float, rests: bool) -> None:
    """Also where the next part is asked about before anybody could say that none is."""
    turns, now, ran = Turns(), 0.0, 0.0
    turns.go_on(now)
    while now < 60:
        standing = turns.stand(now)
        now += judged_s
        ran += 0 if standing else judged_s
        if rests:
            turns.go_on(now)
    assert 0.08 < ran / now < 0.3


def test_a_newcomer_stands_while_a_part_is_judged(box: Box) -> None:
    station = box.settings["stations"][0]
    station |= {"deadline_ms": 60_000, "hang_ms": 60_000}
    station["source"] |= {"once": False, "loop": True}
    agent = box.start()
    wait_until(lambda: box.recorded() > 20, "verdicts")
    engine = box.kill("cell/engine", signal.SIGSTOP)  # it is at a part, and stays there
    station["runtime"] = "openvino"
    box.write()
    os.kill(agent.pid, signal.SIGHUP)
    wait_until(lambda: "cell/newcomer" in box.processes(), "the newcomer")
    newcomer = box.processes()["cell/newcomer"]
    os.kill(engine, signal.SIGCONT)
    wait_until(lambda: box.processes().get("cell/engine") == newcomer, "it to take over, for it stood now and then")
    assert "T" not in Path(f"/proc/{newcomer}/stat").read_text().rsplit(")", 1)[1].split()[0]
    agent.terminate()
    account = box.end(agent)["stations"]["cell"]
    assert account["late"] == account["safe"] == 0
