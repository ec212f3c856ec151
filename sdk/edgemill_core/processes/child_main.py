"""What every child process does first: it must never outlive its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from edgemill_core.errors import EdgemillError
from edgemill_core.processes.channel import Channel

_PR_SET_PDEATHSIG = 1
HEARTBEAT_S = 2.0


def child_main(work: Callable[[Channel, Mapping[str, Any]], None], beats: bool = True) -> None:
    """Run ``work`` with the channel whose descriptor the command line names and the first message on it.

    ``{"alive": true}`` goes to the parent every ``HEARTBEAT_S`` if it ``beats``. An ``EdgemillError`` is told to it as
    ``{"refused": …}`` before the process ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the line process, which ends us in order
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    if not die_with_parent(parent):
        return
    channel = Channel(descriptor)
    first = channel.receive()
    if first is None:
        return
    if beats:
        threading.Thread(target=_beat, args=[channel], daemon=True).start()
    try:
        work(channel, first)
    except EdgemillError as error:
        channel.send({"refused": error.as_dict()})
        sys.exit(error.exit_code)
    except (BrokenPipeError, ConnectionResetError):
        return  # the parent is gone


def die_with_parent(parent: int) -> bool:
    """Let the kernel end this process with ``parent``; false if that is gone already, and nothing is to be done."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent  # else it was gone before the kernel knew whom to watch


def _beat(channel: Channel) -> None:
    with suppress(OSError):
        while True:
            time.sleep(HEARTBEAT_S)
            channel.send({"alive": True})
