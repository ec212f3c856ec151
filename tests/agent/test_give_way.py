"""An update takes what everything else leaves, and so does whatever it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edgemill_agent.line.line import Line

LOOK = """
import ctypes, json, os, platform, subprocess, sys, threading
from edgemill_agent.processes.priority import give_way
waits = threading.Event()
thread = threading.Thread(target=waits.wait, daemon=True)
thread.start()
give_way()
number = {"x86_64": 252, "aarch64": 31}[platform.machine()]
disk = ctypes.CDLL(None).syscall(number, 1, 0) >> 13
of = [os.sched_getscheduler(one) for one in (0, thread.native_id)]
child = "import os; print(os.sched_getscheduler(0), os.nice(0))"
said = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
print(json.dumps({"of": of, "nice": os.nice(0), "disk": disk, "child": said.split()}))
"""


def test_every_thread_and_every_child_gives_way() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, check=True)
    idle, nicest, disk_when_idle = os.SCHED_IDLE, 19, 3
    assert json.loads(done.stdout) == {
        "of": [idle, idle],
        "nice": nicest,
        "disk": disk_when_idle,
        "child": [str(idle), str(nicest)],
    }


def test_the_line_waits_for_no_disk_to_say_which_processes_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that looks after updates comes and goes, and writes much meanwhile."""
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("the line waits for the disk"))
    line = SimpleNamespace(_processes=lambda: {"update": 7}, _settings=SimpleNamespace(state=tmp_path))
    for _ in range(2):
        Line._tell_processes(cast("Line", line))
    assert json.loads((tmp_path / "processes.json").read_bytes()) == {"line": os.getpid(), "update": 7}
    assert [one.name for one in tmp_path.iterdir()] == ["processes.json"]
