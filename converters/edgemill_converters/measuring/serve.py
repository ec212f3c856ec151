"""The child process: loads one engine and obeys one JSON command a line.

Run as ``python -m edgemill_converters.measuring.serve``. Standard output carries answers only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from edgemill_core.errors import EdgemillError
from edgemill_runtimes.engines import Engine, EngineSettings, load


def peak_memory_mb() -> float:
    """Largest resident set of this process so far (``VmHWM`` of proc(5)), in MB of 10^6 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return kib * 1024 / 1e6


def _time(engine: Engine, request: dict[str, Any]) -> dict[str, Any]:
    """Latencies of single runs, in milliseconds, cycling through the given inputs."""
    inputs = np.load(request["inputs"], allow_pickle=False)
    name = engine.inputs[0].name
    latencies = []
    for index in range(request["warmup"] + request["runs"]):
        feed = {name: inputs[index % len(inputs)][None]}
        start = time.perf_counter_ns()
        engine.run(feed)
        latencies.append((time.perf_counter_ns() - start) / 1e6)
    return {"latencies": latencies[request["warmup"] :], "peak_mb": peak_memory_mb()}


def _outputs(engine: Engine, request: dict[str, Any]) -> dict[str, Any]:
    """Run every input and store one output of each, stacked."""
    inputs = np.load(request["inputs"], mmap_mode="r", allow_pickle=False)
    name = engine.inputs[0].name
    rows = [engine.run({name: np.ascontiguousarray(row[None])})[request["output"]][0] for row in inputs]
    np.save(request["into"], np.stack(rows), allow_pickle=False)
    return {"rows": len(rows)}


def _facts(engine: Engine, _: dict[str, Any]) -> dict[str, Any]:
    facts = engine.facts()
    return {
        "version": facts.version,
        "device": facts.device,
        "layers": dict(facts.layers),
        "build_seconds": facts.build_seconds,
    }


COMMANDS: dict[str, Callable[[Engine, dict[str, Any]], dict[str, Any]]] = {
    "time": _time,
    "outputs": _outputs,
    "facts": _facts,
}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Obey until the requests end. The first request loads the engine."""

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    first = json.loads(requests.readline())
    try:
        engine = load(first["runtime"], Path(first["graph"]), EngineSettings(first["device"]))
    except EdgemillError as error:
        answer(error.as_dict())
        return
    with engine:
        answer({"peak_mb": peak_memory_mb()})
        for line in requests:
            request = json.loads(line)
            try:
                answer(COMMANDS[request["command"]](engine, request))
            except EdgemillError as error:
                answer(error.as_dict())


if __name__ == "__main__":
    # Native libraries print to file descriptor 1; keep it for the answers alone.
    own = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(sys.stdin, own)
