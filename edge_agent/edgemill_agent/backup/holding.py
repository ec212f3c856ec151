"""Keep updates from going on, without leaving anything in the state folder that its agent could not open."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgemill_core.errors import InputError

_LOOK_S = 0.2


@contextmanager
def no_update(state: Path, patience_s: float) -> Iterator[None]:
    """Slots and book do not change meanwhile.

    Args:
        patience_s: how long to wait for the end of one.

    Raises:
        InputError: it went on for longer.
    """
    try:
        lock = os.open(state / "updates.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # there never was one, and root must not leave a file of his own here
        yield
        return
    try:
        _wait(state, lock, time.monotonic() + patience_s)
        yield
    finally:
        os.close(lock)


def _wait(state: Path, lock: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise InputError(
                    f"an update goes on in {state}",
                    expected="its end",
                    got="a process that holds updates.lock",
                    fix="wait for it",
                ) from error
            time.sleep(_LOOK_S)
