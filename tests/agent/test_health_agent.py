"""Health of a real agent: in the ledger, in the log, in /metrics, and from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from agent_box import PATIENCE_S, Box, wait_until
from prometheus_client.parser import text_string_to_metric_families

from edgemill_agent.ledger import LedgerView
from edgemill_core.ledger import Kind

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def checked(box: Box) -> Box:
    """The box, with a look every second, that does not end by itself."""
    box.settings["stations"][0]["source"]["once"] = False
    box.settings["health"] = {"every": "1s"}
    return box


def told(box: Box) -> dict[tuple[str, str], dict[str, Any]]:
    path = box.state / "health.json"
    found = json.loads(path.read_text())["health"] if path.exists() else []
    return {(one["check"], one["station"]): one for one in found}


def records(box: Box) -> list[dict[str, Any]]:
    view = LedgerView.open(box.state)
    assert view.verify() is None
    return [r.payload.content() for r in view.records() if r.header.kind is Kind.HEALTH and r.payload]


def test_status_says_that_it_runs_what_is_wrong_that_it_hangs_and_that_it_is_gone(
    checked: Box, edgemill_command: Command
) -> None:
    checked.settings["health"] |= {"disk_free": "1000TiB", "temperature_c": 150}
    done = edgemill_command("agent", "status", checked.folder)
    assert (done.returncode, "no agent runs here" in done.stdout) == (3, True)
    agent = checked.start()
    wait_until(lambda: ("disk", "") in told(checked), "the first round")
    done = edgemill_command("agent", "status", checked.state, "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["agent"] == "runs"
    states = {(one["check"], one["station"]): one["state"] for one in found["told"]["health"]}
    assert states["disk", ""] == "alarm"
    assert states["camera", "cell"] == states["engine", "cell"] == "ok"
    assert states["temperature", ""] in ("ok", "unknown")
    assert found["told"]["processes"]["line"] == agent.pid
    done = edgemill_command("agent", "status", checked.state)
    assert "to do: free some space" in done.stdout
    assert f"line {agent.pid}" in done.stdout
    path = checked.state / "health.json"
    os.kill(agent.pid, signal.SIGSTOP)
    said = json.loads(path.read_text())
    said["written"]["monotonic"] -= 100
    path.write_text(json.dumps(said))
    done = edgemill_command("agent", "status", checked.state)
    assert (done.returncode, "HANGS" in done.stdout) == (1, True)
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait()
    done = edgemill_command("agent", "status", checked.state)
    assert (done.returncode, "does not run" in done.stdout) == (3, True)
    assert " verdicts, " in done.stdout


def test_a_state_is_recorded_with_the_first_round_and_each_change(checked: Box) -> None:
    checked.settings["health"]["disk_free"] = "1000TiB"
    agent = checked.start()
    wait_until(lambda: ("disk", "") in told(checked), "the first round")
    agent.send_signal(signal.SIGTERM)
    _, err = agent.communicate(timeout=PATIENCE_S)
    first, *changes = records(checked)
    assert first["states"]["disk/"] == "alarm"
    disk = next(one for one in changes if one["check"] == "disk")
    assert (disk["before"], disk["now"]) == ("ok", "alarm")
    assert "disk is alarm: " in err
    assert "; free some space" in err


def test_a_state_folder_that_cannot_say_it_and_a_source_that_dies_leave_the_line_at_work(checked: Box) -> None:
    checked.state.mkdir()
    (checked.state / ".health.json.new").mkdir()  # in the way
    agent = checked.start()
    wait_until(lambda: checked.recorded() == 60, "verdicts")
    for _ in range(3):
        killed = checked.kill("cell/source")
        wait_until(lambda killed=killed: checked.processes().get("cell/source", killed) != killed, "the restart")
    wait_until(lambda: any(one.get("check") == "camera" for one in records(checked)), "the warning")
    found = next(one for one in records(checked) if one.get("check") == "camera")
    assert (found["now"], "started again" in found["what"]) in (("warning", True), ("alarm", False))
    agent.send_signal(signal.SIGTERM)
    assert checked.end(agent)["stations"]["cell"]["verdicts"] == 60


LEAK = """
import sys, threading, time
kept = []
def leak():
    while True:
        kept.append(b"x" * 500_000)
        time.sleep(0.02)
if "edgemill_agent.workers.engine_worker" in sys.orig_argv:
    threading.Thread(target=leak, daemon=True).start()
"""


def test_a_worker_that_leaks_is_restarted_between_two_parts(checked: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    (checked.folder / "leak").mkdir()
    (checked.folder / "leak/sitecustomize.py").write_text(LEAK)
    monkeypatch.setenv("PYTHONPATH", str(checked.folder / "leak"))
    checked.settings["health"] |= {"memory_window": "6s", "memory_grown_mb": 20}
    checked.settings["stations"][0]["source"] |= {"loop": True}
    agent = checked.start()
    wait_until(lambda: any("restarted" in one for one in records_or_none(checked)), "a restart")
    before = checked.recorded()
    wait_until(lambda: checked.recorded() > before + 20, "the line to go on")
    agent.send_signal(signal.SIGTERM)
    account = checked.end(agent)["stations"]["cell"]
    mended = next(one for one in records(checked) if "restarted" in one)
    assert (mended["check"], mended["restarted"]) == ("memory", "cell/engine")
    assert "grows by" in mended["what"]
    assert account["engine_restarts"] == account["late"] == 0, "another one took its place"
    assert account["safe"] == 0


def records_or_none(box: Box) -> list[dict[str, Any]]:
    return records(box) if (box.state / "ledger.db").exists() and box.recorded() else []


def test_health_is_served_to_prometheus(checked: Box) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    checked.settings |= {"http": {"port": port}}
    checked.settings["health"]["disk_free"] = "1000TiB"
    agent = checked.start()

    def health() -> dict[tuple[str, str], float]:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as page:
                families = list(text_string_to_metric_families(page.read().decode()))
        except URLError:
            return {}
        samples = [s for family in families for s in family.samples if s.name == "edgemill_health"]
        return {(s.labels["check"], s.labels["station"]): s.value for s in samples}

    wait_until(lambda: health().get(("disk", "")) == 2, "the alarm")
    found = health()
    assert found["health", ""] == 0
    assert found["camera", "cell"] == found["engine", "cell"] == 0
    assert found["temperature", ""] in (0, 1, 2, 3)
    agent.send_signal(signal.SIGTERM)
    checked.end(agent)
