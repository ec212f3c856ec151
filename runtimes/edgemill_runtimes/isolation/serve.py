"""The engine's process: loads one engine, and answers runs and commands in the order in which they come.

Run as ``python -m edgemill_runtimes.isolation.serve CHANNEL PARENT``.
"""

from __future__ import annotations

import resource
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from edgemill_core.errors import EdgemillError, EngineError
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_core.processes.own_memory import peak_resident_bytes
from edgemill_core.processes.shared_memory import TensorSlots
from edgemill_core.tensors import TensorSpec
from edgemill_runtimes.engines import Engine, EngineSettings, load

Answer = Callable[[], dict[str, Any]]


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until the caller is gone.

    First message: ``runtime``, ``graph``, ``settings``, ``shared`` (descriptor and slot size, or ``None``),
    ``memory_mb``. Answers ``{"inputs", "outputs"}``; then to each message, in order, with its ``number``.
    """
    _be_first_to_go(first["memory_mb"])
    try:
        engine = load(first["runtime"], Path(first["graph"]), EngineSettings.from_dict(first["settings"]))
    except EdgemillError as error:
        channel.send(error.as_dict())
        return
    slots = TensorSlots(*first["shared"]) if first["shared"] else None
    with engine:
        channel.send({"inputs": _said(engine.inputs), "outputs": _said(engine.outputs)})
        going: deque[tuple[int | None, Answer]] = deque()
        while True:
            while not going or channel.waiting():
                message = channel.receive()
                if message is None:
                    return
                alone = not going and not channel.waiting()
                going.append((message.get("number"), _begin(engine, slots, message, alone)))
            number, answer = going.popleft()
            channel.send({"number": number, **_told(answer)})


def _be_first_to_go(memory_mb: int | None) -> None:
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    if memory_mb is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_mb * 1_000_000, memory_mb * 1_000_000))


def _told(answer: Answer) -> dict[str, Any]:
    try:
        return answer()
    except EdgemillError as error:
        return error.as_dict()


def _begin(engine: Engine, slots: TensorSlots | None, message: Mapping[str, Any], alone: bool) -> Answer:
    """Start a run, or put a command off; what this gives waits for the answer."""
    if "command" in message:
        return lambda: COMMANDS[message["command"]](engine, message)
    assert slots is not None
    slot, feeds = message["slot"], slots.read(2 * message["slot"], message["feeds"])
    if alone:  # in this thread, as a caller without isolation would
        return lambda: _placed(slots, slot, engine.run(feeds))
    try:
        started = engine.start(feeds)
    except EdgemillError as error:
        told = error.as_dict()
        return lambda: told
    return lambda: _placed(slots, slot, engine.finish(started))


def _placed(slots: TensorSlots, slot: int, outputs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {"outputs": slots.write(2 * slot + 1, outputs)}
    except ValueError as error:
        raise EngineError(
            "the outputs cannot leave an isolated engine",
            expected=f"numbers, at most {slots.slot_bytes >> 20} MiB in one run",
            got=str(error),
            fix="load the engine without isolation",
        ) from error


def _said(specs: tuple[TensorSpec, ...]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "dtype": spec.dtype, "shape": spec.shape} for spec in specs]


def _time(engine: Engine, message: Mapping[str, Any]) -> dict[str, Any]:
    """Latencies of single runs, in milliseconds, cycling through the given inputs."""
    inputs = np.load(message["inputs"], allow_pickle=False)
    name = engine.inputs[0].name
    latencies = []
    for index in range(message["warmup"] + message["runs"]):
        feed = {name: inputs[index % len(inputs)][None]}
        start = time.perf_counter_ns()
        engine.run(feed)
        latencies.append((time.perf_counter_ns() - start) / 1e6)
    return {"latencies": latencies[message["warmup"] :], "peak_mb": peak_resident_bytes() / 1e6}


def _outputs(engine: Engine, message: Mapping[str, Any]) -> dict[str, Any]:
    """Run every input and store one output of each, stacked."""
    inputs = np.load(message["inputs"], mmap_mode="r", allow_pickle=False)
    name = engine.inputs[0].name
    rows = [engine.run({name: np.ascontiguousarray(row[None])})[message["output"]][0] for row in inputs]
    np.save(message["into"], np.stack(rows), allow_pickle=False)
    return {"rows": len(rows)}


def _facts(engine: Engine, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"facts": engine.facts().as_dict()}


COMMANDS: dict[str, Callable[[Engine, Mapping[str, Any]], dict[str, Any]]] = {
    "time": _time,
    "outputs": _outputs,
    "facts": _facts,
}

if __name__ == "__main__":
    child_main(work, beats=False)
