"""End a process by SIGKILL before any one of the calls by which it changes a disk, and list those calls."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

CALLS = ("mkdir", "open", "fsync", "chmod", "replace", "rename", "unlink", "rmdir")


def killed_before(number: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a process that is killed before its call of this number, from 0; False if it made fewer."""
    child = os.fork()
    if child == 0:
        left = [number]

        def count(*_: object) -> None:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1

        try:
            _watch(count)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, f"the work failed by itself: {status}"
    return False


def calls_of(work: Callable[[], object]) -> list[tuple[str, str, str]]:
    """Name of each call, the path that it is about, and of a move the path it leads to."""
    found: list[tuple[str, str, str]] = []

    def note(name: str, *told: Any) -> None:
        path = os.readlink(f"/proc/self/fd/{told[0]}") if name == "fsync" else os.path.abspath(told[0])
        found.append((name, path, os.path.abspath(told[1]) if name in ("replace", "rename") else ""))

    before = _watch(note)
    try:
        work()
    finally:
        for name, real in before.items():
            setattr(os, name, real)
    return found


def _watch(note: Callable[..., None]) -> dict[str, Any]:
    before = {name: getattr(os, name) for name in CALLS}

    def watched(name: str) -> Callable[..., Any]:
        def call(*told: Any, **more: Any) -> Any:
            if name != "open" or told[1] & os.O_CREAT:
                note(name, *told)
            return before[name](*told, **more)

        return call

    for name in CALLS:
        setattr(os, name, watched(name))
    return before
