"""The Engine: a variant loaded by a runtime.

The base class holds order, checks and messages. A runtime writes ``_open``, ``_run``, ``_facts`` and ``_close``.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edgemill_core.errors import EngineError, ModelError
from edgemill_core.tensors import Array, TensorSpec, check_feeds


@dataclass(frozen=True)
class EngineSettings:
    """How an engine is to run.

    Attributes:
        device: the runtime's own name of the device; never "AUTO" unless asked for.
        threads: threads inside one inference; ``None`` for the runtime's default.
    """

    device: str = "CPU"
    threads: int | None = None


@dataclass(frozen=True)
class EngineFacts:
    """What an engine really runs on.

    Attributes:
        runtime: name as in recipes.
        version: the runtime's version.
        device: the device in use, as the runtime reports it.
        layers: how many layers of the *compiled* graph compute in each precision, where the runtime tells.
        build_seconds: how long loading and compiling took.
    """

    runtime: str
    version: str
    device: str
    layers: Mapping[str, int]
    build_seconds: float


class Engine(ABC):
    """A loaded variant. Use it as a context manager.

    Args:
        graph: ONNX file; external weights lie beside it.
        settings: device and threads.

    Raises:
        ModelError: the graph cannot be read by this runtime.
        MissingPartError: the runtime or the device is not to be had here.
    """

    runtime: str

    def __init__(self, graph: Path, settings: EngineSettings = EngineSettings()) -> None:
        if not graph.is_file():
            raise ModelError(
                f"there is no graph at {graph}",
                expected="an ONNX file",
                got="no such file",
                fix="check the path; a bundle is opened with edgemill.open_bundle",
            )
        self.graph = graph
        self.settings = settings
        self._is_open = False
        start = time.perf_counter()
        self.inputs, self.outputs = self._open()
        self._build_seconds = time.perf_counter() - start
        self._is_open = True

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One inference.

        Args:
            feeds: one array per input, as ``inputs`` describes.

        Returns:
            One array per output, owned by the caller.

        Raises:
            InputError: the feeds do not fit.
            EngineError: the engine is closed, or the runtime failed.
        """
        if not self._is_open:
            raise EngineError(
                "the engine is closed",
                expected="an open engine",
                got=f"{self.runtime} engine of {self.graph.name}, closed",
                fix="run inside the `with` block, or load it again",
            )
        check_feeds(self.inputs, feeds)
        return self._run(feeds)

    def facts(self) -> EngineFacts:
        """What the engine really runs on, read back from the runtime."""
        version, device, layers = self._facts()
        return EngineFacts(self.runtime, version, device, layers, self._build_seconds)

    def close(self) -> None:
        """Free the native engine; closing twice is fine."""
        if self._is_open:
            self._is_open = False
            self._close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _open(self) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Load and compile; return inputs and outputs."""

    @abstractmethod
    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Call the runtime; the feeds are checked."""

    @abstractmethod
    def _facts(self) -> tuple[str, str, Mapping[str, int]]:
        """Version, device and compiled layers by precision."""

    @abstractmethod
    def _close(self) -> None:
        """Drop every native handle."""
