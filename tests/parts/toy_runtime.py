"""A third party's runtime: computes nothing, and can be told to die or hang."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgemill_core.tensors import Array, TensorSpec
from edgemill_runtimes.engines import Compiled, Engine


class ToyEngine(Engine):
    """Gives its input back; what the graph's file says is what it does instead."""

    runtime = "toy"

    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        self._order = self.graph.read_text(errors="replace")
        self._runs = 0
        spec = TensorSpec("x", "uint8", (1, None))
        return (spec,), (TensorSpec("y", "uint8", (1, None)),)

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        if self._order == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._order == "segfault":
            ctypes.memset(0, 1, 1)
        if self._order == "hang":
            time.sleep(3600)
        if self._order == "slow start":
            self._runs += 1
            time.sleep(0.2 if self._runs <= 3 else 0)
        if self._order == "slow":
            time.sleep(0.05)
        if self._order == "eat":
            self._eaten = np.ones(10**9)
        return {"y": np.array(feeds["x"])}

    def _compiled(self) -> Compiled:
        return Compiled("1.0", "CPU")

    def _close(self) -> None:
        del self._order


NOT_AN_ENGINE = 7


def distribution(folder: Path, value: str = "toy_runtime:ToyEngine") -> None:
    """What pip would leave of a package that provides a runtime."""
    info = folder / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgemill.runtimes]\ntoy = {value}\n")
