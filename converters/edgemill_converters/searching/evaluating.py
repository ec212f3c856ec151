"""One graph on the search set and on its target: what it loses, and how it does against FP32 in the same turns."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType

import numpy as np

from edgemill_converters.judging import outputs_of
from edgemill_converters.precisions import PRECISIONS
from edgemill_converters.quantization.trials import Job, judged_on
from edgemill_converters.searching.found import Seen
from edgemill_converters.searching.settings import ObjectiveName
from edgemill_core.budget import Outcome
from edgemill_core.tensors import Array
from edgemill_runtimes.benching import time_runs
from edgemill_runtimes.engines import EngineSettings
from edgemill_runtimes.engines.settings import Mode
from edgemill_runtimes.isolation import EngineProcess

TURNS, RUNS, WARMUP = 5, 20, 5
"""Timed turns of trial and FP32, and inferences in each."""


@dataclass(frozen=True)
class Figures:
    """What one engine showed.

    Attributes:
        turns: latencies of each turn, milliseconds.
        memory_mb: largest resident set of a process that does nothing else.
        size_bytes: of graph and weights.
        rate: inferences a second, many at once; ``None`` where nobody asked.
    """

    turns: list[list[float]]
    memory_mb: float
    size_bytes: int
    rate: float | None = None

    def percentile(self, percent: float) -> float:
        """Of all latencies, milliseconds."""
        return float(np.percentile(np.concatenate(self.turns), percent))


def ratios(trial: Figures, fp32: Figures) -> dict[ObjectiveName, float]:
    """Every measured objective as a share of FP32's, the less the better."""
    medians = [[float(np.median(turn)) for turn in one.turns] for one in (trial, fp32)]
    found: dict[ObjectiveName, float] = {
        "latency_p50": median(one / other for one, other in zip(*medians, strict=True)),
        "latency_p99": trial.percentile(99) / fp32.percentile(99),
        "size": trial.size_bytes / fp32.size_bytes,
        "memory": trial.memory_mb / fp32.memory_mb,
    }
    return {**found, "throughput": fp32.rate / trial.rate} if fp32.rate and trial.rate else found


class Bench:
    """What every trial of one target is looked at with; FP32's engines stay loaded. A context manager.

    Args:
        prepared: the search set as engine inputs, ``.npy``.
        fp32: the baked graph.
        exact: its outputs at ``job.places``.
        folder: for files that are gone afterwards.
    """

    def __init__(
        self,
        job: Job,
        objectives: tuple[ObjectiveName, ...],
        prepared: Path,
        fp32: Path,
        exact: Array,
        folder: Path,
    ) -> None:
        self._job, self._objectives, self._exact = job, objectives, exact
        self._prepared, self._fp32_graph, self._folder = prepared, fp32, folder
        self._modes: list[Mode] = ["latency", *(["throughput"] if "throughput" in objectives else [])]  # type: ignore[list-item]
        self._stack = ExitStack()
        self._fp32: dict[Mode, EngineProcess] = {}
        self._fp32_mb = 0.0

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def look(self, graph: bytes, precision: str) -> Seen:
        """Run and measure a graph; nothing else may run meanwhile.

        Raises:
            EngineError, ModelError: it cannot be loaded or run.
        """
        self._load_fp32()
        file = self._folder / "trial.onnx"
        file.write_bytes(graph)
        with ExitStack() as stack:
            engines = {mode: stack.enter_context(self._engine(file, precision, mode)) for mode in self._modes}
            memory = time_runs(engines["latency"], self._prepared, 3, warmup=WARMUP).peak_memory_mb
            trial, fp32 = self._timed(engines, memory, len(graph))
            outputs = outputs_of(engines["latency"], self._job.task, self._prepared, self._folder / "trial.npy")
        judged = judged_on(self._job, outputs, self._exact)
        known = {**ratios(trial, fp32), "loss": judged.pop("loss")}
        return Seen(
            **{**judged, "outcome": Outcome(judged["outcome"])},
            values={name: known[name] for name in self._objectives},
            p50_ms=trial.percentile(50),
            p99_ms=trial.percentile(99),
            fp32_p50_ms=fp32.percentile(50),
            fp32_p99_ms=fp32.percentile(99),
            size_bytes=trial.size_bytes,
            inferences=len(self._job.search.samples) + TURNS * RUNS * len(self._modes),
        )

    def check(self) -> None:
        """See that FP32 still runs: else it is not the trial that failed.

        Raises:
            EngineError: it does not.
        """
        for child in self._fp32.values():
            time_runs(child, self._prepared, 1)

    def _load_fp32(self) -> None:
        for mode in self._modes if not self._fp32 else ():
            self._fp32[mode] = self._stack.enter_context(self._engine(self._fp32_graph, "fp32", mode))
            if mode == "latency":
                self._fp32_mb = time_runs(self._fp32[mode], self._prepared, 3, warmup=WARMUP).peak_memory_mb

    def _engine(self, graph: Path, precision: str, mode: Mode) -> EngineProcess:
        target = self._job.target
        hint = PRECISIONS[precision].hint
        return EngineProcess(target.runtime, graph, EngineSettings(target.device, mode=mode, precision_hint=hint))

    def _timed(self, engines: dict[Mode, EngineProcess], memory: float, size: int) -> tuple[Figures, Figures]:
        """Trial and FP32, turn by turn; which goes first changes."""
        both = (engines, self._fp32)
        turns: tuple[list[list[float]], list[list[float]]] = ([], [])
        rates: tuple[list[float], list[float]] = ([], [])
        for turn in range(TURNS):
            for which in (0, 1) if turn % 2 == 0 else (1, 0):
                timed = time_runs(both[which]["latency"], self._prepared, RUNS, warmup=WARMUP)
                turns[which].append(timed.latencies_ms.tolist())
                if "throughput" in self._modes:
                    many = time_runs(both[which]["throughput"], self._prepared, RUNS, warmup=WARMUP, depth=0)
                    rates[which].append(len(many.latencies_ms) / many.seconds)
        rate = [median(one) if one else None for one in rates]
        return (
            Figures(turns[0], memory, size, rate[0]),
            Figures(turns[1], self._fp32_mb, self._fp32_graph.stat().st_size, rate[1]),
        )
