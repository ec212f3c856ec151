"""Find and end workers whose line process is gone.

A worker asks the kernel to be killed with its parent, but it can be stopped or hang before it gets that far. The next
line process finds it by its real parent, which is no longer the one on its command line.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_OURS = "edgemill_agent."


def end_orphans(proc: Path = Path("/proc")) -> list[int]:
    """Kill every orphaned worker that this user may kill; returns their ids."""
    ended = []
    for folder in proc.glob("[0-9]*"):
        with suppress(OSError, ValueError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if is_orphan([word.decode(errors="replace") for word in words if word], _parent(folder)):
                os.kill(int(folder.name), signal.SIGKILL)
                ended.append(int(folder.name))
    return ended


def is_orphan(words: list[str], parent: int) -> bool:
    """Whether a command line is that of a worker, ``python -m MODULE FD PARENT``, and ``parent`` is another process."""
    if len(words) < 5 or words[-4] != "-m" or not words[-3].startswith(_OURS) or not words[-1].isdigit():
        return False
    return int(words[-1]) != parent


def _parent(folder: Path) -> int:
    # Fields behind the name, which may hold anything (proc(5)): state, then the parent.
    return int((folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
