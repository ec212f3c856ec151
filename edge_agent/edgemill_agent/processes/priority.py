"""Whose turn it is when a box has more to do than cores."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
from contextlib import suppress
from pathlib import Path

_PRIORITY_MOST = 10
"""Well below what the kernel's own threads have."""

FIRST_TO_GO = 500
"""Added to what the kernel makes of a worker when it looks whom to kill for want of memory (proc(5)), not the line."""
_NICEST, _NICE = 19, 10
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""Number of the system call ioprio_set(2), which the C library has no function for."""
_OF_PROCESS, _DISK_WHEN_IDLE, _DISK_LAST = 1, 3 << 13, 2 << 13 | 7
WORKER, LINK = 5, 10
"""Niceness above that of the line process, which keeps the deadlines. Anybody may stand back; to push needs root."""


def stand_back(by: int) -> None:
    """Let processes with more pressing work go first, from now on and with every thread that is yet to be made."""
    os.nice(by)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO), encoding="ascii")


def give_way(wholly: bool = True) -> None:
    """Let everything else on the box go first, at the cores and at the disk; what is started from here on inherits it.

    An update has all the time in the world, and a part has not. To be nice is not enough there: a nice process has its
    turn, where one of the kernel's idle class is preempted at once by whatever wakes up.

    Args:
        wholly: take only what everything else leaves. Where no part has a deadline, a station may take all there is for
            as long as it runs, and being nice has to do: an update would never come to its end.
    """
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO), encoding="ascii")
    for task in Path("/proc/self/task").iterdir():  # threads that a library made while it was imported, too
        with suppress(OSError):  # it has just ended
            nice = max(os.getpriority(os.PRIO_PROCESS, int(task.name)), _NICEST if wholly else _NICE)
            os.setpriority(os.PRIO_PROCESS, int(task.name), nice)
            if wholly:
                os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))
    number = _IOPRIO_SET.get(platform.machine())
    if number is not None:
        disk = _DISK_WHEN_IDLE if wholly else _DISK_LAST
        ctypes.CDLL(None, use_errno=True).syscall(number, _OF_PROCESS, 0, disk)


def step_forward() -> int:
    """Take the real-time priority that this process was granted (``RLIMIT_RTPRIO``); returns it, 0 if none was.

    Children and threads that are made later do not have it: they do the work, and this one keeps the time.
    """
    granted, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    priority = min(granted, _PRIORITY_MOST) if granted != resource.RLIM_INFINITY else _PRIORITY_MOST
    if priority < 1:
        return 0
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError:  # a container may grant it and not give it
        return 0
    return priority
