"""Time engines in windows until the figures have settled, each in a process of its own, one at a time, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgemill_core.errors import MissingPartError
from edgemill_runtimes.benching import energy
from edgemill_runtimes.benching.feeds import Shapes, drawn, read_samples
from edgemill_runtimes.benching.settling import LEAST_RUNS, Latencies, Settling, settling
from edgemill_runtimes.benching.timing import Timed, time_runs
from edgemill_runtimes.engines import EngineFacts, EngineSettings
from edgemill_runtimes.isolation import EngineProcess

WINDOW_S = 1.0
_WARMUP = 10


@dataclass(frozen=True)
class Subject:
    """What to time.

    Attributes:
        runtime: name of the runtime.
        graph: ONNX file.
        settings: device, threads, and the mode: ``latency`` times one run after the other, ``throughput`` as many at
            once as the runtime likes best.
        inputs: samples, ``.npy`` of the only input or ``.npz``; numbers are drawn by chance if not given.
        shapes: for drawing, of inputs that the graph leaves open.
    """

    runtime: str
    graph: Path
    settings: EngineSettings = field(default_factory=EngineSettings)
    inputs: Path | None = None
    shapes: Shapes = field(default_factory=dict)


@dataclass(frozen=True)
class BenchResult:
    """How fast one engine is on this machine.

    Attributes:
        facts: what it really ran on.
        mode: ``latency`` or ``throughput``.
        threads: inside one run, as asked for.
        latencies_ms: runs that the figures are of: those of the windows that settled, else all.
        seconds: that they took together.
        windows: how many windows there were in all, of a second or more each.
        settling: how the latest of them lie together.
        peak_memory_mb: largest resident set of the engine's process, MB of 10^6 bytes; an interpreter's is in it.
        joules_per_run: of all processor packages, everything else that ran on them included; ``None`` where the
            counters cannot be read.
        energy_note: why they cannot.
    """

    facts: EngineFacts
    mode: str
    threads: int | None
    latencies_ms: Latencies
    seconds: float
    windows: int
    settling: Settling
    peak_memory_mb: float
    joules_per_run: float | None
    energy_note: str

    def percentile(self, percent: float) -> float:
        """Of the latencies, milliseconds."""
        return float(np.percentile(self.latencies_ms, percent))

    @property
    def throughput_per_s(self) -> float:
        """Runs per second."""
        return len(self.latencies_ms) / self.seconds

    @property
    def note(self) -> str:
        """Empty if the figures have settled, else how far they are from it."""
        if self.settling.settled:
            return ""
        if not self.settling.windows:
            return (
                f"not settled: {self.windows} windows are too few to compare, each of {LEAST_RUNS} runs or more; "
                "give it more --seconds"
            )
        return (
            f"not settled: p50 wavers by {self.settling.p50_spread:.0%}, p99 by {self.settling.p99_spread:.0%}; "
            "something else runs on this machine, or its clock changes"
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, without the single latencies."""
        finite = self.settling.windows > 0
        return {
            "runtime": self.facts.runtime,
            "version": self.facts.version,
            "device": self.facts.device,
            "mode": self.mode,
            "threads": self.threads,
            "settled": self.settling.settled,
            "note": self.note,
            "p50_ms": self.percentile(50),
            "p90_ms": self.percentile(90),
            "p99_ms": self.percentile(99),
            "throughput_per_s": self.throughput_per_s,
            "runs": len(self.latencies_ms),
            "seconds": self.seconds,
            "windows": self.windows,
            "windows_compared": self.settling.windows,
            "p50_spread": self.settling.p50_spread if finite else None,
            "p99_spread": self.settling.p99_spread if finite else None,
            "peak_memory_mb": self.peak_memory_mb,
            "build_seconds": self.facts.build_seconds,
            "energy_j_per_run": self.joules_per_run,
            "energy_note": self.energy_note,
            "precision": dict(self.facts.macs or self.facts.layers),
            "unfused": list(self.facts.unfused),
        }


def _refuse(_: str, error: MissingPartError) -> None:
    raise error


