"""The engine's process: loads one engine, and answers runs and commands in the order in which they come.

Run as ``python -m edgemill_runtimes.isolation.serve CHANNEL PARENT``.
"""

from __future__ import annotations

import itertools
import json
import resource
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from edgemill_core.errors import EdgemillError, EngineError
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main
from edgemill_core.processes.own_memory import peak_resident_bytes
from edgemill_core.processes.shared_memory import TensorSlots
from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.engines import Engine, EngineSettings, load
from edgemill_runtimes.engines.ordering import in_order

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
    return [{"name": spec.name, "dtype": spec.dtype, "shape": spec.shape, "limits": spec.limits} for spec in specs]


def _time(engine: Engine, message: Mapping[str, Any]) -> dict[str, Any]:
    """Time runs one after the other, or ``depth`` at once, cycling through the given inputs.

    Ends when there were ``runs`` and ``seconds`` have passed, and in any case when ``most_seconds`` have. Writes the
    milliseconds of each run to ``into``, ``float64[runs]``; those of ``warmup`` runs before are not in it.
    """
    feeds = cycle(_feeds(engine, message["inputs"]))
    for _ in range(message["warmup"]):
        engine.run(next(feeds))
    latencies: list[float] = []
    begun = time.perf_counter()

    def asked() -> Iterator[Mapping[str, Array]]:
        for count in itertools.count():
            passed = time.perf_counter() - begun
            enough = count >= message["runs"] and passed >= message["seconds"]
            if enough or (count and passed >= message["most_seconds"]):
                return
            yield next(feeds)

    if message["depth"] is None:
        for feed in asked():
            start = time.perf_counter_ns()
            engine.run(feed)
            latencies.append((time.perf_counter_ns() - start) / 1e6)
    else:
        latencies += _at_once(engine, asked(), message["depth"] or engine.best_depth())
    passed = time.perf_counter() - begun
    np.save(message["into"], np.array(latencies), allow_pickle=False)
    return {"seconds": passed, "peak_mb": peak_resident_bytes() / 1e6}


def _at_once(engine: Engine, feeds: Iterator[Mapping[str, Array]], depth: int) -> Iterator[float]:
    """Milliseconds from the start of each run until its result was given, in order."""
    started = in_order(
        feeds,
        depth,
        lambda feed: (time.perf_counter_ns(), engine.start(feed)),
        lambda going: (going[0], engine.finish(going[1])),
    )
    return ((time.perf_counter_ns() - start) / 1e6 for start, _ in started)


def _feeds(engine: Engine, path: str) -> list[dict[str, Array]]:
    """From ``.npy`` the rows of the only input, to each of which a batch of 1 is added; from ``.npz`` those of each."""
    found = np.load(path, allow_pickle=False)
    if isinstance(found, np.ndarray):
        return [{engine.inputs[0].name: row[None]} for row in found]
    with found:
        columns = {name: found[name] for name in found.files}
    return [dict(zip(columns, rows, strict=True)) for rows in zip(*columns.values(), strict=True)]


def _outputs(engine: Engine, message: Mapping[str, Any]) -> dict[str, Any]:
    """Run every input and store one output of each, stacked."""
    inputs = np.load(message["inputs"], mmap_mode="r", allow_pickle=False)
    name = engine.inputs[0].name
    rows = [engine.run({name: np.ascontiguousarray(row[None])})[message["output"]][0] for row in inputs]
    np.save(message["into"], np.stack(rows), allow_pickle=False)
    return {"rows": len(rows)}


def _facts(engine: Engine, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"facts": engine.facts().as_dict()}


def _layers(engine: Engine, message: Mapping[str, Any]) -> dict[str, Any]:
    """Write what ``layers`` gives to ``into``, as JSON: of a large graph it is more than a message takes."""
    told = [layer.as_dict() for layer in engine.layers()]
    Path(message["into"]).write_text(json.dumps(told), encoding="utf-8")
    return {"layers": len(told)}


COMMANDS: dict[str, Callable[[Engine, Mapping[str, Any]], dict[str, Any]]] = {
    "time": _time,
    "outputs": _outputs,
    "facts": _facts,
    "layers": _layers,
}

if __name__ == "__main__":
    child_main(work, beats=False)
