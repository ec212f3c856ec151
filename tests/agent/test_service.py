"""The agent under a supervisor: the unit that is written, and what a real socket is told."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from agent_box import PATIENCE_S, Box, wait_until

from edgemill_agent.processes.supervisor import Supervisor
from edgemill_agent.service_unit import NAME, Service, unit_text

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
    assert f"agent run --log json {box.folder / 'agent.yaml'}" in unit.read_text()
    assert "systemctl --user" in done.stdout
    if shutil.which("systemd-analyze") is None:
        pytest.skip("SKIPPED: systemd-analyze is not installed, so nobody else has read the unit")
    checked = subprocess.run(["systemd-analyze", "verify", "--user", unit], capture_output=True, text=True)
    assert NAME not in checked.stderr, checked.stderr


def test_odd_paths_are_written_so_that_systemd_reads_them_back() -> None:
    odd = Path('/etc/50% "x" $Y')
    text = unit_text(Service(["/opt/a b/python", "-m"], odd / "agent.yaml", odd / "state", 10, "edgemill"))
    assert 'ExecStart="/opt/a b/python" -m "/etc/50%% \\"x\\" $$Y/agent.yaml"' in text
    assert "User=edgemill" in text
    assert 'ReadWritePaths="-/etc/50%% \\"x\\" $Y/state"' in text
    assert "TimeoutStopSec=35" in text
    assert "WantedBy=multi-user.target" in text


def test_the_unit_of_the_system_is_one_that_systemd_takes_and_gives_what_the_line_needs(
    box: Box, edgemill_command: Command
) -> None:
    user = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_uid)
    done = edgemill_command("agent", "install", box.write(), "--user", user, "--out", box.folder / "units")
    assert done.returncode == 0, done.stderr
    assert f"install --directory --owner {user} {box.state}" in done.stdout
    unit = box.folder / "units" / NAME
    said = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)
    assert said["User"] == user
    assert said["ReadWritePaths"] == f"-{box.state}"
    assert (said["OOMPolicy"], said["LimitRTPRIO"], said["Restart"]) == ("continue", "10", "on-failure")
    assert "ProtectClock" not in said  # or adjtimex(2) could not be asked
    if shutil.which("systemd-analyze") is None:
        pytest.skip("SKIPPED: systemd-analyze is not installed, so nobody else has read the unit")
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert NAME not in checked.stderr, checked.stderr


STEP = """
import os, resource, sys, threading
from edgemill_agent.processes.priority import step_forward
granted = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_RTPRIO, (granted, granted))
got, seen = step_forward(), []
thread = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(0)))
thread.start(); thread.join()
print(got, os.sched_getscheduler(0) & 3, seen[0] & 3)
"""


@pytest.mark.parametrize("granted", [0, 5, 50])
def test_the_line_takes_the_priority_that_it_was_granted_and_its_threads_do_not(granted: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEP, str(granted)], capture_output=True, text=True, timeout=PATIENCE_S
    )
    if "not allowed to raise" in done.stderr or (granted and done.stdout.startswith("0 ")):
        pytest.skip("SKIPPED: no real-time priority is to be had on this machine")
    got, own, of_thread = map(int, done.stdout.split())
    assert got == min(granted, 10)
    assert own == (os.SCHED_FIFO if granted else os.SCHED_OTHER)
    assert of_thread == os.SCHED_OTHER


def test_the_kernel_takes_a_worker_before_the_line_when_memory_runs_out(box: Box) -> None:
    box.settings["stations"][0]["source"]["once"] = False
    agent = box.start()
    wait_until(lambda: box.recorded() == 60, "verdicts")
    own = int(Path(f"/proc/{agent.pid}/oom_score_adj").read_text())
    for name in ("cell/source", "cell/engine"):
        assert int(Path(f"/proc/{box.processes()[name]}/oom_score_adj").read_text()) > own
    agent.send_signal(signal.SIGTERM)
    box.end(agent)


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