def bench(
    subjects: Mapping[str, Subject],
    folder: Path,
    seconds: float = 60.0,
    window_s: float = WINDOW_S,
    progress: Callable[[str], None] = lambda _: None,
    powercap: Path = energy.ROOT,
    missing: Callable[[str, MissingPartError], None] = _refuse,
) -> dict[str, BenchResult]:
    """Time each subject until it has settled, or for ``seconds`` each; only one runs at any moment.

    Args:
        subjects: by name.
        folder: for drawn samples.
        seconds: the most for each subject.
        window_s: least length of a window.
        progress: told what is going on.
        powercap: Linux's folder of energy counters.
        missing: told of a subject that is not to be had here, and why, which is then passed over; raises the error if
            not given.

    Raises:
        InputError: the samples or shapes do not fit the graph.
        EngineCrashed: an engine's process died.
        EngineTimeout: a run hung.
        EdgemillError: an engine cannot be loaded.
    """
    with ExitStack() as stack:
        going = []
        for name, subject in subjects.items():
            progress(f"{name}: loading")
            try:
                child = stack.enter_context(EngineProcess(subject.runtime, subject.graph, subject.settings))
            except MissingPartError as error:
                missing(name, error)
                continue
            going.append(_Going(name, subject, child, folder, seconds, window_s, powercap))
        while any(not one.ended for one in going):
            for one in going:
                if not one.ended:
                    progress(one.window())
        return {one.name: one.result() for one in going}


class _Going:
    """One subject while it is being timed."""

    def __init__(
        self,
        name: str,
        subject: Subject,
        child: EngineProcess,
        folder: Path,
        seconds: float,
        window_s: float,
        powercap: Path,
    ) -> None:
        self.name, self._subject, self._child, self._powercap = name, subject, child, powercap
        self._inputs = _inputs(subject, child, folder / f"{name}.npz")
        self._left, self._window_s = seconds, window_s
        self._windows: list[Timed] = []
        self._joules: list[float] = []
        self._settling = settling([])
        self._counters, self._energy_note = energy.read_counters(powercap)

    @property
    def ended(self) -> bool:
        """The figures have settled, or there is no time left."""
        return self._settling.settled or self._left <= 0

    def window(self) -> str:
        """Time one more window; says how it stands."""
        before = energy.read_counters(self._powercap)[0] if self._counters else {}
        found = time_runs(
            self._child,
            self._inputs,
            LEAST_RUNS,
            self._window_s,
            max(self._left, self._window_s),
            0 if self._windows else _WARMUP,
            0 if self._subject.settings.mode == "throughput" else None,
        )
        if before:
            self._joules.append(energy.joules(before, energy.read_counters(self._powercap)[0], self._powercap))
        self._windows.append(found)
        self._left -= found.seconds
        self._settling = settling([window.latencies_ms for window in self._windows])
        p50 = float(np.median(found.latencies_ms))
        return f"{self.name}: window {len(self._windows)}, p50 {p50:.3f} ms, {max(self._left, 0):.0f} s left at most"

    def result(self) -> BenchResult:
        """What there is to say."""
        facts = EngineFacts.from_dict(self._child.ask({"command": "facts"})["facts"])
        kept = self._windows[-self._settling.windows :] if self._settling.settled else self._windows
        latencies = np.concatenate([window.latencies_ms for window in kept])
        joules = sum(self._joules[-len(kept) :]) / len(latencies) if self._counters else None
        return BenchResult(
            facts=facts,
            mode=self._subject.settings.mode,
            threads=self._subject.settings.threads,
            latencies_ms=latencies,
            seconds=sum(window.seconds for window in kept),
            windows=len(self._windows),
            settling=self._settling,
            # Before facts(): what is read back from the graph is not part of a run.
            peak_memory_mb=self._windows[-1].peak_memory_mb,
            joules_per_run=joules,
            energy_note=self._energy_note,
        )


def _inputs(subject: Subject, child: EngineProcess, drawn_to: Path) -> Path:
    if subject.inputs is not None and subject.inputs.suffix == ".npy":
        return subject.inputs
    specs = child.inputs
    samples = read_samples(subject.inputs, specs) if subject.inputs is not None else drawn(specs, subject.shapes)
    np.savez(drawn_to, **samples)  # type: ignore[arg-type]
    return drawn_to
