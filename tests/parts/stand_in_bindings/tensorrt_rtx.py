"""As much of TensorRT's bindings as a build calls, for compilers that die on cue, as no real one does.

``STAND_IN`` in the environment says what happens after a step of progress: ``""`` the plan is built; ``hang``; ``eat``
memory without end; ``killed``, as the kernel does for want of memory; ``raise``. Real builds are in
test_tensorrt_builds.py.
"""

from __future__ import annotations

import os
import signal
import time
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

__version__ = "1.7.1.116"
PLAN = b"vtrt\1".ljust(64, b"\0")
"""A header of a form that nobody knows, so that nothing in it is read."""


class NetworkDefinitionCreationFlag(Enum):
    STRONGLY_TYPED = 1

    def __int__(self) -> int:
        return self.value


class ComputeCapability(Enum):
    SM86 = 1
    SM89 = 2


class BuilderFlag(Enum):
    TF32 = 1


class ProfilingVerbosity(Enum):
    DETAILED = 1


class ILogger:
    class Severity(Enum):
        INTERNAL_ERROR, ERROR, WARNING = range(3)


class IProgressMonitor:
    pass


class OnnxParser:
    num_errors = 0

    def __init__(self, network: object, log: object) -> None:
        self._network = network

    def parse_from_file(self, path: str) -> bool:
        self._network.content = Path(path).read_bytes()
        return True


class Builder:
    def __init__(self, log: object) -> None:
        self._log = log

    def create_network(self, flags: int) -> SimpleNamespace:
        return SimpleNamespace(num_inputs=0)

    def create_builder_config(self) -> SimpleNamespace:
        on = {BuilderFlag.TF32}  # on unless it is told otherwise, as in the real ones
        told = {"set_compute_capability": lambda *_: None, "progress_monitor": None}
        return SimpleNamespace(on=on, clear_flag=on.remove, **told)

    def build_serialized_network(self, network: SimpleNamespace, config: SimpleNamespace) -> bytes | None:
        assert not getattr(config, "on", None), "what the graph has in FP32 would have ten bits of mantissa"
        config.progress_monitor.phase_start("Building engine", None, 4)
        config.progress_monitor.step_complete("Building engine", 0)
        time.sleep(0.3)  # longer than two messages are apart
        config.progress_monitor.phase_start("Timing tactics", "Building engine", 2)
        match os.environ.get("STAND_IN", ""):
            case "hang":
                time.sleep(600)
            case "eat":
                eaten = []
                while True:
                    eaten.append(bytearray(50_000_000))
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "raise":
                raise TypeError("incompatible function arguments")
        return PLAN + network.content
