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
give_way(sys.argv[1] == 'wholly')
number = {"x86_64": 252, "aarch64": 31}[platform.machine()]
disk = ctypes.CDLL(None).syscall(number, 1, 0) >> 13
of = [os.sched_getscheduler(one) for one in (0, thread.native_id)]
child = "import os; print(os.sched_getscheduler(0), os.nice(0))"
said = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout
print(json.dumps({"of": of, "nice": os.nice(0), "disk": disk, "child": said.split()}))
"""


@pytest.mark.parametrize("wholly", [True, False])
def test_every_thread_and_every_child_gives_way(wholly: bool) -> None:
    command = [sys.executable, "-c", LOOK, "wholly" if wholly else "somewhat"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kind = os.SCHED_IDLE if wholly else os.sched_getscheduler(0)
    nice, disk = (19, 3) if wholly else (10, 2)  # of the disk: the idle class, or the last of those that have turns
    child = [str(kind), str(nice)]
    assert json.loads(done.stdout) == {"of": [kind, kind], "nice": nice, "disk": disk, "child": child}


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
