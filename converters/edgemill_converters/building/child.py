"""The build's side of a step's process: start it, hear what it says, end it, and say how it ended."""

from __future__ import annotations

import atexit
import copyreg
import errno
import json
import os
import pickle
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgemill_converters.building.disk import FULL, is_full
from edgemill_converters.building.step import Tell
from edgemill_core.errors import StepCrashed
from edgemill_core.processes.spawning import end_in_words, spawn
from edgemill_runtimes.isolation.process import answered

_POLL_S = 0.2
_MESSAGE_BYTES = 60_000
_LAST_WORDS = 600


def view_of(table: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    """Pickle knows no read-only views, which samples and verdicts are made of."""
    return MappingProxyType(table)


copyreg.pickle(MappingProxyType, lambda view: (view_of, (dict(view),)))


def run_in_child(
    name: str,
    work: Callable[..., None],
    given: Mapping[str, object],
    into: Path,
    log: Path,
    tell: Tell,
    stopped: Callable[[], bool],
) -> None:
    """Call ``work(into, tell, **given)`` in a process of its own.

    Args:
        name: of the step, for messages.
        into: the folder for its results.
        log: file that takes what the process prints.
        tell: hears what the work says of itself.
        stopped: asked several times a second; the process is killed when it says so.

    Raises:
        EdgemillError: the work's own.
        OSError: the cache cannot be written.
        StepCrashed: the process died, or could not read a file.
        CancelledError: ``stopped`` said so.
    """
    # What it leaves in a hurry lies beside its results, and is swept with them.
    temporary = into.with_name(f"{into.name}.tmp").absolute()
    world = {
        "environment": dict(os.environ),
        "path": list(sys.path),
        "folder": str(Path.cwd()),
        "cores": sorted(os.sched_getaffinity(0)),
    }
    job = into.with_name(f"{into.name}.job").absolute()
    for folder in (temporary, log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    job.write_bytes(pickle.dumps(({**world, "temporary": str(temporary)}, work, into.absolute(), dict(given))))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    zygote = the_zygote()
    with ours:
        with theirs, log.open("wb") as printed:
            pid = zygote.fork(job, theirs.fileno(), printed.fileno())
        told = _hear(ours, pid, tell, stopped)
    code = zygote.ended(pid)
    job.unlink(missing_ok=True)
    shutil.rmtree(temporary, ignore_errors=True)
    if told is None:
        raise crashed(name, code, log)
    if "failed" in told:
        raise _failed(name, told["failed"], into.parent)
    if "refused" in told:
        answered(told["refused"])
    if "stopped" in told:
        raise CancelledError


def _hear(channel: socket.socket, pid: int, tell: Tell, stopped: Callable[[], bool]) -> dict[str, Any] | None:
    """The last message, or ``None`` if the process ended without one."""
    channel.settimeout(_POLL_S)
    while True:
        try:
            received = channel.recv(_MESSAGE_BYTES)
        except TimeoutError:
            received = b'{"says": ""}'
        except OSError:
            received = b""
        if not received:
            return None
        told: dict[str, Any] = json.loads(received)
        if "says" not in told:
            return told
        if told["says"]:
            tell(told["says"])
        if stopped():
            os.kill(pid, signal.SIGKILL)  # nobody has waited for it, so the number is still its own
            return {"stopped": True}


def _failed(name: str, told: list[Any], work: Path) -> Exception:
    number, said, file = told
    if number is None:  # NumPy's word for a write that came to an end too early
        return OSError(errno.ENOSPC, said)
    if number in FULL or is_full(work) or file.startswith(str(work.absolute())):
        return OSError(number, said)
    return StepCrashed(
        f"the step {name!r} could not read or write a file",
        expected="a file that can be read",
        got=said,
        fix="mend it and run again; what was done before is kept",
    )


def crashed(name: str, code: int, log: Path) -> StepCrashed:
    """The error for a process that ended with ``code`` (negative: a signal's number) and no answer."""
    words = log.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip() if log.is_file() else ""
    if code == -signal.SIGKILL:
        fix = (
            "if nobody killed it, memory ran out (the kernel's log says so: dmesg): close other programs, "
            "or take fewer samples; run again, what was done before is kept"
        )
    else:
        fix = f"read {log}, and report it; what was done before is kept"
    return StepCrashed(
        f"the process of the step {name!r} died",
        expected="an answer",
        got=f"{end_in_words(code)}; {words or 'no last words'}",
        fix=fix,
    )


class Zygote:
    """The process that steps are forked from. Any thread may call."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = spawn("edgemill_converters.building.zygote", theirs.fileno())

    def close(self) -> None:
        """End it, and whatever it started."""
        if self.owner == os.getpid():  # else it is a copy, of a process that was forked from the owner
            with suppress(OSError):  # such copies keep it open, so closing alone would not reach the zygote
                self._control.shutdown(socket.SHUT_RDWR)
            self._control.close()
            self._process.wait()

    @property
    def alive(self) -> bool:
        """Whether it can still fork."""
        return self._process.poll() is None

    def fork(self, job: Path, channel: int, log: int) -> int:
        """Start a job; gives the number of its process."""
        return int(self._ask({"job": str(job)}, [channel, log])["pid"])

    def ended(self, pid: int) -> int:
        """Wait for the end of a process of ours: its exit status, or minus the number of the signal."""
        with suppress(StepCrashed):
            return int(self._ask({"ended": pid}, [])["code"])
        return -signal.SIGKILL

    def _ask(self, order: Mapping[str, object], descriptors: list[int]) -> dict[str, Any]:
        try:
            with self._lock:
                socket.send_fds(self._control, [json.dumps(order).encode()], descriptors)
                received = self._control.recv(_MESSAGE_BYTES)
        except OSError:
            received = b""
        if received:
            told: dict[str, Any] = json.loads(received)
            return told
        raise StepCrashed(
            "the process that steps are started from died",
            expected="an answer",
            got="its end",
            fix="if nobody killed it, memory ran out; run again, what was done before is kept",
        )


_zygotes: list[Zygote] = []
_zygotes_lock = threading.Lock()


def the_zygote() -> Zygote:
    """Of this process; started when it is first needed, or when the last one died."""
    with _zygotes_lock:
        if not _zygotes or _zygotes[0].owner != os.getpid() or not _zygotes[0].alive:
            _zygotes[:] = [Zygote()]
            atexit.register(_zygotes[0].close)
        return _zygotes[0]
