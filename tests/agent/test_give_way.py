"""An update takes what everything else leaves, and so does whatever it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys

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
