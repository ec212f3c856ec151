"""Figures over HTTP, read by Prometheus' own parser."""

from __future__ import annotations

import os
import signal
import socket
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from agent_box import PATIENCE_S, Box, wait_until
from prometheus_client.parser import text_string_to_metric_families

Figures = dict[tuple[str, ...], float]


@pytest.fixture
def port(box: Box) -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = int(free.getsockname()[1])
    box.settings["http"] = {"port": found}
    return found


def read(port: int) -> Figures:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as page:
            text = page.read().decode()
    except URLError:
        return {}
    families = text_string_to_metric_families(text)
    return {
        (s.name, *(value for _, value in sorted(s.labels.items()))): s.value
        for family in families
        for s in family.samples
    }


def test_what_is_counted_is_served_without_a_broker_and_a_hung_line_shows(box: Box, port: int) -> None:
    box.settings["stations"][0]["source"]["once"] = False
    agent = box.start()
    wait_until(lambda: read(port).get(("edgemill_verdicts_total", "pass", "cell")) == 30, "the verdicts")
    figures = read(port)
    assert figures[("edgemill_verdicts_total", "reject", "cell")] == 30
    assert figures[("edgemill_late_total", "cell")] == 0
    assert (
        0 < figures[("edgemill_latency_seconds", "0.5", "cell")] < figures[("edgemill_latency_seconds", "0.99", "cell")]
    )
    assert figures[("edgemill_line_memory_bytes",)] > 1e7
    assert figures[("edgemill_broker_connected",)] == figures[("edgemill_not_acknowledged",)] == 0
    box.kill("cell/engine")
    wait_until(lambda: read(port)[("edgemill_restarts_total", "cell", "engine")] == 1, "the restart")
    os.kill(agent.pid, signal.SIGSTOP)
    wait_until(lambda: read(port)[("edgemill_age_seconds",)] > 7, "the age to grow")
    os.kill(agent.pid, signal.SIGCONT)
    wait_until(lambda: read(port)[("edgemill_age_seconds",)] < 5, "the line to go on")
    agent.send_signal(signal.SIGTERM)
    assert box.end(agent)["stations"]["cell"]["verdicts"] == 60


def test_a_port_that_is_taken_is_said_and_stops_nothing(box: Box, port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        agent = box.start()
        _, err = agent.communicate(timeout=PATIENCE_S)
    assert agent.returncode == 0
    assert f"no figures at 127.0.0.1:{port}" in err
    assert len(box.verdicts()) == 60
