"""The agent under a supervisor: the unit that is written, and what a real socket is told."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from agent_box import PATIENCE_S, Box

from edgemill_agent.processes.supervisor import Supervisor
from edgemill_agent.service_unit import NAME, unit_text

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(str(tmp_path / "notify"))
    made.settimeout(PATIENCE_S)
    return made


def hear_nothing(listener: socket.socket) -> None:
    """Until half a second is still; what was on its way comes first."""
    listener.settimeout(0.5)
    with suppress(TimeoutError):
        while True:
            listener.recv(100)


def test_a_real_agent_says_ready_then_that_it_lives_then_that_it_stops(
    box: Box, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.settings["stations"][0]["source"]["once"] = False
    monkeypatch.setenv("NOTIFY_SOCKET", str(listener.getsockname()))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    with listener:
        agent = box.start()
        told = [listener.recv(100).decode() for _ in range(5)]
        assert set(told) == {"READY=1", "WATCHDOG=1"}
        os.kill(agent.pid, signal.SIGSTOP)
        hear_nothing(listener)
        os.kill(agent.pid, signal.SIGCONT)
        listener.settimeout(PATIENCE_S)
        assert listener.recv(100) == b"WATCHDOG=1"
        agent.send_signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE_S
        while listener.recv(100) != b"STOPPING=1":
            assert time.monotonic() < until
        box.end(agent)


@pytest.mark.parametrize(
    ("environment", "beat_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "4000000"}, None),
        ({"NOTIFY_SOCKET": "/nowhere"}, None),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "4000000"}, 2.0),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "7"}, 2.0),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "8"}, None),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "0"}, None),
    ],
)
def test_it_beats_only_where_somebody_waits_for_it(environment: dict[str, str], beat_s: float | None) -> None:
    supervisor = Supervisor(environment, 7)
    assert supervisor.beat_s == beat_s
    supervisor.alive()  # to nobody


def test_a_name_in_the_abstract_space_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0edgemill-test-{os.getpid()}")
        Supervisor({"NOTIFY_SOCKET": f"@edgemill-test-{os.getpid()}"}, 1).ready()
        assert listener.recv(100) == b"READY=1"


def test_a_supervisor_that_takes_nothing_holds_nobody_up(listener: socket.socket) -> None:
    with listener:
        supervisor = Supervisor({"NOTIFY_SOCKET": str(listener.getsockname())}, 1)
        start = time.monotonic()
        for _ in range(2000):  # many more than its queue holds
            supervisor.alive()
        assert time.monotonic() - start < PATIENCE_S / 4


def test_the_unit_is_one_that_systemd_takes(box: Box, edgemill_command: Command) -> None:
    done = edgemill_command("agent", "install", box.write(), "--out", box.folder / "units")
    assert done.returncode == 0, done.stderr
    unit = box.folder / "units" / NAME
    assert f"agent run {box.folder / 'agent.yaml'}" in unit.read_text()
    assert "systemctl --user" in done.stdout
    if shutil.which("systemd-analyze") is None:
        pytest.skip("SKIPPED: systemd-analyze is not installed, so nobody else has read the unit")
    checked = subprocess.run(["systemd-analyze", "verify", "--user", unit], capture_output=True, text=True)
    assert NAME not in checked.stderr, checked.stderr


def test_odd_paths_are_written_so_that_systemd_reads_them_back() -> None:
    text = unit_text(["/opt/a b/python", "-m"], Path('/etc/50% "x" $Y/agent.yaml'), 10, "edgemill")
    assert 'ExecStart="/opt/a b/python" -m "/etc/50%% \\"x\\" $$Y/agent.yaml"' in text
    assert "User=edgemill" in text
    assert "TimeoutStopSec=35" in text
    assert "WantedBy=multi-user.target" in text


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (["--user", "root"], "an ordinary user"),
        (["--user", "nobody-of-that-name"], "no such user"),
        (["--out", "/proc/edgemill"], "cannot be written"),
    ],
)
def test_what_cannot_be_installed_is_said(box: Box, edgemill_command: Command, told: list[str], why: str) -> None:
    done = edgemill_command("agent", "install", box.write(), *told)
    assert done.returncode == 2
    assert why in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_are_wrong_are_found_at_the_installation(box: Box, edgemill_command: Command) -> None:
    box.settings["stations"][0]["dedline_ms"] = 5
    done = edgemill_command("agent", "install", box.write(), "--out", box.folder / "units")
    assert done.returncode == 2
    assert "dedline_ms" in done.stderr
    assert not (box.folder / "units").exists()
