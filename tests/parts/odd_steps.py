"""Steps that misbehave, or tell when they ran; top-level functions, as steps must be."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgemill_core.errors import DataError

Tell = Callable[[str], None]


def count(into: Path, tell: Tell, diary: Path, who: str, seconds: float = 0.0) -> None:
    """Write when it began and ended into ``diary``."""
    begun = time.monotonic()
    time.sleep(seconds)
    (into / "done.txt").write_text(who)
    with diary.open("a") as file:
        file.write(f"{who} {begun} {time.monotonic()}\n")


def tell_cores(into: Path, tell: Tell) -> None:
    (into / "cores.txt").write_text(str(sorted(os.sched_getaffinity(0))))


def be_killed(into: Path, tell: Tell) -> None:
    os.write(1, b"the last words\n")
    os.kill(os.getpid(), signal.SIGKILL)


def raise_by_mistake(into: Path, tell: Tell) -> None:
    raise ZeroDivisionError("a mistake of ours")


def refuse(into: Path, tell: Tell) -> None:
    raise DataError("what", expected="one thing", got="another", fix="mend it")


def fill_the_disk(into: Path, tell: Tell) -> None:
    """A limit on the size of files gives the same short writes as a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
    (into / "small.txt").write_text("small")
    np.save(into / "large.npy", np.zeros(100_000))


def read_nothing(into: Path, tell: Tell, missing: Path) -> None:
    missing.read_bytes()


def keep_notes(into: Path, tell: Tell, notes: Path) -> None:
    """Dies half way, once, and goes on from its notes."""
    file = notes / "half"
    if not file.exists():
        file.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
    (into / "whole.txt").write_text(file.read_text() + " and half")


def wait_long(into: Path, tell: Tell, pids: Path) -> None:
    """Tell its own number and its parent's, and wait to be ended."""
    pids.write_text(f"{os.getpid()} {os.getppid()}")
    time.sleep(60)
