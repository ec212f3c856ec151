"""The process that steps are forked from: everything heavy is imported once, so that a step starts in milliseconds.

Run as ``python -m edgemill_converters.building.zygote CHANNEL PARENT``. It has no threads of ours and runs nothing
itself. The kernel ends it with the build, and its children with it (prctl(2), PR_SET_PDEATHSIG): nothing outlives a
build that is killed. Unlike ``multiprocessing``'s fork server it leaves the caller's main module alone, so that a
script may call ``edgemill.build`` without ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import signal
import socket
import sys
import tempfile
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from edgemill_core.errors import EdgemillError
from edgemill_core.processes.child_main import die_with_parent

_HEAVY = ("edgemill_converters.building.steps", "onnxruntime.quantization")
SAID_BYTES = 8_000


def main() -> None:
    """Until the build is gone: fork a child per order, and tell how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the build, which ends us
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    if not die_with_parent(parent):
        return
    control = socket.socket(fileno=descriptor)
    for name in _HEAVY:
        with suppress(ImportError):
            importlib.import_module(name)
    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork", category=DeprecationWarning)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 4096, 2)
        if not message:
            return
        order = json.loads(message)
        if "ended" in order:
            _, status = os.waitpid(order["ended"], 0)
            control.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
            continue
        me, child = os.getpid(), os.fork()
        if child == 0:
            control.close()
            _work(Path(order["job"]), descriptors, me)
        for handle in descriptors:
            os.close(handle)
        control.send(json.dumps({"pid": child}).encode())


def _work(job: Path, descriptors: list[int], parent: int) -> NoReturn:
    """The child's whole life. The job is a pickle that our build wrote a moment ago, into a folder of its own."""
    code = 1
    try:
        if not die_with_parent(parent):
            os._exit(0)
        with suppress(OSError):  # where memory runs out, a step goes before its build
            Path("/proc/self/oom_score_adj").write_text("900")
        channel = socket.socket(fileno=descriptors[0])
        os.dup2(descriptors[1], 1)
        os.dup2(descriptors[1], 2)
        told = _done(job, channel)
        channel.send(json.dumps(told).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _done(job: Path, channel: socket.socket) -> dict[str, object]:
    world, work, into, given = pickle.loads(job.read_bytes())  # noqa: S301 (see above)
    os.environ.clear()
    os.environ.update(world["environment"])
    sys.path[:] = world["path"]
    os.chdir(world["folder"])
    os.sched_setaffinity(0, world["cores"])
    tempfile.tempdir = os.environ["TMPDIR"] = world["temporary"]

    def tell(text: str) -> None:
        channel.send(json.dumps({"says": text[:SAID_BYTES]}).encode())

    try:
        work(into, tell, **given)
    except EdgemillError as error:
        return {"refused": error.as_dict()}
    except OSError as error:
        traceback.print_exc()
        return {"failed": [error.errno, str(error), str(error.filename or "")]}
    return {"done": True}


if __name__ == "__main__":
    main()
