"""Ask an engine's process to time runs."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgemill_runtimes.isolation import EngineProcess

PATIENCE_S = 60.0
"""How much longer than it may take an answer is waited for: one run may be slow, a hung one is none."""


@dataclass(frozen=True)
class Timed:
    """What some runs took.

    Attributes:
        latencies_ms: of each run, ``float64[runs]``.
        seconds: all of them together, by the clock.
        peak_memory_mb: largest resident set of the process so far, MB of 10^6 bytes.
    """

    latencies_ms: NDArray[np.float64]
    seconds: float
    peak_memory_mb: float


def time_runs(
    child: EngineProcess,
    inputs: Path,
    runs: int,
    seconds: float = 0.0,
    most_seconds: float = 600.0,
    warmup: int = 0,
    depth: int | None = None,
) -> Timed:
    """Time at least ``runs`` runs and ``seconds``, but no longer than ``most_seconds``; the warm-up comes on top.

    Args:
        child: the engine's process; nothing else runs in it.
        inputs: ``.npy`` of one input's samples, or ``.npz`` of each input's, in a form that adds a first axis.
        runs: least number.
        seconds: least time.
        most_seconds: after which no further run begins.
        warmup: runs before, not timed.
        depth: runs at once; 0 for what the runtime likes best, ``None`` for one after the other.

    Raises:
        EngineCrashed: the process ended.
        EngineTimeout: it hung.
        EdgemillError: what the engine refused with.
    """
    descriptor, name = tempfile.mkstemp(suffix=".npy")
    os.close(descriptor)
    try:
        message = {"command": "time", "inputs": str(inputs.absolute()), "into": name, "runs": runs, "seconds": seconds}
        more = {"most_seconds": most_seconds, "warmup": warmup, "depth": depth}
        told = child.ask({**message, **more}, most_seconds + PATIENCE_S)
        return Timed(np.load(name, allow_pickle=False), told["seconds"], told["peak_mb"])
    finally:
        Path(name).unlink()
