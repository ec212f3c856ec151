"""Start processes that end with this one, whichever thread asks for them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

_ENDS_WITHIN_S = 10.0
"""After it was killed."""


def spawn(
    module: str,
    channel: int,
    inherited: Sequence[int] = (),
    stdout: int = subprocess.DEVNULL,
    stderr: int | None = None,
) -> subprocess.Popen[bytes]:
    """Run ``python -m module CHANNEL PARENT``, with the packages that this process sees.

    Args:
        module: its first act is ``child_main`` or ``die_with_parent``.
        channel: a descriptor that it inherits, and is told of.
        inherited: further descriptors that it inherits.
        stdout: a descriptor, or one of ``subprocess``'s words.
        stderr: likewise; this process's own if ``None``.
    """
    command = [sys.executable, "-m", module, str(channel), str(os.getpid())]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    def start() -> subprocess.Popen[bytes]:
        descriptors, nothing = (channel, *inherited), subprocess.DEVNULL
        return subprocess.Popen(
            command, pass_fds=descriptors, stdin=nothing, stdout=stdout, stderr=stderr, env=environment
        )

    # The kernel ends a child with the *thread* that started it (prctl(2), PR_SET_PDEATHSIG), so one thread that lives
    # as long as this process starts them all.
    return _thread_of(os.getpid()).submit(start).result()


@cache
def _thread_of(process: int) -> ThreadPoolExecutor:  # after a fork there is no thread in it
    return ThreadPoolExecutor(1, thread_name_prefix=f"spawner-{process}")


def end(process: subprocess.Popen[bytes], patience_s: float = 0.0) -> int | None:
    """Wait ``patience_s`` for a process to end by itself, then kill it.

    Returns:
        Its exit status; ``None`` where not even that ends it within 10 s: it is stuck in the kernel, as in a driver in
        a bad way, and ends when that lets it go.
    """
    with suppress(subprocess.TimeoutExpired):
        return process.wait(patience_s)
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        return process.wait(_ENDS_WITHIN_S)
    return None


def end_in_words(code: int | None) -> str:
    """How a process ended, from its exit status; negative is the number of the signal that killed it."""
    if code is None:
        return "it cannot be ended: it is stuck in the kernel"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
