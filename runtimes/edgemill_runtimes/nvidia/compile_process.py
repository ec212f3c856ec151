"""The compiler's process: makes one plan, within its limits, and ends.

Run as ``python -m edgemill_runtimes.nvidia.compile_process CHANNEL PARENT``.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgemill_core.errors import MissingPartError
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_runtimes.nvidia.asked import Asked, CompileLimits
from edgemill_runtimes.nvidia.bindings import bindings
from edgemill_runtimes.nvidia.build_errors import out_of_memory
from edgemill_runtimes.nvidia.building import build, builds_for
from edgemill_runtimes.nvidia.driver import gpus

_TOLD_EVERY_S = 0.25


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """First message: ``graph``, ``into``, ``asked``, ``limits``.

    Sends ``{"step", "share"}`` as it goes on, and ``{"made": …}`` once the plan is written to ``into``.
    """
    limits = CompileLimits(**first["limits"])
    stand_back(limits)
    asked, into = Asked.from_dict(first["asked"]), Path(first["into"])
    show_only(asked.gpu, os.environ)
    gpu = None if asked.compute_capabilities else gpus()[0]  # before anything of TensorRT's is there
    trt = bindings(asked.runtime)
    limit_memory(limits)  # before, it would look as if the bindings were broken
    if gpu is not None and builds_for(trt, asked.runtime, gpu.compute_capability):
        asked, gpu = replace(asked, compute_capabilities=(gpu.compute_capability,)), None
    try:
        plan = build(trt, Path(first["graph"]), asked, _Teller(channel))
        _write(into, plan)
    except MemoryError as error:
        said = str(error) or "no more memory for this process"
        raise out_of_memory(Path(first["graph"]).name, asked.runtime, trt.__version__, said) from error
    here = {} if gpu is None else {"gpu": gpu.name, "cuda": gpu.cuda, "driver": gpu.driver}
    capabilities = asked.compute_capabilities or (gpu.compute_capability if gpu else "",)
    channel.send({"made": {"version": trt.__version__, "compute_capabilities": capabilities, **here}})


def show_only(gpu: int, environment: MutableMapping[str, str]) -> None:
    """Let CUDA, which takes the first one it sees, see that GPU alone; counted among those that it saw before."""
    if gpu:
        seen = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
        environment["CUDA_VISIBLE_DEVICES"] = seen[gpu] if gpu < len(seen) else str(gpu)


def stand_back(limits: CompileLimits) -> None:
    """Let everything else on the box go first, from now on and with every thread that is yet to be made."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    os.nice(limits.niceness)
    if limits.cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-limits.cores :])


def limit_memory(limits: CompileLimits) -> None:
    """Hold no more than that, what is held already included."""
    if limits.memory_mb is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_mb * 1_000_000, limits.memory_mb * 1_000_000))


class _Teller:
    """Passes on how far the builder has come, not more often than anybody can read."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._told = 0.0

    def __call__(self, step: str, share: float) -> None:
        now = time.monotonic()
        if now - self._told >= _TOLD_EVERY_S:
            self._told = now
            self._channel.send({"step": step, "share": share})


def _write(into: Path, plan: Any) -> None:
    try:
        with into.open("wb") as file:
            file.write(plan)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise MissingPartError(
            "the plan cannot be written",
            expected=f"room for {memoryview(plan).nbytes / 1e6:.1f} MB in {into.parent.parent}",
            got=str(error),
            fix="make room, or name another folder",
        ) from error


if __name__ == "__main__":
    child_main(work, beats=False)
