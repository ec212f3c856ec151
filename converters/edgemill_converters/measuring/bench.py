"""Latency, size and memory of variants, in turns, so that a noisy machine is noisy for all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemill_runtimes.benching import time_runs
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.isolation import EngineProcess

ROUNDS, RUNS, WARMUP = 5, 30, 5


@dataclass(frozen=True)
class Measurement:
    """What one variant showed on one machine.

    Attributes:
        latencies_ms: every timed run, batch 1.
        size_bytes: graph and weights on disk.
        peak_memory_mb: largest resident set of a process that does nothing else, MB of 10^6 bytes.
        build_seconds: loading and compiling.
        version: the runtime's.
        layers: compute layers of the compiled graph by precision.
        unfused: names of layers that were to be INT8 and compute in float.
        turns: in how many turns of equal length ``latencies_ms`` were taken, one after the other.
    """

    latencies_ms: tuple[float, ...]
    size_bytes: int
    peak_memory_mb: float
    build_seconds: float
    version: str
    layers: Mapping[str, int]
    unfused: tuple[str, ...] = ()
    turns: int = 1

    @property
    def turn_medians_ms(self) -> tuple[float, ...]:
        """Median latency of each turn."""
        return tuple(float(np.median(turn)) for turn in np.array_split(self.latencies_ms, self.turns))

    @property
    def p50_ms(self) -> float:
        """Median latency."""
        return float(np.percentile(self.latencies_ms, 50))

    @property
    def p99_ms(self) -> float:
        """99th percentile of latency."""
        return float(np.percentile(self.latencies_ms, 99))

    def as_dict(self) -> dict[str, object]:
        """JSON-ready form, without the single latencies."""
        return {
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "runs": len(self.latencies_ms),
            "size_bytes": self.size_bytes,
            "peak_memory_mb": self.peak_memory_mb,
            "build_seconds": self.build_seconds,
            "version": self.version,
            "layers": dict(self.layers),
            "unfused": list(self.unfused),
        }


@dataclass(frozen=True)
class Subject:
    """A variant to measure: what to load, and where."""

    runtime: str
    device: str
    graph: Path
    size_bytes: int


def measure(
    subjects: Mapping[str, Subject],
    inputs: Path,
    rounds: int = ROUNDS,
    runs: int = RUNS,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Measurement]:
    """Time each subject in ``rounds`` turns of ``runs`` single inferences; only one runs at any moment.

    Args:
        subjects: by variant name.
        inputs: ``.npy`` of ``uint8[samples, height, width, channels]``.
        rounds: turns; the order is reversed in every second one.
        runs: timed inferences per turn, after a short warm-up.
        progress: told what is going on.
    """
    latencies: dict[str, list[float]] = {name: [] for name in subjects}
    peaks: dict[str, float] = {}
    with ExitStack() as stack:
        children: dict[str, EngineProcess] = {}
        facts = {}
        for name, subject in subjects.items():
            child = stack.enter_context(EngineProcess(subject.runtime, subject.graph, EngineSettings(subject.device)))
            peaks[name] = time_runs(child, inputs, 3, warmup=WARMUP).peak_memory_mb
            children[name] = child
        for turn in range(rounds):
            progress(f"measuring, turn {turn + 1} of {rounds}")
            for name in list(children) if turn % 2 == 0 else reversed(list(children)):
                latencies[name] += time_runs(children[name], inputs, runs, warmup=WARMUP).latencies_ms.tolist()
        for name, child in children.items():
            facts[name] = child.ask({"command": "facts"})["facts"]
    return {
        name: Measurement(
            tuple(latencies[name]),
            subject.size_bytes,
            peaks[name],
            facts[name]["build_seconds"],
            facts[name]["version"],
            facts[name]["layers"],
            unfused=tuple(facts[name]["unfused"]),
            turns=rounds,
        )
        for name, subject in subjects.items()
    }
